"""The recorder: a bounded integer array on the request's side, sums per model on the ticker's.

    numbers  int64 (requests, 1 + len(NUMBERS))   model, status, rows, hit, duration, phases (ns)

A request costs one row (about 1 us); once a second the ticker takes the rows and sums them,
without a step in Python for each.
"""

from __future__ import annotations

import itertools
import threading
from array import array
from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from engine.telemetry.histogram import BUCKETS, histogram_of
from engine.telemetry.record import PHASES, RequestMetrics

MAX_PENDING = 200_000
PHASE_WINDOW_S = 60
MAX_MODELS = 500
MEMORY_SAMPLE = 64
OTHER = "(other)"
UNKNOWN = "(unknown model)"
NUMBERS = ("status", "rows", "cache_hit", "duration_ns", *(f"{phase}_ns" for phase in PHASES))
_NUMBERS_OF = attrgetter(*NUMBERS)
_MODEL, _STATUS, _ROWS, _HIT, _DURATION = range(5)
_FIRST_PHASE = 5
_WIDTH = 1 + len(NUMBERS)


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
        self._pending = array("q")
        self._lock = threading.Lock()
        self._labels: list[str] = []
        self._label_ids: dict[str, int] = {}
        self.recent: deque[RequestMetrics] = deque(maxlen=200)
        self._ordinals = itertools.count()
        self.total = 0
        self.dropped = 0
        self.models: dict[str, ModelSums] = {}
        self._phases: deque[dict[str, ModelSums]] = deque(maxlen=PHASE_WINDOW_S)

    def append(self, record: RequestMetrics) -> None:
        """Take a finished record; over MAX_PENDING before the next drain are counted only."""
        row = _NUMBERS_OF(record)
        label = self._label_ids.get(record.model)
        with self._lock:
            if label is None:
                label = self._label_id(record.model)
            if len(self._pending) >= MAX_PENDING * _WIDTH:
                self.dropped += 1
                return
            self._pending.append(label)
            self._pending.extend(row)
        self.recent.append(record)

    def _label_id(self, model: str) -> int:
        """Under the lock: the number of a model's label; at most MAX_MODELS have their own."""
        if len(self._labels) >= MAX_MODELS:
            model = OTHER
        if model not in self._label_ids:
            self._label_ids[model] = len(self._labels)
            self._labels.append(model or UNKNOWN)
        return self._label_ids[model]

    def sample_memory(self) -> bool:
        """True for one request in MEMORY_SAMPLE, so that memory is read for a sample."""
        return next(self._ordinals) % MEMORY_SAMPLE == 0

    def drain(self) -> tuple[dict[str, int], np.ndarray]:
        """Counts and histogram of everything recorded since the last drain."""
        with self._lock:
            pending, self._pending = self._pending, array("q")
        numbers = np.array(pending, dtype=np.int64).reshape(-1, _WIDTH)
        self.total += len(numbers)
        second: dict[str, ModelSums] = {}
        for label in np.unique(numbers[:, _MODEL]).tolist():
            self._add(self._labels[label], numbers[numbers[:, _MODEL] == label], second)
        self._phases.append(second)
        return _counts(numbers), histogram_of(numbers[:, _DURATION].astype(np.float64))

    def _add(self, label: str, numbers: np.ndarray, second: dict[str, ModelSums]) -> None:
        """Book one model's requests of the last second."""
        sums = second.setdefault(label, ModelSums())
        total = self.models.setdefault(label, ModelSums())
        errors = int((numbers[:, _STATUS] >= 400).sum())
        for into in (sums, total):
            into.requests += len(numbers)
            into.hits += int(numbers[:, _HIT].sum())
            into.errors += errors
        total.histogram += histogram_of(numbers[:, _DURATION].astype(np.float64))
        phases = numbers[:, _FIRST_PHASE:].sum(axis=0).tolist()
        rest = int(numbers[:, _DURATION].sum()) - sum(phases)
        for phase, ns in zip((*PHASES, "unaccounted"), (*phases, rest), strict=True):
            if ns:
                sums.phase_ns[phase] = sums.phase_ns.get(phase, 0) + ns

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


def _counts(numbers: np.ndarray) -> dict[str, int]:
    status = numbers[:, _STATUS]
    return {
        "requests": len(numbers),
        "errors_4xx": int(((status >= 400) & (status < 500)).sum()),
        "errors_5xx": int((status >= 500).sum()),
        "hits": int(numbers[:, _HIT].sum()),
        "lookups": int((numbers[:, _ROWS] > 0).sum()),
    }
