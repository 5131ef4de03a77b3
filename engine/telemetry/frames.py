"""Consecutive stretches of time with all that was measured in each.

start_s     float64 (n,)               UTC, ascending
seconds     float64 (n,)               time covered; less than the step where some is missing
totals      int64 (n, len(TOTALS))
histograms  int64 (n, BUCKETS)
means, maxima  float64 (n, len(GAUGES))   NaN = no data
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.telemetry.histogram import BUCKETS
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import TOTALS


@dataclass(slots=True)
class Frames:
    """See the module."""

    start_s: np.ndarray
    seconds: np.ndarray
    totals: np.ndarray
    histograms: np.ndarray
    means: np.ndarray
    maxima: np.ndarray

    def __len__(self) -> int:
        return len(self.start_s)

    def kept(self, chosen: np.ndarray) -> Frames:
        """The frames chosen, bool (n,)."""
        return Frames(
            self.start_s[chosen],
            self.seconds[chosen],
            self.totals[chosen],
            self.histograms[chosen],
            self.means[chosen],
            self.maxima[chosen],
        )


def no_frames(count: int = 0) -> Frames:
    """Frames that hold nothing."""
    return Frames(
        np.zeros(count),
        np.zeros(count),
        np.zeros((count, len(TOTALS)), dtype=np.int64),
        np.zeros((count, BUCKETS), dtype=np.int64),
        np.full((count, len(GAUGES)), np.nan),
        np.full((count, len(GAUGES)), np.nan),
    )


def joined(parts: Sequence[Frames]) -> Frames:
    """Frames one after the other."""
    parts = [part for part in parts if len(part)] or [no_frames()]
    if len(parts) == 1:
        return parts[0]
    fields = ("start_s", "seconds", "totals", "histograms", "means", "maxima")
    return Frames(*(np.concatenate([getattr(p, name) for p in parts]) for name in fields))


def regrouped(frames: Frames, first_s: float, step_s: float, count: int) -> Frames:
    """The same on a regular grid of `count` steps from first_s; what lies outside is left out.

    Sums and histograms add up; means are weighted by time; seconds tell what is covered.
    """
    grid = no_frames(count)
    grid.start_s = first_s + step_s * np.arange(count)
    # In the middle of each frame: one that begins a millisecond early is in its own step.
    places = np.floor((frames.start_s + frames.seconds / 2 - first_s) / step_s).astype(np.int64)
    inside = (places >= 0) & (places < count)
    if not inside.any():
        return grid
    frames, places = frames.kept(inside), places[inside]
    order = np.argsort(places, kind="stable")
    frames, places = frames.kept(order), places[order]
    filled, starts = np.unique(places, return_index=True)
    grid.seconds[filled] = np.add.reduceat(frames.seconds, starts)
    grid.totals[filled] = np.add.reduceat(frames.totals, starts)
    grid.histograms[filled] = np.add.reduceat(frames.histograms, starts)
    weights = np.where(np.isnan(frames.means), 0.0, frames.seconds[:, np.newaxis])
    weighted = np.add.reduceat(np.nan_to_num(frames.means) * weights, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        grid.means[filled] = weighted / np.add.reduceat(weights, starts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all of them NaN is NaN
        grid.maxima[filled] = np.fmax.reduceat(frames.maxima, starts)
    return grid
