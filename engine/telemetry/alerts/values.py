"""A rule's value over its window: from the ring second by second, or over past frames."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from engine.telemetry.alerts.rules import Rule
from engine.telemetry.figures import figures_of, figures_of_window
from engine.telemetry.frames import Frames
from engine.telemetry.ring import Ring
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import TOTAL_AT

_REDUCERS: dict[str, Any] = {"mean": np.nanmean, "max": np.nanmax, "min": np.nanmin}


class Reader:
    """Values at this second; windows that several rules share are merged once."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._requests: dict[int, int] = {}
        self._figures: dict[int, dict[str, float | None]] = {}

    def value(self, rule: Rule) -> float | None:
        """A rule's value; None where too little was measured."""
        seconds = math.ceil(rule.window)
        if not rule.is_figure:
            return reduced(rule.reduce, self._ring.gauge(rule.metric, seconds))
        requests = self._requests.get(seconds)
        if requests is None:
            requests = self._requests[seconds] = self._ring.requests(seconds)
        if requests < max(1, rule.min_requests):
            return None
        if seconds not in self._figures:
            covered = min(seconds, self._ring.seq)
            figures = figures_of_window(covered, *self._ring.window(seconds))
            self._figures[seconds] = figures
        return self._figures[seconds][rule.metric]


def reduced(how: str, values: np.ndarray) -> float | None:
    """A gauge's values as one; None where there are none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return float(known[-1] if how == "last" else _REDUCERS[how](known))


def values_of(rule: Rule, frames: Frames, step_s: float) -> np.ndarray:
    """The value at the end of each frame, float64 (n,), NaN = no data. For previews."""
    width = max(1, round(rule.window / step_s))
    if not rule.is_figure:
        source = frames.maxima if rule.reduce == "max" else frames.means
        column = source[:, GAUGES.index(rule.metric)]
        return _rolling(column, 1 if rule.reduce == "last" else width, rule.reduce)
    totals, histograms = _summed(frames.totals, width), _summed(frames.histograms, width)
    seconds = _summed(frames.seconds[:, np.newaxis], width)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = figures_of(np.where(seconds > 0, seconds, np.nan), totals, histograms)[rule.metric]
    return np.where(totals[:, TOTAL_AT["requests"]] < rule.min_requests, np.nan, values)


def _summed(table: np.ndarray, width: int) -> np.ndarray:
    """Each row with the width - 1 rows before it added."""
    sums = np.cumsum(table, axis=0)
    summed = sums.copy()
    summed[width:] -= sums[:-width]
    return summed


def _rolling(column: np.ndarray, width: int, how: str) -> np.ndarray:
    padded = np.concatenate([np.full(width - 1, np.nan), column])
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    if how == "last":
        return column.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a window of NaN is NaN
        found: np.ndarray = _REDUCERS[how](windows, axis=1)
    return found
