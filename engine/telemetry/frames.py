"""A regular grid of time with all that was measured in each step.

    seconds     float64 (n,)               time covered; less than the step where some is missing
    totals      int64 (n, len(TOTALS))
    histograms  int64 (n, BUCKETS)
    means, maxima  float64 (n, len(GAUGES))   NaN = no data

What is added to a grid adds up: sums and histograms as they are, means weighted by time.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from engine.telemetry.histogram import BUCKETS
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import TOTALS


@dataclass(frozen=True, slots=True)
class Grid:
    """`count` steps of step_s from first_s, UTC."""

    first_s: float
    step_s: float
    count: int

    @property
    def until_s(self) -> float:
        return self.first_s + self.step_s * self.count

    def places(self, middle_s: np.ndarray) -> np.ndarray:
        """The step, int64, that each time is in; below 0 or from count on where it is outside."""
        found: np.ndarray = np.floor((middle_s - self.first_s) / self.step_s).astype(np.int64)
        return found


class Frames:
    """What was measured in each step of a grid; empty at first."""

    def __init__(self, grid: Grid) -> None:
        count = grid.count
        self.grid = grid
        self.start_s = grid.first_s + grid.step_s * np.arange(count)
        self.seconds = np.zeros(count)
        self.totals = np.zeros((count, len(TOTALS)), dtype=np.int64)
        self.histograms = np.zeros((count, BUCKETS), dtype=np.int64)
        self.maxima = np.full((count, len(GAUGES)), np.nan)
        self._weighted = np.zeros((count, len(GAUGES)))
        self._weights = np.zeros((count, len(GAUGES)))

    def __len__(self) -> int:
        return self.grid.count

    @property
    def means(self) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = self._weighted / self._weights
        return found

    def add_time(self, places: np.ndarray, seconds: np.ndarray) -> None:
        """Cover time; places within the grid."""
        self.seconds += np.bincount(places, seconds, len(self))

    def add_gauges(
        self, places: np.ndarray, seconds: np.ndarray, means: np.ndarray, maxima: np.ndarray
    ) -> None:
        """Add gauges (n, len(GAUGES)) that lasted so long; places ascending, within the grid."""
        if not len(places):
            return
        filled, starts = np.unique(places, return_index=True)
        weights = np.where(np.isnan(means), 0.0, seconds[:, np.newaxis])
        self._weights[filled] += np.add.reduceat(weights, starts)
        self._weighted[filled] += np.add.reduceat(np.nan_to_num(means) * weights, starts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # all of them NaN is NaN
            highest = np.fmax.reduceat(maxima, starts)
            self.maxima[filled] = np.fmax(self.maxima[filled], highest)

    def add_rows(self, places: np.ndarray, totals: np.ndarray, histograms: np.ndarray) -> None:
        """Add sums and dense histograms; places ascending, within the grid."""
        if not len(places):
            return
        filled, starts = np.unique(places, return_index=True)
        self.totals[filled] += np.add.reduceat(totals, starts)
        self.histograms[filled] += np.add.reduceat(histograms, starts, dtype=np.int64)
