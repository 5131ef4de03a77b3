"""The recorder: a bounded deque on the request's side, sums per model on the ticker's.

A request costs one append (about 50 ns). Once a second the ticker turns what came into one
integer array, a row a request, and sums it by model:

    numbers  int64 (requests, len(NUMBERS))   status, rows, hit, duration and phases in ns
"""

from __future__ import annotations

import itertools
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
NUMBERS = ("status", "rows", "cache_hit", "duration_ns", *(f"{phase}_ns" for phase in PHASES))
_NUMBERS_OF = attrgetter(*NUMBERS)
_STATUS, _ROWS, _HIT, _DURATION = range(4)
_FIRST_PHASE = 4


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
        numbers = np.array([_NUMBERS_OF(record) for record in records], dtype=np.int64)
        numbers = numbers.reshape(-1, len(NUMBERS))
        second: dict[str, ModelSums] = {}
        for name, places in _places_by_model(records).items():
            own = numbers if len(places) == len(records) else numbers[places]
            self._add(self._label(name), own, second)
        self._phases.append(second)
        return _counts(numbers), histogram_of(numbers[:, _DURATION].astype(np.float64))

    def _label(self, model: str) -> str:
        known = model in self.models or len(self.models) < MAX_MODELS
        return (model or "(unknown model)") if known else OTHER

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


def _places_by_model(records: list[RequestMetrics]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        places.setdefault(record.model, []).append(place)
    return places


def _counts(numbers: np.ndarray) -> dict[str, int]:
    status = numbers[:, _STATUS]
    return {
        "requests": len(numbers),
        "errors_4xx": int(((status >= 400) & (status < 500)).sum()),
        "errors_5xx": int((status >= 500).sum()),
        "hits": int(numbers[:, _HIT].sum()),
        "lookups": int((numbers[:, _ROWS] > 0).sum()),
    }
