"""How much work each part of the engine saves, from the requests of one second. Pure.

    plan        what the model as it is would have taken for the same runs, minus what they took
    batching    what each request's rows would have taken alone, minus its part of the joined run
    responses   what recent requests spent on decoding, running, encoding and gzip, a hit, minus
                what the hit took
    results     what recent requests spent on running, a hit, minus what the hit took
    disk        the same of answers read back from disk
    redis       the same of answers that another server had computed
    embeddings  what encoding the found rows would have taken, by the mean of those encoded

Each is compared with the same server without that part alone, so they do not add up to
anything. Times of runs, hits and misses are measured; what was not done is an estimate: by a
table of times by rows for plan and batching, by the mean of what was done for the caches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SOURCES = ("plan", "batching", "responses", "results", "disk", "redis", "embeddings")
SOURCE_AT = {name: place for place, name in enumerate(SOURCES)}
FEW_ROWS = 256
"""Times of fewer rows are kept in a table: of thousands of requests each second's are asked."""
HALF_LIFE_S = 300.0
"""What requests spend is remembered so that one from this long ago counts half."""


class Times:
    """Time of a run by its rows. Between measured sizes, and beyond the largest, it grows evenly.

    run_us: microseconds by rows, at least one size. scale: every time is multiplied by it.
    """

    def __init__(self, run_us: Mapping[int, float], scale: float = 1.0) -> None:
        sizes = sorted(run_us)
        self._rows = np.array(sizes, dtype=np.float64)
        self._ns = np.array([run_us[size] for size in sizes]) * 1000.0 * scale
        self._slope, self._few_ns = 0.0, np.empty(0)
        if len(sizes) > 1:
            rise = (self._ns[-1] - self._ns[-2]) / (self._rows[-1] - self._rows[-2])
            self._slope = max(0.0, float(rise))
        self._few_ns = self._grown(np.arange(FEW_ROWS))

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Nanoseconds of runs with so many rows, int (n,); float64 (n,)."""
        few = not len(rows) or rows.max() < FEW_ROWS
        return self._few_ns[rows] if few else self._grown(rows)

    def _grown(self, rows: np.ndarray) -> np.ndarray:
        beyond = np.maximum(0.0, rows - self._rows[-1]) * self._slope
        found: np.ndarray = np.interp(rows, self._rows, self._ns) + beyond
        return found


class Ran(NamedTuple):
    """Requests that a run answered, each (n,): its rows, its run's rows, ns of the whole run."""

    rows: np.ndarray
    batch_rows: np.ndarray
    run_ns: np.ndarray

    @property
    def own_ns(self) -> np.ndarray:
        """Each request's part of its run."""
        part: np.ndarray = self.run_ns * (self.rows / self.batch_rows)
        return part


def saved_by_plan_ns(ran: Ran, oracle: Times) -> float:
    """Requests of one run share what it saved by their rows."""
    as_it_is = oracle.at(ran.batch_rows) * (ran.rows / ran.batch_rows)
    return float((as_it_is - ran.own_ns).sum())


def saved_by_batching_ns(ran: Ran, form: Times) -> float:
    """Of requests whose run had rows of others too. form: of the form that serves."""
    joined = ran.batch_rows > ran.rows
    return float((form.at(ran.rows) - ran.own_ns)[joined].sum())


@dataclass(slots=True)
class Spent:
    """What requests of one model that ran spent lately, ns. Old ones count less and less.

    answering: decoding, running, encoding, gzip and the cache; running: the run and the cache.
    """

    requests: float = 0.0
    answering: float = 0.0
    running: float = 0.0

    def add(self, requests: int, answering_ns: float, running_ns: float, elapsed_s: float) -> None:
        """Add the requests of the last elapsed_s seconds."""
        kept = math.exp2(-elapsed_s / HALF_LIFE_S)
        self.requests = self.requests * kept + requests
        self.answering = self.answering * kept + answering_ns
        self.running = self.running * kept + running_ns

    def saved_ns(self, source: str, hits: int, hits_ns: float) -> float | None:
        """What hits saved that took hits_ns together; None where nothing ran to compare with."""
        if self.requests < 1e-6:
            return None
        each = (self.answering if source == "responses" else self.running) / self.requests
        return hits * each - hits_ns
