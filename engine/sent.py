"""A model whose rows are run on replicas elsewhere, and here whenever that is not possible."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.caching.payload import dump_run, load_run
from engine.executors.frames import Message
from engine.executors.remote import RemoteLost
from engine.executors.scheduler import Job, Scheduler
from engine.models.loaded import LoadedModel, Run
from engine.models.plan import NO_LIMIT
from engine.telemetry.histogram import BUCKETS, buckets_of, percentiles_ms

log = logging.getLogger(__name__)
MOST_REPLICAS = 256
"""Replicas whose figures are kept; the one seen longest ago goes first."""


class Calls(Protocol):
    """What runs elsewhere go through; engine.executors.ray_link.Link is one."""

    def call(self, head: Mapping[str, Any], payload: bytes, timeout_s: float) -> Message: ...


@dataclass(slots=True)
class SentCounts:
    """Since start. sent: batches answered by replicas. kept_home: whose rows the shipped forms do
    not answer, or that would take too long for one try. retries: tries after the first.
    fallbacks: batches that no replica answered.
    """

    sent: int = 0
    kept_home: int = 0
    retries: int = 0
    fallbacks: int = 0
    in_flight: int = 0


class ReplicaFigures:
    """What one replica has done: durations (queue and run there, ns) and its newest report."""

    __slots__ = ("counts", "report", "requests")

    def __init__(self) -> None:
        self.counts = np.zeros(BUCKETS, dtype=np.int64)
        self.report: dict[str, Any] = {}
        self.requests = 0

    def as_dict(self) -> dict[str, Any]:
        p50, p99 = percentiles_ms(self.counts[np.newaxis], (0.5, 0.99))[0].tolist()
        known = {"requests": self.requests} if self.requests else {}
        return known | {
            "p50_ms": p50 if self.requests else None,
            "p99_ms": p99 if self.requests else None,
        }


class Figures:
    """What replies tell of replicas, and how long the ways there and back took."""

    def __init__(self) -> None:
        self.counts = SentCounts()
        self.replicas: dict[str, ReplicaFigures] = {}
        self._trips: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def leaves(self) -> None:
        with self._lock:
            self.counts.in_flight += 1

    def answered(self, app: str, head: Mapping[str, Any], trip_ns: int) -> None:
        """A reply came: what it cost there, and the rest of the time."""
        there_ns = int(head.get("run_ns", 0)) + int(head.get("queue_ns", 0))
        places = buckets_of(np.array([there_ns, max(0, trip_ns)]))
        with self._lock:
            replica = self._replica(str(head.get("replica", "")))
            replica.counts[places[0]] += 1
            replica.requests += 1
            replica.report = dict(head)
            trips = self._trips.setdefault(app, np.zeros(BUCKETS, dtype=np.int64))
            trips[places[1]] += 1

    def _replica(self, name: str) -> ReplicaFigures:
        known = self.replicas.pop(name, None) or ReplicaFigures()
        while len(self.replicas) >= MOST_REPLICAS:
            self.replicas.pop(next(iter(self.replicas)))
        self.replicas[name] = known
        return known

    def trip_ms(self, app: str) -> tuple[float | None, float | None]:
        """The 50th and 99th percentile of an app's ways there and back."""
        with self._lock:
            trips = self._trips.get(app)
            if trips is None or not trips.any():
                return None, None
            p50, p99 = percentiles_ms(trips[np.newaxis], (0.5, 0.99))[0].tolist()
        return p50, p99

    def forget(self, app: str) -> None:
        with self._lock:
            self._trips.pop(app, None)


