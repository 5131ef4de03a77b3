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


def value_now(rule: Rule, ring: Ring) -> float | None:
    """The value at this second; None where too little was measured."""
    seconds = math.ceil(rule.window)
    if not rule.is_figure:
        return reduced(rule.reduce, ring.gauge(rule.metric, seconds))
    totals, histogram = ring.window(seconds)
    if totals["requests"] < rule.min_requests:
        return None
    covered = min(seconds, ring.seq)
    return figures_of_window(covered, totals, histogram)[rule.metric] if covered else None


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
