"""Runs of calls: at once in the caller's thread when quick, else on a CPU slot.

compute   waits: here when quick, shared with equal calls; else on a slot
run_now   here, whoever calls must know that it is quick
start     on a slot, alone or in a batch; equal calls share one run; told when done
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.caching.disk import DiskTier
from engine.caching.embeddings import EmbeddingCache
from engine.caching.key import result_key
from engine.caching.memory import tensors_bytes
from engine.caching.payload import dump_run, load_run
from engine.caching.single_flight import SingleFlight
from engine.call import Call, Flight, Flights
from engine.config import Settings
from engine.errors import ModelFailed
from engine.executors.scheduler import Job, Scheduler
from engine.in_flight import InFlight
from engine.models.loaded import LoadedModel, Run
from engine.types import DISK_HIT, NO_LOOKUP, SHARED_HIT

if TYPE_CHECKING:
    from engine.sharing import Sharing

log = logging.getLogger(__name__)
STALL_NS = 20_000_000
"""A run in a thread that must not wait, this much longer than its plan said, is counted."""


class Runs:
    """Where calls run, and where their answers are kept.

    disk: keeps answers of slow models; None keeps none. sharing: shares them with other servers.
    """

    sharing: Sharing | None = None

    def __init__(
        self,
        settings: Settings,
        embeddings: EmbeddingCache | None,
        disk: DiskTier | None,
        in_flight: InFlight,
    ) -> None:
        self.embeddings, self.disk = embeddings, disk
        self._in_flight = in_flight
        slots = settings.cpu_slots or max(1, (os.cpu_count() or 1) - 1)
        self.scheduler = Scheduler(slots, settings.model_queue, self._execute)
        self._schedulers = [self.scheduler]
        self.flights = Flights(self.scheduler)
        self._shared: SingleFlight[Run] = SingleFlight()

    def send_elsewhere(self, slots: int) -> Scheduler:
        """A scheduler for models whose rows are run elsewhere: its slots only wait."""
        from engine.sent import Switch

        elsewhere = Scheduler(slots, self.scheduler.max_queued, self._execute)
        self._schedulers.append(elsewhere)
        self.flights = Flights(Switch(self.scheduler, elsewhere))
        return elsewhere

    def waiting(self, name: str) -> tuple[int, int]:
        """Calls of a model that wait, and its runs under way, here and elsewhere."""
        counts = [scheduler.waiting(name) for scheduler in self._schedulers]
        return sum(queued for queued, _ in counts), sum(running for _, running in counts)

    def is_quick(self, call: Call) -> bool:
        """True when the plan measured the run as short enough for a thread that must not wait."""
        return call.encoder is None and call.rows <= call.model.quick_rows

    def compute(self, call: Call) -> None:
        """Run a call and wait for its end. Raises Overloaded when it finds no place."""
        if call.encoder is not None or self.is_quick(call):
            self._run_shared(call)
            return
        ended = threading.Event()
        call.on_done = ended.set
        self.start(call)
        ended.wait()

    def run_now(self, call: Call) -> None:
        """Run a quick call in this thread."""
        self._run_here(call)
        if call.inference_ns > STALL_NS:
            call.model.stalled()

    def _run_here(self, call: Call) -> None:
        began_ns = time.perf_counter_ns()
        try:
            call.run = self._run(call)
        except Exception as error:
            call.error = error
        self._book(call, began_ns)

    def _run_shared(self, call: Call) -> None:
        """Run here, or share the run of an equal call in another thread."""
        if call.tier is None:
            self._run_here(call)
            return
        began_ns = time.perf_counter_ns()
        try:
            call.run, led = self._shared.run(call.key, lambda: self._run(call))
        except Exception as error:
            call.error, led = error, True
        if led:
            self._book(call, began_ns)
        else:
            call.queue_ns = time.perf_counter_ns() - began_ns

    def _book(self, call: Call, began_ns: int) -> None:
        """What a run in this thread took; its answer is kept where results are cached."""
        ran_ns = time.perf_counter_ns()
        call.inference_ns, call.batch_rows = ran_ns - began_ns, call.rows
        if call.tier is not None and call.run is not None:
            self._keep(call, call.run)
            call.cache_ns += time.perf_counter_ns() - ran_ns

    @staticmethod
    def _keep(call: Call, run: Run) -> None:
        assert call.tier is not None
        model = call.model
        size_bytes, ttl_s = tensors_bytes(run.outputs), model.entry.declared.cache_ttl_s
        call.tier.put(call.key, run, size_bytes, model.name, ttl_s)

    def start(self, call: Call) -> None:
        """Run a call on a CPU slot; its `on_done` is called once, from any thread.

        Raises Overloaded at once when too many wait for its model.
        """
        policy = call.model.batching
        kind = (call.model, call.outputs, _layout(call.inputs)) if policy.batches else None
        self.flights.start(call, Flight(call, kind, policy))

    def _execute(self, jobs: list[Job]) -> None:
        """On a slot: run flights of one kind, together where there are several."""
        flights = [job for job in jobs if isinstance(job, Flight) and self.flights.board(job)]
        try:
            self._execute_flights(flights)
        except BaseException as raised:
            # A fault of our own, or whatever ends a thread: nobody may wait for ever.
            log.exception("runs of %s were ended", jobs[0].group)
            error = ModelFailed(f"model {jobs[0].group!r}: its run was ended: {raised!r}")
            now_ns = time.perf_counter_ns()
            for flight in flights:
                if flight.running:
                    self.flights.land(flight, None, error, now_ns, 0)

    def _execute_flights(self, flights: list[Flight]) -> None:
        began_ns = time.perf_counter_ns()
        if len(flights) > 1 and self.sharing is not None:
            flights = self.sharing.land(self.flights, flights, began_ns)
        if len(flights) > 1:
            # Whose request a batch is, nobody can say.
            whose = flights[0].members[0].as_mark()._replace(request_id="")
            with self._in_flight.working_for(whose):
                if self._execute_batch(flights, began_ns):
                    return
        for flight in flights:
            with self._in_flight.working_for(flight.members[0]):
                self._fly(flight)

    def _fly(self, flight: Flight) -> None:
        """Run one flight alone, or find its answer on disk or with another server."""
        began_ns = time.perf_counter_ns()
        call = flight.members[0]
        error: Exception | None = None
        run, hit = self._find(call)
        try:
            if run is None:
                run = self._run(call)
                self._keep_both(call, run)
        except Exception as raised:
            error = raised
            if self.sharing is not None:
                self.sharing.give_up(call)
        began_ns += 0 if hit else _waited_ns(call)
        self.flights.land(flight, run, error, began_ns, 0 if hit else call.rows, hit)

    def _find(self, call: Call) -> tuple[Run | None, int]:
        """A slow model's answer and the cache that had it, into memory too."""
        sharing = self.sharing
        if sharing is not None:
            sharing.begin(call)
        run = self._read_back(call)
        if run is not None or sharing is None:
            if sharing is not None:
                sharing.settle(call)
            return run, NO_LOOKUP if run is None else DISK_HIT
        run = sharing.find(call)
        return run, NO_LOOKUP if run is None else SHARED_HIT

    def _execute_batch(self, flights: list[Flight], began_ns: int) -> bool:
        """Run flights as one batch; False when it failed, so that each is to run alone."""
        calls = [flight.members[0] for flight in flights]
        first = calls[0]
        rows = sum(call.rows for call in calls)
        try:
            joined = {
                name: np.concatenate([call.inputs[name] for call in calls]) for name in first.inputs
            }
            answer = (first.model.sent or first.model.run)(joined, first.outputs)
            began_ns += _waited_ns(first)
            place, parts = 0, []
            for call in calls:
                parts.append(_rows_of(answer, rows, place, place + call.rows))
                place += call.rows
        except BaseException:
            # One of them is to blame; alone, only that one fails.
            return False
        for flight, call, part in zip(flights, calls, parts, strict=True):
            self._keep_both(call, part)
            self.flights.land(flight, part, None, began_ns, rows)
        return True

    def _read_back(self, call: Call) -> Run | None:
        """A slow model's answer from disk, into memory too."""
        if call.tier is None or self.disk is None or call.model.entry.declared.cache_ttl_s:
            return None
        payload = self.disk.read(call.key, call.model.name)
        if payload is None:
            return None
        try:
            outputs, form = load_run(payload)
        except ValueError:
            return None
        run = Run(outputs, form)
        self._keep(call, run)
        return run

    def _keep_both(self, call: Call, run: Run) -> None:
        """Keep a slow model's answer in memory and, unless it is to expire, on disk."""
        if call.tier is None:
            return
        self._keep(call, run)
        if self.disk is not None and not call.model.entry.declared.cache_ttl_s:
            self.disk.offer(call.key, lambda: dump_run(run.outputs, run.form), call.model.name)
        if self.sharing is not None:
            self.sharing.keep(call, run)

    def _run(self, call: Call) -> Run:
        """Run the model, marked as this call's work."""
        with self._in_flight.working_for(call):
            return self._run_model(call)

    def _run_model(self, call: Call) -> Run:
        """Run the model, on its encoder's output where it names one."""
        if call.encoder is None:
            return (call.model.sent or call.model.run)(call.inputs, call.outputs)
        vectors = self._encode(call, call.encoder)
        name = call.model.signature.inputs[0].name
        run = call.model.sent or call.model.run
        return run(call.model.signature.bind({name: vectors}), call.outputs)

    def _encode(self, call: Call, encoder: LoadedModel) -> np.ndarray:
        output = encoder.signature.check_outputs(())

        def encode(places: list[int]) -> np.ndarray:
            rows = {name: array[places] for name, array in call.inputs.items()}
            return encoder.run(rows, output).outputs[output[0]]

        if self.embeddings is None or not call.use_cache:
            call.encoder_misses = call.rows
            return encode(list(range(call.rows)))
        singles = (
            {name: array[place : place + 1] for name, array in call.inputs.items()}
            for place in range(call.rows)
        )
        keys = [result_key(encoder.digest, single, output) for single in singles]
        embedded = self.embeddings.rows(keys, encode, encoder.name)
        call.encoder_hits, call.encoder_misses = embedded.hits, embedded.misses
        return embedded.vectors


def _waited_ns(call: Call) -> int:
    """How long this thread's last run was on its way elsewhere: that is no inference."""
    sent = call.model.sent
    return sent.take_waited_ns() if sent is not None else 0


def _layout(inputs: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """What two requests must have in common for their rows to be joined."""
    return tuple((name, array.dtype, array.shape[1:]) for name, array in inputs.items())


def _rows_of(run: Run, rows: int, begin: int, end: int) -> Run:
    """Some rows of a batch's answer, as arrays of their own. Raises when it has other rows."""
    outputs = {}
    for name, array in run.outputs.items():
        if len(array) != rows:
            raise ModelFailed(f"output {name!r} has {len(array)} rows for {rows}")
        outputs[name] = part = array[begin:end].copy()
        part.flags.writeable = False
    return Run(outputs, run.form)