class Sent:
    """Stands in for `LoadedModel.run`; raises as that does.

    here: permits for runs at home, as many as there are CPU slots. on_lost: told why when no
    replica answered; until `resting` is reset, everything runs at home. most_rows: of a batch
    that is sent; a larger one would be lost only because it takes long.
    """

    def __init__(
        self,
        model: LoadedModel,
        app: str,
        calls: Calls,
        figures: Figures,
        here: threading.Semaphore,
        timeout_s: float,
        on_lost: Callable[[str], None],
        most_rows: int = NO_LIMIT,
    ) -> None:
        self.model, self.app = model, app
        self.resting = False
        self._calls, self._figures = calls, figures
        self._here, self._timeout_s, self._on_lost = here, timeout_s, on_lost
        self._most_rows, self._raised = most_rows, False
        self._waited = threading.local()

    def __call__(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run:
        """Rows on a replica, or at home."""
        self._waited.ns = 0
        model, counts = self.model, self._figures.counts
        if self.resting or model.tap is not None:
            return self._at_home(inputs, outputs)
        if _rows(inputs) > self._most_rows or not model.is_plain(inputs, outputs):
            counts.kept_home += 1
            return self._at_home(inputs, outputs)
        began_ns = time.perf_counter_ns()
        self._figures.leaves()
        try:
            run = self.ask(inputs, outputs)
        except RemoteLost as lost:
            counts.fallbacks += 1
            rested, self.resting = self.resting, True
            if not rested:
                self._on_lost(str(lost))
            run = None
        except Exception:
            # Nothing is known to raise here; a caller must not hear of it if something does.
            counts.fallbacks += 1
            if not self._raised:
                log.exception("%s was not asked; told once", self.app)
            self._raised, run = True, None
        finally:
            counts.in_flight -= 1
        if run is None:
            self._waited.ns = time.perf_counter_ns() - began_ns
            return self._at_home(inputs, outputs)
        return run

    def ask(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run | None:
        """A replica's answer; None where its forms do not answer these rows. Raises RemoteLost."""
        began_ns = time.perf_counter_ns()
        head, data = self._calls.call(
            {"op": "run", "app": self.app, "outputs": list(outputs)},
            dump_run(dict(inputs), ""),
            self._timeout_s,
        )
        counts = self._figures.counts
        counts.retries += max(0, int(head.get("tries", 1)) - 1)
        why = head.get("lost") or head.get("failed")
        if why:
            raise RemoteLost(str(why))
        if "run_ns" not in head:
            raise RemoteLost(f"a replica of {self.app} speaks otherwise than this version")
        taken_ns = time.perf_counter_ns() - began_ns
        there_ns = int(head["run_ns"]) + int(head["queue_ns"])
        self._figures.answered(self.app, head, taken_ns - there_ns)
        if "kept_home" in head:
            counts.kept_home += 1
            return None
        try:
            arrays, form = load_run(data)
        except ValueError as error:
            raise RemoteLost(str(error)) from None
        rows = _rows(inputs)
        if set(arrays) != set(outputs) or any(len(a) != rows for a in arrays.values()):
            raise RemoteLost(f"a replica of {self.app} answered something else than it was asked")
        counts.sent += 1
        self._waited.ns = taken_ns - int(head["run_ns"])
        return Run(arrays, form)

    def take_waited_ns(self) -> int:
        """How long this thread's last run was on its way or waited there; once."""
        waited_ns = int(getattr(self._waited, "ns", 0))
        self._waited.ns = 0
        return waited_ns

    def _at_home(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run:
        with self._here:
            return self.model.run(inputs, outputs)


def _rows(inputs: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(inputs.values())))


class Switch:
    """Sends the flights of models that run elsewhere to a scheduler whose slots only wait."""

    def __init__(self, here: Scheduler, elsewhere: Scheduler) -> None:
        self._here, self._elsewhere = here, elsewhere

    def submit(self, job: Job) -> None:
        """As `Scheduler.submit`."""
        sent = job.members[0].model.sent  # type: ignore[attr-defined]
        (self._here if sent is None or sent.resting else self._elsewhere).submit(job)

    def withdraw(self, job: Job) -> bool:
        """As `Scheduler.withdraw`."""
        return self._here.withdraw(job) or self._elsewhere.withdraw(job)
