"""When the sampler looks, by an injected clock."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from engine.profiling.pace import Pace
from tests.waiting import until

MS = 1_000_000


class Clock:
    """Time that sleeping moves on, and that a look may take. ends: stops the pace then."""

    def __init__(self, ends_ns: int) -> None:
        self.now_ns, self.ends_ns = 0, ends_ns
        self.pace: Pace | None = None

    def sleep(self, seconds: float) -> None:
        self.now_ns += max(1, round(seconds * 1e9))
        if self.now_ns >= self.ends_ns and self.pace is not None:
            self.pace.set(0)
            self.pace._stopped = True


def run(hz: float, ends_ms: int, look: Callable[[Clock, int], None]) -> Pace:
    clock = Clock(ends_ms * MS)
    pace = Pace(
        lambda elapsed: look(clock, elapsed), hz, lambda: clock.now_ns, clock.sleep, clock.sleep
    )
    clock.pace = pace
    pace._run()
    return pace


def test_looks_are_a_period_apart() -> None:
    seen: list[int] = []
    pace = run(50, 1000, lambda clock, elapsed: seen.append(elapsed))
    assert len(seen) in (49, 50)
    assert pace.missed == 0
    assert all(abs(elapsed - 20 * MS) < 5 for elapsed in seen)


def test_a_look_that_comes_late_weighs_what_passed_and_its_missed_ticks_are_counted() -> None:
    seen: list[int] = []

    def look(clock: Clock, elapsed: int) -> None:
        seen.append(elapsed)
        if len(seen) == 3:
            clock.now_ns += 95 * MS

    pace = run(100, 500, look)
    assert pace.missed == 8, "the ticks at 50 to 120 ms"
    assert max(seen) >= 95 * MS
    assert sum(seen) >= 480 * MS, "no time is lost"


def test_a_look_that_raises_is_not_the_last() -> None:
    calls: list[int] = []

    def look(clock: Clock, elapsed: int) -> None:
        calls.append(elapsed)
        raise ValueError

    assert run(100, 200, look).looks == len(calls) > 10


def test_the_switch_interval_comes_back_however_many_share_it() -> None:
    before = sys.getswitchinterval()
    paces = [Pace(lambda elapsed: None, 199) for _ in range(3)]
    for pace in paces:
        pace.start()
    until(lambda: all(pace.looks > 40 for pace in paces), 10, "some looks of each")
    for pace in paces:
        pace.stop()
    assert sys.getswitchinterval() == before


def test_a_pace_that_is_stopped_does_not_sleep_on() -> None:
    pace = Pace(lambda elapsed: None, 0.05)
    pace.start()
    began = time.monotonic()
    pace.stop()
    assert time.monotonic() - began < 1
    assert not pace.is_alive


def test_the_switch_interval_is_what_it_was() -> None:
    before = sys.getswitchinterval()
    during: list[float] = []
    run(29, 1000, lambda clock, elapsed: during.append(sys.getswitchinterval()))
    assert sys.getswitchinterval() == before
    assert set(during) == {before}, "a look itself is not to be interrupted"
