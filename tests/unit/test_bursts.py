"""Answers to viewers go out together while inference is busy, and at once while it is not."""

from __future__ import annotations

from collections.abc import Callable

from app.bursts import BUSY_PER_S, EVERY_S, Bursts


class Timer:
    """A loop's timers, rung by the test."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        self.set.append((delay_s, action))
        return lambda: None

    def ring(self) -> None:
        ringing, self.set = self.set, []
        for _, action in ringing:
            action()


def test_nobody_waits_while_few_ask() -> None:
    timer, done, bursts = Timer(), [], Bursts(lambda: BUSY_PER_S - 1)
    for number in range(3):
        bursts.do(timer, lambda number=number: done.append(number))
        assert done == list(range(number + 1))
    assert timer.set == []


def test_under_load_all_of_a_moment_are_answered_together_and_in_order() -> None:
    rate_per_s = [BUSY_PER_S]
    timer, done, bursts = Timer(), [], Bursts(lambda: rate_per_s[0])
    for number in range(3):
        bursts.do(timer, lambda number=number: done.append(number))
    rate_per_s[0] = 0.0
    bursts.do(timer, lambda: done.append(3))
    assert done == []
    assert [delay_s for delay_s, _ in timer.set] == [EVERY_S]
    timer.ring()
    assert done == [0, 1, 2, 3]
    bursts.do(timer, lambda: done.append(4))
    assert done[-1] == 4


def test_what_comes_during_a_burst_waits_for_the_next() -> None:
    timer, done, bursts = Timer(), [], Bursts(lambda: BUSY_PER_S)

    def again() -> None:
        done.append("first")
        bursts.do(timer, lambda: done.append("second"))

    bursts.do(timer, again)
    timer.ring()
    assert done == ["first"]
    timer.ring()
    assert done == ["first", "second"]


def test_one_that_fails_keeps_nobody_else_waiting() -> None:
    timer, done, bursts = Timer(), [], Bursts(lambda: BUSY_PER_S)

    def fails() -> None:
        raise RuntimeError("of this one alone")

    bursts.do(timer, lambda: done.append(1))
    bursts.do(timer, fails)
    bursts.do(timer, lambda: done.append(2))
    timer.ring()
    assert done == [1, 2]
