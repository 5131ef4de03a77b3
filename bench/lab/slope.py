"""The slope of a series over time, with an interval that believes in correlated noise.

Ordinary least squares; the interval is that of a moving-block bootstrap of the residuals:
blocks of BLOCK_S are drawn with replacement, added to the fitted line and fitted again.
Neighbouring samples of a process' memory are alike, so that resampling single ones would make
the interval far too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK_SHARE = 0.1
"""A block, as a share of the series: long against what correlates, short enough to draw ten."""
RESAMPLES = 2000
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Slope:
    """Per second; low and high are the ends of a 95 % interval."""

    middle: float
    low: float
    high: float


def slope_of(times_s: np.ndarray, values: np.ndarray, seed: int = 0) -> Slope:
    """The slope of values (n,) at rising times (n,), n at least 10. Raises ValueError for fewer."""
    if len(values) < 10:
        raise ValueError(f"{len(values)} values; a slope needs at least 10")
    centred = times_s - times_s.mean()
    weights = centred / (centred @ centred)
    middle = float(weights @ values)
    residuals = values - values.mean() - middle * centred
    block = max(2, round(BLOCK_SHARE * len(values)))
    random = np.random.default_rng(seed)
    blocks = -(-len(values) // block)
    firsts = random.integers(0, len(values) - block + 1, (RESAMPLES, blocks))
    places = (firsts[..., np.newaxis] + np.arange(block)).reshape(RESAMPLES, -1)
    slopes = residuals[places[:, : len(values)]] @ weights + middle
    low, high = np.percentile(slopes, INTERVAL)
    return Slope(middle, float(low), float(high))
