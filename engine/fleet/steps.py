"""What processes served, in steps of time that add up: over parts of a step, over processes.

    step    the STEP_S seconds from number * STEP_S, UTC
      seconds    how long of it is covered
      counts     requests, errors, hits, lookups
      packed     durations: a packed histogram, see engine.telemetry.histogram
      models     name -> (requests, errors, packed)

Percentiles are read from added histograms. The mean of percentiles is no percentile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.telemetry.histogram import BUCKETS, pack, percentiles_ms, unpack

STEP_S = 5
RING_S = 600
STEPS = RING_S // STEP_S
"""What is kept of each process."""
WINDOW_S = 60
WINDOW_STEPS = WINDOW_S // STEP_S
"""What live figures are of, and how long models are told apart."""
COUNTS = ("requests", "errors", "hits", "lookups")
PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p99_9_ms": 0.999}


class ModelPart(NamedTuple):
    """What one model served in a step."""

    requests: int
    errors: int
    packed: bytes


class Step(NamedTuple):
    """What one process served in a step, or in a part of it."""

    number: int
    seconds: float
    counts: tuple[int, ...]
    packed: bytes
    models: Mapping[str, ModelPart]


def merged(packed: Iterable[bytes]) -> np.ndarray:
    """One histogram, int64 (BUCKETS,), of packed ones."""
    parts = list(packed)
    found: np.ndarray = unpack(parts, np.zeros(len(parts), dtype=np.int64), 1)[0]
    return found


def added(one: Step, other: Step) -> Step:
    """Two parts of a step as one."""
    models = dict(one.models)
    for name, part in other.models.items():
        models[name] = _added_part(models[name], part) if name in models else part
    return Step(
        one.number,
        one.seconds + other.seconds,
        tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        _added_packed(one.packed, other.packed),
        models,
    )


def _added_part(one: ModelPart, other: ModelPart) -> ModelPart:
    packed = _added_packed(one.packed, other.packed)
    return ModelPart(one.requests + other.requests, one.errors + other.errors, packed)


def _added_packed(one: bytes, other: bytes) -> bytes:
    if not (one and other):
        return one or other
    return pack(merged((one, other)))


class StepRing:
    """The newest STEPS steps of one process."""

    def __init__(self) -> None:
        self._steps: dict[int, Step] = {}

    def add(self, step: Step) -> None:
        """Take a step, or a further part of one."""
        have = self._steps.get(step.number)
        self._steps[step.number] = step if have is None else added(have, step)

    def prune(self, now_s: float) -> None:
        """Drop what is older than the ring, or so far ahead that a clock must have been set; models
        are told apart within the window only."""
        newest = int(now_s // STEP_S)
        for number in list(self._steps):
            step = self._steps[number]
            if not newest - STEPS < number <= newest + WINDOW_STEPS:
                del self._steps[number]
            elif number <= newest - WINDOW_STEPS and step.models:
                self._steps[number] = step._replace(models={})

    def newest(self, steps: int, now_s: float) -> list[Step]:
        """Those of the last steps until now, the running one among them, oldest first."""
        last = int(now_s // STEP_S)
        wanted = range(last - steps + 1, last + 1)
        return [self._steps[number] for number in wanted if number in self._steps]

    def __len__(self) -> int:
        return len(self._steps)


def figures_of(steps: Sequence[Step]) -> dict[str, float | int | None]:
    """Figures of one process over its steps; None where there is no data."""
    seconds = sum(step.seconds for step in steps)
    requests, errors, hits, lookups = (
        sum(step.counts[place] for step in steps) for place in range(len(COUNTS))
    )
    found: dict[str, float | int | None] = {
        "seconds": seconds,
        "requests": requests,
        "requests_per_s": requests / seconds if seconds else None,
        "errors_per_s": errors / seconds if seconds else None,
        "error_percent": 100 * errors / requests if requests else None,
        "hit_percent": 100 * hits / lookups if lookups else None,
    }
    return found | percentiles_of(merged(step.packed for step in steps))


def figures_of_all(processes: Sequence[Sequence[Step]]) -> dict[str, float | int | None]:
    """Figures of several processes together: rates add up, histograms add up.

    A process that has covered less of the time counts with its rate so far.
    """
    each = [figures_of(steps) for steps in processes]
    every = [step for steps in processes for step in steps]
    found = figures_of(every)
    for rate in ("requests_per_s", "errors_per_s"):
        known = [one[rate] for one in each if one[rate] is not None]
        found[rate] = sum(known) if known else None  # type: ignore[arg-type]
    del found["seconds"]
    return found


def percentiles_of(histogram: np.ndarray) -> dict[str, float | None]:
    """PERCENTILES, ms, of one histogram (BUCKETS,); None of an empty one."""
    values = percentiles_ms(histogram[np.newaxis], tuple(PERCENTILES.values()))[0]
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(PERCENTILES, values, strict=True)
    }


def percentiles_by_step(steps: Sequence[Step], first: int, height: int) -> np.ndarray:
    """PERCENTILES, ms, (height, len(PERCENTILES)), of the steps from number `first` on.

    Steps of one number, whichever process they are of, are added up; NaN where nothing was served.
    """
    inside = [step for step in steps if 0 <= step.number - first < height]
    rows = np.array([step.number - first for step in inside], dtype=np.int64)
    dense = unpack([step.packed for step in inside], rows, height)
    return percentiles_ms(dense.reshape(height, BUCKETS), tuple(PERCENTILES.values()))
