"""Intervals with known answers, and how often they are right, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.gate.statistics import (
    Interval,
    Sample,
    interval_of,
    interval_of_change,
    trimmed_mean,
)
from bench.gate.verdict import verdict_of

ROUNDS, BLOCKS, QUADS = 4, 10, 12
PROCESS_SD, BLOCK_SD, QUAD_SD = 0.006, 0.008, 0.05
"""Logs. As measured on a busy machine: between starts, between blocks, between quads."""
DRAWS = 300
GATES = 60


def simulated(
    percent: float, seed: int, rounds: int = ROUNDS, process_sd: float = PROCESS_SD
) -> Sample:
    """Quads of a slow-down, with noise that has heavy tails."""
    random = np.random.default_rng(seed)
    middle = math.log1p(percent / 100)
    return [
        [
            (
                middle + start + random.normal(0, BLOCK_SD) + QUAD_SD * random.standard_t(3, QUADS)
            ).tolist()
            for _ in range(BLOCKS)
        ]
        for start in random.normal(0, process_sd, rounds)
    ]


def failing(percent: float, threshold: float = 3.0) -> int:
    """Of GATES simulated gates, those that fail."""
    found = 0
    for seed in range(GATES):
        interval = interval_of(simulated(percent, seed), draws=DRAWS)
        found += verdict_of(interval, threshold, ROUNDS * BLOCKS).fails
    return found


def test_a_trimmed_mean_leaves_out_a_fifth_at_each_end() -> None:
    values = np.array([1000.0, 3, 4, 5, 6, 7, 8, 9, -1000, 2])
    assert trimmed_mean(values) == pytest.approx((3 + 4 + 5 + 6 + 7 + 8) / 6)


def test_few_values_are_all_counted() -> None:
    assert trimmed_mean(np.array([1.0, 2.0, 6.0])) == 3.0


def test_a_change_without_noise_is_exact() -> None:
    interval = interval_of([[[math.log(1.08)] * 5] * 3] * 2, draws=50)
    assert (interval.percent, interval.low, interval.high) == pytest.approx((8, 8, 8))


def test_a_change_between_two_samples_is_the_ratio_of_their_figures() -> None:
    before = [[[math.log(20)] * 3] * 4]
    after = [[[math.log(25)] * 3] * 4]
    assert interval_of_change(before, after, draws=50).percent == pytest.approx(25)


def test_of_two_starts_that_differ_the_interval_holds_both_and_more() -> None:
    """Draws of two starts are (a, a), (a, b), (b, b); sqrt(2) wider than those."""
    interval = interval_of([[[0.00] * 4] * 4, [[0.02] * 4] * 4], draws=500)
    assert interval.low == pytest.approx(100 * math.expm1(0.01 - 0.01 * math.sqrt(2)))
    assert interval.high == pytest.approx(100 * math.expm1(0.01 + 0.01 * math.sqrt(2)))


def test_the_same_seed_gives_the_same_interval() -> None:
    sample = simulated(8, 1)
    assert interval_of(sample, seed=3, draws=DRAWS) == interval_of(sample, seed=3, draws=DRAWS)


@pytest.mark.parametrize("sample", [[], [[]], [[[]]]])
def test_nothing_measured_has_no_interval(sample: Sample) -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        interval_of(sample)


def test_an_interval_reads_as_percent() -> None:
    assert str(Interval(8.0, 7.125, 9.0)) == "+8.00 % (+7.12 to +9.00)"


def test_a_slow_down_of_8_percent_fails_the_gate() -> None:
    assert failing(8.0) >= 0.95 * GATES


def test_no_slow_down_passes_the_gate() -> None:
    assert failing(0.0) == 0


def test_a_slow_down_of_just_the_threshold_seldom_fails_the_gate() -> None:
    assert failing(3.0) <= 0.15 * GATES


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(GATES):
        interval = interval_of(simulated(5.0, seed), draws=DRAWS)
        held += interval.low <= 5.0 <= interval.high
    assert held >= 0.85 * GATES


def test_blocks_alike_within_are_no_more_evidence_for_their_many_values() -> None:
    """What all quads of a block share is one observation, not twelve."""
    random = np.random.default_rng(5)
    blocks = [[shift] * QUADS for shift in random.normal(0, 0.02, 30)]
    interval = interval_of([blocks], draws=500)
    assert interval.high - interval.low > 2 * 1.5 * 100 * 0.02 / math.sqrt(30)
