"""The search for the highest good rate."""

from __future__ import annotations

import pytest

from bench.lab.ramp import MOST_HALVINGS, halving, rising
from bench.lab.spec import spec_from


def search(good: float, bad: float, limit: float) -> list[tuple[float, bool]]:
    """Rates tried where everything up to `limit` is good."""
    tried: list[tuple[float, bool]] = []
    steps = halving(good, bad)
    rate = next(steps, None)
    while rate is not None:
        tried.append((rate, rate <= limit))
        try:
            rate = steps.send(rate <= limit)
        except StopIteration:
            break
    return tried


def test_a_rise_goes_from_the_first_rate_to_the_last_in_equal_steps() -> None:
    ramp = {"from_per_s": 100, "to_per_s": 500, "steps": 5, "step_s": 1}
    spec = spec_from(
        {"url": "http://x", "model": "m", "loop": "open", "slo": {"p99_ms": 1}, "ramp": ramp}
    )
    assert rising(spec) == [100, 200, 300, 400, 500]


def test_halving_comes_within_two_percent_of_the_limit() -> None:
    tried = search(1000, 1400, limit=1234)
    best = max(rate for rate, good in tried if good)
    assert best <= 1234
    assert best == pytest.approx(1234, rel=0.02)


def test_halving_is_bounded() -> None:
    assert len(search(1, 1e6, limit=3)) == MOST_HALVINGS


def test_nothing_is_tried_between_rates_that_are_close() -> None:
    assert search(1000, 1010, limit=1005) == []
