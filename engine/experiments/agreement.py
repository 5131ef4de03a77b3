"""Whether two variants answered the same: row by row, output by output.

A row differs where a label differs, or a number by more than the tolerance. Labels are all
that is no float; of a matrix of floats with several columns, the place of its largest is a
label too, but it alone makes no row differ: two equal probabilities have no order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engine.experiments.statistics import rate_interval

MOST_EXAMPLES = 20
MOST_VALUES = 16
INTERVAL_ALPHA = 0.001
"""Guard rails look every second, and must not stop by chance more than once in a thousand."""


class Compared(NamedTuple):
    """differing: bool (rows,). largest: difference of numbers, None where there are none.

    worst: the output in which each differing row differs.
    """

    differing: np.ndarray
    labels: int
    labels_differing: int
    largest: float | None
    worst: dict[int, str]


def compare(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], rows: int, tolerance: float
) -> Compared:
    """Two answers to the same rows. An output that is absent or of another shape differs.

    A number beside none differs, without a difference that could be the largest.
    """
    differing = np.zeros(rows, dtype=bool)
    labels, labels_differing, largest = 0, 0, None
    worst: dict[int, str] = {}
    for name, expected in one.items():
        found = other.get(name)
        if found is None or found.shape != expected.shape:
            off: Any = np.ones(rows, dtype=bool)
        elif expected.dtype.kind == "f" and found.dtype.kind in "fiu":
            gaps = _gaps(expected, found).reshape(rows, -1)
            per_row = gaps.max(axis=1, initial=0.0)
            off = per_row > tolerance
            most = float(per_row[np.isfinite(per_row)].max(initial=0.0))
            largest = most if largest is None else max(largest, most)
            if expected.ndim == 2 and expected.shape[1] > 1:
                labels += rows
                unlike = expected.argmax(axis=1) != found.argmax(axis=1)
                labels_differing += int(unlike.sum())
        else:
            off = (np.asarray(expected != found)).reshape(rows, -1).any(axis=1)
            labels += rows
            labels_differing += int(off.sum())
        for row in np.flatnonzero(off & ~differing)[:MOST_EXAMPLES].tolist():
            worst[row] = name
        differing |= off
    return Compared(differing, labels, labels_differing, largest, worst)


def _gaps(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Absolute differences; 0 where both are NaN or the same infinity, inf where one is NaN."""
    with np.errstate(invalid="ignore"):
        gaps = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    result: np.ndarray = np.where(same, 0.0, np.where(np.isnan(gaps), np.inf, gaps))
    return result


@dataclass(slots=True)
class Counts:
    """What comparisons with one candidate found.

    shares: the share of differing rows of each request, summed: rows of one request are alike,
    so it is requests that are counted. failed: the candidate did not answer.
    """

    requests: int = 0
    rows: int = 0
    rows_differing: int = 0
    labels_compared: int = 0
    labels_differing: int = 0
    shares: float = 0.0
    failed: int = 0
    largest_difference: float | None = None


class Agreement:
    """A candidate's answers beside control's. Not safe for several threads: its owner locks."""

    def __init__(self, candidate: str) -> None:
        self.candidate = candidate
        self.counts = Counts()
        self.examples: deque[dict[str, Any]] = deque(maxlen=MOST_EXAMPLES)

    def add(
        self,
        control: Mapping[str, np.ndarray],
        candidate: Mapping[str, np.ndarray],
        compared: Compared,
        digest: bytes,
        t: float,
    ) -> None:
        """Take a request's comparison. digest: of its inputs. t: UTC seconds."""
        counts, rows = self.counts, len(compared.differing)
        counts.requests += 1
        counts.rows += rows
        counts.rows_differing += int(compared.differing.sum())
        counts.labels_compared += compared.labels
        counts.labels_differing += compared.labels_differing
        counts.shares += float(compared.differing.mean())
        if compared.largest is not None:
            counts.largest_difference = max(counts.largest_difference or 0.0, compared.largest)
        for row, output in compared.worst.items():
            left, right = control[output], candidate.get(output)
            pair = _shown(left, row), None if right is None else _shown(right, row)
            self.examples.append(
                {
                    "t": t,
                    "request": digest.hex()[:16],
                    "row": row,
                    "output": output,
                    "control": pair[0],
                    "candidate": pair[1],
                    "difference": _difference(*pair),
                }
            )

    def add_failure(self) -> None:
        """The candidate raised where control answered."""
        self.counts.failed += 1

    def interval(self) -> tuple[float, float]:
        """Of the share of rows that differ, whenever it is looked at."""
        counts = self.counts
        return rate_interval(counts.shares, counts.requests, INTERVAL_ALPHA)

    def as_dict(self) -> dict[str, Any]:
        """The public form."""
        counts, (low, high) = self.counts, self.interval()
        return {
            "candidate": self.candidate,
            "requests": counts.requests,
            "rows": counts.rows,
            "rows_differing": counts.rows_differing,
            "differing_percent": 100 * counts.rows_differing / counts.rows if counts.rows else None,
            "labels_compared": counts.labels_compared,
            "labels_differing": counts.labels_differing,
            "largest_difference": counts.largest_difference,
            "failed": counts.failed,
            "low_percent": 100 * low,
            "high_percent": 100 * high,
            "examples": list(reversed(self.examples)),
        }


def _shown(array: np.ndarray, row: int) -> list[Any]:
    """A row's values, the first MOST_VALUES; what JSON cannot hold is null or text."""
    if row >= len(array):
        return []
    values = np.asarray(array[row]).reshape(-1)[:MOST_VALUES]
    if values.dtype.kind == "f":
        return [float(value) if np.isfinite(value) else None for value in values]
    if values.dtype.kind in "OUS":
        return [str(value)[:80] for value in values]
    found: list[Any] = values.tolist()
    return found


def _difference(left: list[Any], right: list[Any] | None) -> float | None:
    pairs = list(zip(left, right or (), strict=False))
    numbers = [
        abs(a - b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)
    ]
    return max(numbers, default=None)
