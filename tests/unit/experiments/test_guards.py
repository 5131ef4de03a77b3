"""Guard rails: what must stop does, noise does not, however often they look."""

from __future__ import annotations

import numpy as np
import pytest

from engine.experiments.agreement import Agreement
from engine.experiments.blocks import Blocks
from engine.experiments.definition import DEFAULT_GUARDS, Guard
from engine.experiments.guards import look_at_disagreement, look_at_errors, look_at_p99

ERRORS, P99 = Guard(0.01, 100), Guard(1.5, 500)
DISAGREEMENT = Guard(0.001, 200, 0.001)


def first_stop(differing: np.ndarray, guard: Guard) -> int | None:
    """How many requests it took; None where it never stopped."""
    agreement = Agreement("candidate")
    for number, differs in enumerate(differing, 1):
        agreement.counts.requests = agreement.counts.rows = number
        agreement.counts.rows_differing += int(differs)
        agreement.counts.shares += float(differs)
        if number % 20 == 0 and look_at_disagreement(guard, agreement).passed:
            return number
    return None


def test_one_wrong_row_in_a_hundred_stops_at_a_limit_of_one_in_a_thousand() -> None:
    random = np.random.default_rng(1)
    stops = [first_stop(random.random(4000) < 0.01, DISAGREEMENT) for _ in range(60)]
    assert None not in stops
    assert 200 <= np.median([stop for stop in stops if stop]) < 1500


def test_noise_below_the_limit_stops_nothing() -> None:
    random = np.random.default_rng(2)
    stops = [first_stop(random.random(4000) < 0.0005, DISAGREEMENT) for _ in range(150)]
    assert stops.count(None) >= 149


def test_not_even_a_rate_at_the_limit_stops_but_once_in_a_thousand() -> None:
    random = np.random.default_rng(3)
    stops = [first_stop(random.random(2000) < 0.02, Guard(0.02, 50, 0.0)) for _ in range(300)]
    assert len(stops) - stops.count(None) <= 2


def test_nothing_stops_before_the_least_number() -> None:
    assert not look_at_errors(ERRORS, (0, 1000), (99, 99)).passed
    assert look_at_errors(ERRORS, (0, 1000), (100, 100)).passed


@pytest.mark.parametrize(
    ("control", "candidate", "passed"),
    [
        ((0, 2000), (100, 2000), True),
        ((0, 2000), (2, 2000), False),
        ((100, 2000), (110, 2000), False),  # what both suffer is not the candidate's fault
        ((100, 2000), (400, 2000), True),
        ((0, 3), (30, 200), True),  # control was hardly asked
    ],
)
def test_errors_are_judged_beside_controls(
    control: tuple[int, int], candidate: tuple[int, int], passed: bool
) -> None:
    assert look_at_errors(ERRORS, control, candidate).passed is passed


def timed(random: np.random.Generator, ratio: float, seconds: int = 30) -> Blocks:
    blocks = Blocks(2)
    for second in range(seconds):
        for variant in (0, 1):
            times = random.lognormal(1.0, 0.4, 100) * (ratio if variant else 1.0)
            blocks.add(float(second), variant, times)
    return blocks


@pytest.mark.parametrize(
    ("ratio", "passed"), [(3.0, True), (2.0, True), (1.2, False), (1.0, False)]
)
def test_a_tail_half_again_as_long_stops(ratio: float, passed: bool) -> None:
    assert look_at_p99(P99, timed(np.random.default_rng(4), ratio), 0, 1).passed is passed


def test_one_stall_of_the_machine_is_no_reason() -> None:
    blocks = timed(np.random.default_rng(5), 1.0)
    blocks.add(12.0, 1, np.full(100, 900.0))
    look = look_at_p99(P99, blocks, 0, 1)
    assert look.value is not None
    assert look.value > 5
    assert not look.passed


def test_a_tail_at_the_limit_stops_nothing_at_any_second() -> None:
    random, stops = np.random.default_rng(6), 0
    for _ in range(40):
        blocks = Blocks(2)
        stopped = False
        for second in range(40):
            for variant in (0, 1):
                times = random.lognormal(1.0, 0.4, 60) * (1.5 if variant else 1.0)
                blocks.add(float(second), variant, times)
            stopped |= look_at_p99(P99, blocks, 0, 1).passed
        stops += stopped
    assert stops <= 1


def test_controls_tail_must_be_known_first() -> None:
    blocks = Blocks(2)
    for second in range(20):
        blocks.add(float(second), 0, np.ones(10))
        blocks.add(float(second), 1, np.full(50, 9.0))
    look = look_at_p99(P99, blocks, 0, 1)
    assert (look.passed, look.value) == (False, None)
    assert "control's p99" in look.text


def test_every_guard_rail_has_a_default() -> None:
    assert set(DEFAULT_GUARDS) == {"errors", "p99", "disagreement"}
