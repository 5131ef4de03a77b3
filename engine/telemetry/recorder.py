"""The recorder: a bounded deque on the request's side, sums per model on the ticker's.

    PhaseRow(model) = requests, hits, errors, and total ns of each phase, per second

A request costs one append (about 50 ns); everything else happens once a second.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from engine.telemetry.histogram import BUCKETS, histogram_of
from engine.telemetry.record import PHASES, RequestMetrics

MAX_PENDING = 200_000
PHASE_WINDOW_S = 60
MAX_MODELS = 500
MEMORY_SAMPLE = 64
OTHER = "(other)"


@dataclass(slots=True)
class ModelSums:
    """Since start, or over one second, for one model."""

    requests: int = 0
    hits: int = 0
    errors: int = 0
    phase_ns: dict[str, int] = field(default_factory=dict)
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))


class Recorder:
    """Takes records from any thread; `drain` is for the ticker."""

    def __init__(self) -> None:
        self._pending: deque[RequestMetrics] = deque(maxlen=MAX_PENDING)
        self.append = self._pending.append
        self.recent: deque[RequestMetrics] = deque(maxlen=200)
        self._ordinals = itertools.count()
        self.total = 0
        self.models: dict[str, ModelSums] = {}
        self._phases: deque[dict[str, ModelSums]] = deque(maxlen=PHASE_WINDOW_S)

    def sample_memory(self) -> bool:
        """True for one request in MEMORY_SAMPLE, so that memory is read for a sample."""
        return next(self._ordinals) % MEMORY_SAMPLE == 0

    def drain(self) -> tuple[dict[str, int], np.ndarray]:
        """Counts and histogram of everything recorded since the last drain."""
        records = [self._pending.popleft() for _ in range(len(self._pending))]
        self.recent.extend(records[-200:])
        self.total += len(records)
        second: dict[str, ModelSums] = {}
        by_model: dict[str, list[int]] = {}
        for record in records:
            label = self._label(record.model)
            sums = second.setdefault(label, ModelSums())
            _add(sums, record)
            by_model.setdefault(label, []).append(record.duration_ns)
        for label, durations in by_model.items():
            self._total_of(label, second[label], np.array(durations, dtype=np.float64))
        self._phases.append(second)
        return _counts(records), histogram_of(
            np.array([record.duration_ns for record in records], dtype=np.float64)
        )

    def _label(self, model: str) -> str:
        known = model in self.models or len(self.models) < MAX_MODELS
        return (model or "(unknown model)") if known else OTHER

    def _total_of(self, label: str, second: ModelSums, durations_ns: np.ndarray) -> None:
        total = self.models.setdefault(label, ModelSums())
        total.requests += second.requests
        total.hits += second.hits
        total.errors += second.errors
        total.histogram += histogram_of(durations_ns)

    def phases(self) -> dict[str, ModelSums]:
        """Sums per model over the last PHASE_WINDOW_S seconds."""
        merged: dict[str, ModelSums] = {}
        for second in tuple(self._phases):
            for label, sums in second.items():
                into = merged.setdefault(label, ModelSums())
                into.requests += sums.requests
                for phase, ns in sums.phase_ns.items():
                    into.phase_ns[phase] = into.phase_ns.get(phase, 0) + ns
        return merged


def _add(sums: ModelSums, record: RequestMetrics) -> None:
    sums.requests += 1
    sums.hits += record.cache_hit
    sums.errors += record.status >= 400
    for phase in (*PHASES, "unaccounted"):
        ns = getattr(record, f"{phase}_ns")
        if ns:
            sums.phase_ns[phase] = sums.phase_ns.get(phase, 0) + ns


def _counts(records: list[RequestMetrics]) -> dict[str, int]:
    return {
        "requests": len(records),
        "errors_4xx": sum(400 <= record.status < 500 for record in records),
        "errors_5xx": sum(record.status >= 500 for record in records),
        "hits": sum(record.cache_hit for record in records),
        "lookups": sum(record.rows > 0 for record in records),
    }
