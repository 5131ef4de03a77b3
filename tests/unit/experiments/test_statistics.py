"""Holm, the sample-ratio check, and intervals that hold whenever they are looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.experiments.running_mean import RunningMeans
from engine.experiments.statistics import Sequence, holm, rate_interval, sample_ratio


def test_holm_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1; the last may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    random = np.random.default_rng(3)
    for _ in range(500):
        p_values = random.beta(0.4, 2, size=6)
        adjusted = np.array(holm(p_values.tolist()))
        order, rejected = np.argsort(p_values), set()
        for rank, at in enumerate(order):
            if p_values[at] > 0.05 / (6 - rank):
                break
            rejected.add(int(at))
        assert rejected == set(np.flatnonzero(adjusted <= 0.05).tolist())


def test_holm_keeps_false_alarms_of_a_family_at_alpha() -> None:
    random = np.random.default_rng(4)
    alarms = sum(min(holm(random.random(6).tolist())) <= 0.05 for _ in range(4000))
    assert 0.035 < alarms / 4000 < 0.06


def test_sample_ratio_by_hand() -> None:
    # (60 - 50)^2 / 50 twice is 4.0; of one degree of freedom p is 0.0455.
    assert sample_ratio([60, 40], [0.5, 0.5]) == pytest.approx(0.0455, abs=1e-4)
    assert sample_ratio([50, 50], [0.5, 0.5]) == pytest.approx(1.0)
    assert sample_ratio([5000, 5400], [0.5, 0.5]) < 0.001
    assert sample_ratio([3, 4], [0.5, 0.5]) is None


def test_a_rate_interval_holds_at_every_look() -> None:
    """Looked at after each of 2,000 trials: outside at any of them at most alpha of the time."""
    alpha, runs, true = 0.05, 400, 0.02
    random, misses = np.random.default_rng(5), 0
    looks = [*range(1, 200), *range(200, 2001, 20)]
    for _ in range(runs):
        hits = np.cumsum(random.random(2000) < true)
        misses += any(
            not low <= true <= high
            for low, high in (rate_interval(int(hits[n - 1]), n, alpha) for n in looks)
        )
    assert misses / runs <= alpha


def test_a_rate_interval_by_hand() -> None:
    # Nothing of n: M_n(p) = B(1/2, n + 10) / B(1/2, 10) / (1 - p)^n, solved for 1 / alpha.
    n, alpha = 100, 0.001
    log_mixture = math.lgamma(n + 10) - math.lgamma(n + 10.5)
    mixture = math.exp(log_mixture - math.lgamma(10) + math.lgamma(10.5))
    low, high = rate_interval(0, n, alpha)
    assert (low, high) == pytest.approx((0.0, 1 - (mixture * alpha) ** (1 / n)))
    assert rate_interval(0, 0, alpha) == (0.0, 1.0)
    low, high = rate_interval(n, n, alpha)
    assert low > 0.5
    assert high == 1.0
    low, high = rate_interval(5_000, 10_000, 0.05)
    assert 0.47 < low < 0.5 < high < 0.53


@pytest.mark.parametrize("law", ["normal", "heavy"])
def test_peeking_at_every_step_raises_no_false_alarm(law: str) -> None:
    alpha, runs = 0.05, 1500
    random, alarms, misses = np.random.default_rng(6), 0, 0
    for _ in range(runs):
        sequence = Sequence(alpha)
        values = random.normal(size=150) if law == "normal" else random.standard_t(6, size=150)
        alarmed = missed = False
        for value in values:
            sequence.add(0.01 * float(value))
            alarmed |= sequence.p <= alpha
            missed |= not sequence.low <= 0.0 <= sequence.high
        alarms, misses = alarms + alarmed, misses + missed
    assert alarms / runs <= alpha
    assert misses / runs <= alpha
    # It is a test and not a wall: some runs do alarm.
    assert alarms > 0


def test_a_fixed_test_looked_at_as_often_would_alarm_far_more() -> None:
    """What the sequence is for: the same looks with an ordinary t-test."""
    from scipy.stats import ttest_1samp

    random, alarms = np.random.default_rng(6), 0
    for _ in range(150):
        values = random.normal(size=150)
        alarms += any(ttest_1samp(values[:n], 0).pvalue <= 0.05 for n in range(5, 151, 5))
    assert alarms / 150 > 0.15


def test_a_sequence_finds_a_shift_and_closes_in_on_it() -> None:
    random, sequence = np.random.default_rng(11), Sequence(0.05)
    for value in random.normal(math.log(1.2), 0.03, size=40):
        sequence.add(float(value))
    assert sequence.p < 1e-6
    low, high = sequence.interval
    assert low < math.log(1.2) < high
    assert high - low < 0.05
    again = Sequence.from_dict(sequence.as_dict())
    assert again == sequence


def test_nothing_can_be_said_of_a_few_values() -> None:
    sequence = Sequence(0.05)
    for value in (0.1, 0.2, 0.15, 0.12):
        sequence.add(value)
        assert sequence.interval == (-math.inf, math.inf)
    sequence.add(0.11)
    assert math.isfinite(sequence.low)
    assert Sequence.from_dict(Sequence(0.05).as_dict()) == Sequence(0.05)


def latencies(random: np.random.Generator, seconds: int, per_s: float) -> list[list[np.ndarray]]:
    """Two variants alike: log-normal, with a level that drifts for both, 9 requests to 1."""
    level, found = 0.0, []
    for _ in range(seconds):
        level = 0.9 * level + random.normal(0, 0.08)
        counts = random.poisson(per_s * 0.9), random.poisson(per_s * 0.1)
        found.append([np.exp(level + random.normal(0, 0.5, count)) for count in counts])
    return found


def test_variants_alike_raise_no_alarm_however_often_one_looks() -> None:
    """The whole way: requests, blocks, sequence; a look at every second of ten minutes."""
    random, alarms, runs = np.random.default_rng(8), 0, 200
    for _ in range(runs):
        means = RunningMeans(2, 0.05)
        for second, both in enumerate(latencies(random, 600, 40)):
            for variant, times_ms in enumerate(both):
                means.add(float(second), variant, times_ms)
        alarms += means.pairs[0].sequence.p <= 0.05
    assert alarms / runs <= 0.05
    assert means.pairs[0].sequence.count > 60
