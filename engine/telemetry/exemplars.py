"""Slow requests worth looking at: the slowest and a random sample of each minute.

What is kept is a request's record, no payload. The newest MINUTES minutes, at most
SLOWEST + SAMPLED records each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Drained, Recorder
from engine.telemetry.rows import COLUMN, places_of

MINUTES = 60
SLOWEST = 5
SAMPLED = 5
MAX_TRACED = 2048
_DURATION, _LABEL, _ORDINAL = COLUMN["duration_ns"], COLUMN["label"], COLUMN["ordinal"]


class Exemplars:
    """Fed once a second by the ticker.

    traced: records whose caller sent a trace id, for an exporter to take. stacks_in: the
    profiler's samples that fell into an exemplar, by its record and its end, perf_counter ns.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._random = np.random.default_rng()
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self.traced: deque[RequestMetrics] = deque(maxlen=MAX_TRACED)
        self.stacks_in: Callable[[RequestMetrics, int], Sequence[Any]] = lambda record, ended: ()

    def add(self, drained: Drained, now_s: float) -> None:
        """Take one second's requests."""
        rows = drained.rows
        traced = [ordinal for ordinal, named in drained.names.items() if named.trace_id]
        if traced:
            found = rows[np.isin(rows[:, _ORDINAL], traced)]
            self.traced.extend(self._recorder.records(found, drained.names))
        service = self._recorder.labels.is_service()[rows[:, _LABEL]]
        rows = rows[places_of(service)]
        if not len(rows):
            return
        number = int(now_s // 60)
        if not self._minutes or self._minutes[-1].number != number:
            self._minutes.append(Minute(number))
        minute = self._minutes[-1]
        minute.add(rows, drained, self._recorder, self._random)
        for record in (*minute.slowest, *minute.sample):
            if record.samples is None:
                record.samples = self.stacks_in(record, self._recorder.ended_ns(record))

    def samples_of(self, request_id: str) -> Sequence[Any]:
        """The profiler's samples that fell into an exemplar; none where it is not kept."""
        for minute in reversed(tuple(self._minutes)):
            for record in (*minute.slowest, *minute.sample):
                if record.request_id == request_id:
                    return record.samples or ()
        return ()

    def as_dicts(self, model: str | None = None) -> list[dict[str, Any]]:
        """Every exemplar kept, newest minute first, the slowest first within it."""
        found = []
        for minute in reversed(tuple(self._minutes)):
            for why, records in (("slowest", minute.slowest), ("sample", minute.sample)):
                found += [
                    record.as_dict() | {"why": why}
                    for record in list(records)
                    if model is None or record.model == model
                ]
        return found


class Minute:
    """The exemplars of one minute of the monotonic clock."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.slowest: list[RequestMetrics] = []
        self.sample: list[RequestMetrics] = []
        self._seen = 0

    def add(
        self,
        rows: np.ndarray,
        drained: Drained,
        recorder: Recorder,
        random: np.random.Generator,
    ) -> None:
        """Keep the slowest of these and those before, and a uniform sample of all."""
        most = min(SLOWEST, len(rows))
        slow = rows[np.argpartition(rows[:, _DURATION], -most)[-most:]]
        known = self.slowest + recorder.records(slow, drained.names)
        self.slowest = sorted(known, key=lambda record: -record.duration_ns)[:SLOWEST]
        size = min(SAMPLED, self._seen + len(rows))
        # How many of a uniform sample of all would be new ones.
        new = int(random.hypergeometric(len(rows), self._seen, size))
        chosen = rows[random.choice(len(rows), new, replace=False)]
        kept = [self.sample[place] for place in random.permutation(len(self.sample))[: size - new]]
        self._seen += len(rows)
        self.sample = kept + recorder.records(chosen, drained.names)
