"""A thread that does one thing again and again: real threads, conditions with deadlines."""

from __future__ import annotations

import threading

import pytest

from engine.periodic import Periodic
from tests.waiting import until


def test_work_that_fails_is_tried_again_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(len(calls))
        if len(calls) % 2:
            raise ValueError("every other time")

    periodic = Periodic("t", 0.001, work)
    periodic.start()
    until(lambda: len(calls) >= 5, 10, "five calls")
    periodic.stop()
    assert not periodic.is_alive
    assert periodic.failures >= 2
    assert periodic.thread.deaths == 0  # what it does failed, and not the thread
    assert "t failed once" in caplog.text


def test_one_that_was_stopped_calls_no_more() -> None:
    calls: list[None] = []
    periodic = Periodic("t", 0.001, lambda: calls.append(None))
    periodic.start()
    until(lambda: calls, 10, "a call")
    periodic.stop()
    counted = len(calls)
    assert not threading.Event().wait(0.02)
    assert len(calls) == counted


def test_time_that_was_missed_is_not_made_up_for() -> None:
    """A call of ten intervals is followed by one call, not by ten at once."""
    now_s, done = [0.0], threading.Event()
    calls: list[float] = []

    def work() -> None:
        calls.append(now_s[0])
        now_s[0] += 10.0 if len(calls) == 1 else 1.0
        if len(calls) == 4:
            done.set()
            now_s[0] -= 1000.0  # nothing is due any more

    periodic = Periodic("t", 1.0, work, monotonic=lambda: now_s[0])
    now_s[0] = 0.0
    started = threading.Thread(target=periodic.start)
    started.start()
    started.join()
    assert done.wait(10)
    periodic.stop()
    assert calls == [0.0, 10.0, 11.0, 12.0]
