"""The slope's interval."""

from __future__ import annotations

import numpy as np
import pytest

from bench.lab.slope import slope_of

TIMES = np.arange(600.0)


def correlated(seed: int, share: float = 0.9) -> np.ndarray:
    """Noise of which each sample keeps `share` of the one before."""
    random = np.random.default_rng(seed)
    values = np.zeros(len(TIMES))
    for place in range(1, len(values)):
        values[place] = share * values[place - 1] + random.normal()
    return values


def test_a_line_has_its_slope() -> None:
    slope = slope_of(TIMES, 3.0 + 0.25 * TIMES)
    assert slope.middle == pytest.approx(0.25)
    assert slope.low == pytest.approx(0.25)
    assert slope.high == pytest.approx(0.25)


def test_the_interval_holds_the_truth_under_correlated_noise() -> None:
    held = 0
    for seed in range(60):
        slope = slope_of(TIMES, 0.01 * TIMES + correlated(seed), seed)
        held += slope.low <= 0.01 <= slope.high
    assert held >= 48  # 95 % in theory; blocks of a tenth are a little optimistic


def test_a_leak_well_over_the_noise_is_seen() -> None:
    slope = slope_of(TIMES, 0.05 * TIMES + correlated(7))
    assert slope.low > 0.02


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10"):
        slope_of(np.arange(9.0), np.arange(9.0))
