"""Merging: percentiles of added histograms are those of the pooled samples, whoever had which."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fleet.steps import (
    PERCENTILES,
    RING_S,
    STEP_S,
    STEPS,
    WINDOW_STEPS,
    StepRing,
    added,
    figures_of,
    figures_of_all,
    merged,
    percentiles_by_step,
    percentiles_of,
)
from tests.unit.fleet.exports import START_S, at, packed_of, step_of

WITHIN = 0.01
DURATIONS = st.lists(st.floats(0.002, 100_000), min_size=1, max_size=200)


def exact(samples: list[float], share: float) -> float:
    """The smallest sample that `share` of them do not exceed."""
    ordered = sorted(samples)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


@given(st.lists(DURATIONS, min_size=1, max_size=8))
def test_merged_percentiles_are_those_of_the_pooled_samples(processes: list[list[float]]) -> None:
    pooled = [sample for samples in processes for sample in samples]
    found = percentiles_of(merged(packed_of(samples) for samples in processes))
    for name, share in PERCENTILES.items():
        assert found[name] == pytest.approx(exact(pooled, share), rel=WITHIN)


@given(DURATIONS, st.data())
def test_how_samples_are_split_over_processes_and_steps_changes_nothing(
    samples: list[float], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=5).map(sorted))
    edges = [0, *cuts, len(samples)]
    parts = [samples[a:b] for a, b in pairwise(edges)]
    whole, split = merged([packed_of(samples)]), merged(packed_of(part) for part in parts)
    assert np.array_equal(whole, split)


def test_the_mean_of_percentiles_is_no_percentile() -> None:
    """One process answers 9,900 quick requests, another 100 slow ones."""
    quick, slow = [1.0 + i / 1e5 for i in range(9_900)], [500.0 + i for i in range(100)]
    each = [percentiles_of(merged([packed_of(part)])) for part in (quick, slow)]
    together = percentiles_of(merged([packed_of(quick), packed_of(slow)]))
    wrong = sum(one["p99_ms"] or 0 for one in each) / 2
    right = exact(quick + slow, 0.99)
    assert together["p99_ms"] == pytest.approx(right, rel=WITHIN)
    assert abs(wrong - right) / right > 100
    weighted = ((each[0]["p50_ms"] or 0) * 9_900 + (each[1]["p50_ms"] or 0) * 100) / 10_000
    assert weighted > 5 * (together["p50_ms"] or 0)


def test_parts_of_a_step_add_up() -> None:
    one, other = step_of(7, [1, 2, 3], 1, "a", 2), step_of(7, [100.0], 0, "b", 3)
    both = added(one, other)
    assert (both.seconds, both.counts) == (5, (4, 1, 0, 0))
    assert figures_of([both])["p99_ms"] == pytest.approx(100, rel=WITHIN)
    assert {name: part.requests for name, part in both.models.items()} == {"a": 3, "b": 1}
    again = added(both, step_of(7, [5.0], 1, "a", 0))
    assert (again.models["a"].requests, again.models["a"].errors) == (4, 2)


def test_nothing_is_no_data() -> None:
    found = figures_of([])
    assert {found[name] for name in (*PERCENTILES, "requests_per_s", "hit_percent")} == {None}
    assert figures_of_all([])["requests_per_s"] is None


def test_rates_add_up_and_a_process_that_came_late_counts_with_its_own_seconds() -> None:
    long = [step_of(n, [1.0] * 50) for n in range(12)]  # 10/s for a minute
    late = [step_of(11, [1.0] * 100)]  # 20/s for five seconds
    found = figures_of_all([long, late])
    assert found["requests_per_s"] == pytest.approx(30)
    assert found["requests"] == 700
    assert "seconds" not in found


def test_shares_are_of_all_requests() -> None:
    found = figures_of_all([[step_of(1, [1.0] * 90)], [step_of(1, [1.0] * 10, errors=10)]])
    assert found["error_percent"] == pytest.approx(10)


def test_the_ring_keeps_ten_minutes_and_models_one() -> None:
    ring = StepRing()
    last = at(START_S)
    for number in range(last - 2 * STEPS, last + 1):
        ring.add(step_of(number, [1.0]))
    ring.prune(START_S)
    assert len(ring) == STEPS
    kept = ring.newest(STEPS, START_S)
    assert [step.number for step in kept] == list(range(last - STEPS + 1, last + 1))
    assert [bool(step.models) for step in kept] == [False] * (STEPS - WINDOW_STEPS) + [
        True
    ] * WINDOW_STEPS


def test_what_lies_far_ahead_is_dropped() -> None:
    ring = StepRing()
    ring.add(step_of(at(START_S + RING_S), [1.0]))
    ring.prune(START_S)
    assert not len(ring)


def test_percentiles_of_each_step_are_of_all_processes() -> None:
    steps = [step_of(5, [1.0] * 10), step_of(5, [9.0] * 90), step_of(7, [3.0])]
    found = percentiles_by_step(steps, 5, 3)
    p50 = list(PERCENTILES).index("p50_ms")
    assert found[0, p50] == pytest.approx(9, rel=WITHIN)
    assert np.isnan(found[1]).all()
    assert found[2, p50] == pytest.approx(3, rel=WITHIN)
    assert STEP_S * STEPS == RING_S
