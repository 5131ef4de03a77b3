"""Viewers are read and answered together while inference is busy, at once while it is not."""

from __future__ import annotations

import pytest

from app.bursts import BUSY_PER_S, EVERY_S, READING_S, Bursts
from tests.unit.rung_viewer import RungViewer, Timer


@pytest.fixture
def timer() -> Timer:
    return Timer()


def test_nobody_waits_while_few_ask(timer: Timer) -> None:
    done: list[int] = []
    bursts, viewer = Bursts(lambda: BUSY_PER_S - 1), RungViewer(timer)
    for number in range(3):
        bursts.do(viewer, lambda number=number: done.append(number))
        assert done == list(range(number + 1))
    assert timer.set == []
    assert not viewer.is_parked


def test_under_load_all_of_a_moment_are_answered_together_and_in_order(timer: Timer) -> None:
    done: list[int] = []
    bursts = Bursts(lambda: BUSY_PER_S)
    for number in range(3):
        bursts.do(RungViewer(timer), lambda number=number: done.append(number))
    assert done == []
    assert timer.delays == [EVERY_S]
    timer.ring()
    assert done == []
    assert timer.delays == [READING_S]
    timer.ring()
    assert done == [0, 1, 2]


def test_between_two_bursts_a_viewer_is_not_read(timer: Timer) -> None:
    viewer, bursts = RungViewer(timer), Bursts(lambda: BUSY_PER_S)
    bursts.do(viewer, lambda: None)
    timer.ring()
    timer.ring()
    for _ in range(2):
        assert viewer.is_parked
        assert timer.delays == [EVERY_S - READING_S]
        timer.ring()
        assert not viewer.is_parked, "what it asked is read at the tick"
        timer.ring()


def test_what_is_read_at_a_tick_is_answered_in_its_burst(timer: Timer) -> None:
    done: list[str] = []
    viewer, bursts = RungViewer(timer), Bursts(lambda: BUSY_PER_S)
    bursts.do(viewer, lambda: done.append("first"))
    timer.ring()
    timer.ring()
    timer.ring()
    bursts.do(viewer, lambda: done.append("second"))
    timer.ring()
    assert done == ["first", "second"]


def test_once_few_ask_again_all_are_read_as_before(timer: Timer) -> None:
    rate_per_s, done = [BUSY_PER_S], []
    viewer, bursts = RungViewer(timer), Bursts(lambda: rate_per_s[0])
    bursts.do(viewer, lambda: done.append("first"))
    timer.ring()
    timer.ring()
    rate_per_s[0] = 0.0
    timer.ring()
    timer.ring()
    assert not viewer.is_parked
    assert timer.set == []
    bursts.do(viewer, lambda: done.append("second"))
    assert done == ["first", "second"]


def test_one_in_the_middle_of_something_else_goes_on_being_read(timer: Timer) -> None:
    viewer, bursts = RungViewer(timer), Bursts(lambda: BUSY_PER_S)
    bursts.do(viewer, lambda: None)
    timer.ring()
    viewer.is_busy = True
    timer.ring()
    assert not viewer.is_parked
    assert timer.set == [], "nobody is left to ring for"


def test_what_comes_during_a_burst_waits_for_the_next(timer: Timer) -> None:
    done: list[str] = []
    viewer, bursts = RungViewer(timer), Bursts(lambda: BUSY_PER_S)

    def again() -> None:
        done.append("first")
        bursts.do(viewer, lambda: done.append("second"))

    bursts.do(viewer, again)
    timer.ring()
    timer.ring()
    assert done == ["first"]
    timer.ring()
    timer.ring()
    assert done == ["first", "second"]


def test_one_that_fails_keeps_nobody_else_waiting(timer: Timer) -> None:
    done: list[int] = []
    bursts = Bursts(lambda: BUSY_PER_S)

    def fails() -> None:
        raise RuntimeError("of this one alone")

    bursts.do(RungViewer(timer), lambda: done.append(1))
    bursts.do(RungViewer(timer), fails)
    bursts.do(RungViewer(timer), lambda: done.append(2))
    timer.ring()
    timer.ring()
    assert done == [1, 2]
