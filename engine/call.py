"""A call: one request inside the engine, from bound tensors to its answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Protocol

import numpy as np

from engine.batching.policy import ALONE, BatchPolicy
from engine.caching.memory import MemoryTier
from engine.caching.shared_types import Ticket
from engine.errors import DeadlineExceeded
from engine.executors.scheduler import Job
from engine.in_flight import Mark, Marked
from engine.models.loaded import LoadedModel, Run
from engine.models.slots import Lease
from engine.types import MISSED, NO_LOOKUP, InferResult, InferTimings

log = logging.getLogger(__name__)


class Call:
    """What is known of a request, and what it has cost so far.

    inputs, outputs: bound tensors and the names to answer. key: of the result cache, b"" when
    that is not asked. run: the answer, once there is one; error: why there is none. The `_ns`
    fields never overlap. encoder_hits, encoder_misses: rows whose embedding was found, and
    those encoded now. batch_rows: rows of the run that answered. cache: what caches did for it,
    one of the constants of engine.types. mark: for whom it is, where that is known. ticket: what
    it may share with other servers; None where nothing is shared.
    """

    __slots__ = (
        "batch_rows",
        "cache",
        "cache_ns",
        "cold",
        "deadline_ns",
        "encoder",
        "encoder_hits",
        "encoder_misses",
        "error",
        "inference_ns",
        "inputs",
        "key",
        "leases",
        "load_ns",
        "mark",
        "model",
        "on_done",
        "outputs",
        "preprocess_ns",
        "queue_ns",
        "rows",
        "run",
        "started_ns",
        "ticket",
        "tier",
        "use_cache",
    )

    def __init__(self, lease: Lease, use_cache: bool) -> None:
        self.model: LoadedModel = lease.model
        self.cold = lease.cold
        self.leases = [lease]
        self.use_cache = use_cache
        self.encoder: LoadedModel | None = None
        self.inputs: dict[str, np.ndarray] = {}
        self.outputs: tuple[str, ...] = ()
        self.rows = self.batch_rows = 0
        self.deadline_ns = 0
        self.tier: MemoryTier | None = None
        self.ticket: Ticket | None = None
        self.key = b""
        self.run: Run | None = None
        self.error: Exception | None = None
        self.cache = NO_LOOKUP
        self.on_done: Callable[[], None] | None = None
        self.mark: Marked | None = None
        self.encoder_hits = self.encoder_misses = 0
        self.load_ns = self.preprocess_ns = self.queue_ns = 0
        self.inference_ns = self.cache_ns = self.started_ns = 0

    def as_mark(self) -> Mark:
        """For whom a thread works that runs this."""
        name, version = self.model.name, self.model.version
        if self.mark is None:
            return Mark(name, version, "", "")
        return self.mark.as_mark()._replace(model=name, version=version)

    def close(self) -> None:
        """Give the leases back; may be called twice."""
        for lease in self.leases:
            lease.give_back()
        self.leases = []

    def end(self, run: Run | None, error: Exception | None) -> None:
        """It has an answer, or the reason why not; whoever waits is told."""
        self.run, self.error = run, error
        if self.on_done is not None:
            self.on_done()

    def answer(self) -> Run:
        """The answer. Raises what the run raised."""
        if self.error is not None:
            raise self.error
        assert self.run is not None, "asked before it ended"
        return self.run

    def result(self) -> InferResult:
        """The public form of the answer. Raises what the run raised."""
        run = self.answer()
        return InferResult(
            model=self.model.name,
            version=self.model.version,
            outputs=run.outputs,
            backend=run.form,
            rows=self.rows,
            cache_hit=self.cache > MISSED,
            degraded=self.model.degraded,
            encoder_hits=self.encoder_hits,
            encoder_misses=self.encoder_misses,
            cold_start=self.cold,
            batch_rows=self.batch_rows,
            timings=InferTimings(
                self.load_ns,
                self.preprocess_ns,
                self.queue_ns,
                self.inference_ns,
                self.cache_ns,
            ),
        )


class Flight(Job):
    """One run that answers one or more equal calls; its first member is what it runs."""

    __slots__ = ("key", "members", "running")

    def __init__(self, call: Call, kind: Hashable, policy: BatchPolicy = ALONE) -> None:
        super().__init__(call.model.name, call.rows, kind, policy)
        self.key = call.key
        self.members = [call]
        self.running = False


class Schedules(Protocol):
    """What flights are given to: a scheduler, or what chooses between several."""

    def submit(self, job: Job) -> None: ...

    def withdraw(self, job: Job) -> bool: ...


class Flights:
    """Calls that run elsewhere: equal ones share a flight; until it runs, each may leave it.

    Its lock is taken before the scheduler's, never after.
    """

    def __init__(self, scheduler: Schedules) -> None:
        self._scheduler = scheduler
        self._by_key: dict[bytes, Flight] = {}
        self._of: dict[Call, Flight] = {}
        self._lock = threading.Lock()

    def start(self, call: Call, flight: Flight) -> None:
        """Submit the call's flight, or join the one that computes the same.

        Raises Overloaded when it cannot be queued.
        """
        call.started_ns = time.perf_counter_ns()
        with self._lock:
            under_way = self._by_key.get(call.key) if call.key else None
            if under_way is not None:
                under_way.members.append(call)
                self._of[call] = under_way
                return
            self._scheduler.submit(flight)
            self._of[call] = flight
            if call.key:
                self._by_key[call.key] = flight

    def leave(self, call: Call) -> bool:
        """Take a call out before its run begins; False when it has begun.

        The run itself is dropped when nobody else waits for it.
        """
        with self._lock:
            flight = self._of.get(call)
            if flight is None or flight.running:
                return False
            if len(flight.members) > 1:
                flight.members.remove(call)
            elif self._scheduler.withdraw(flight):
                self._forget(flight)
            else:
                return False
            del self._of[call]
            return True

    def board(self, flight: Flight) -> list[Call]:
        """The flight begins to run: who is on it whose deadline has not passed."""
        now_ns = time.perf_counter_ns()
        with self._lock:
            flight.running = True
            late = [c for c in flight.members if c.deadline_ns and c.deadline_ns <= now_ns]
            flight.members = [call for call in flight.members if call not in late]
            for call in late:
                del self._of[call]
            if not flight.members:
                self._forget(flight)
        for call in late:
            call.end(None, DeadlineExceeded("its deadline passed while it waited"))
        return flight.members

    def land(
        self,
        flight: Flight,
        run: Run | None,
        error: Exception | None,
        began_ns: int,
        rows: int,
        hit: int = NO_LOOKUP,
    ) -> None:
        """Tell every member what its run found, and where its time went.

        hit: the cache that had it, see engine.types.
        """
        ended_ns = time.perf_counter_ns()
        with self._lock:
            flight.running = False
            self._forget(flight)
            for call in flight.members:
                del self._of[call]
        for call in flight.members:
            call.queue_ns += max(0, began_ns - call.started_ns)
            taken_ns = ended_ns - max(began_ns, call.started_ns)
            call.batch_rows = rows
            if hit:
                call.cache = hit
                call.cache_ns += taken_ns
            else:
                call.inference_ns += taken_ns
            try:
                call.end(run, error)
            except Exception:
                # The next in the flight are to be told all the same.
                log.exception("a caller could not be told")

    def _forget(self, flight: Flight) -> None:
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
