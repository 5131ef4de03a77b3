"""What the viewers' benchmark sends are real polls, counted by who is told to count them."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from bench.open_tabs import Period, tabs
from bench.viewers import HERE, Cost, Found, Seen, judge
from bench.wrk import Window
from tests.conftest import RunningServer
from tests.contract.http import call


def polls_at(server: RunningServer) -> int:
    """Polls that the server itself says it answered."""
    return int(call(server.port, "GET", "/performance/system")[2]["http"]["fast_lane"]["viewers"])


def test_tabs_ask_once_a_second_while_they_are_watched(server: RunningServer) -> None:
    with tabs(server.port, 5) as watch:
        with watch() as first:
            time.sleep(1.0)
        between = polls_at(server)
        time.sleep(1.5)
        assert polls_at(server) == between, "nobody asks between two blocks"
        with watch() as second:
            time.sleep(2.0)
        after = polls_at(server)
    for (period,), seconds in ((first, 1.0), (second, 2.0)):
        assert 0.2 + seconds <= period.seconds < 2.0 + seconds
        # At most one poll a tab from a second that was begun, and one from one that was not ended.
        assert abs(period.polls - 5 * period.seconds) <= 5
        assert 200 < period.mean_bytes < 20_000
    # The second block's polls were all answered in the lane, what was caught up by them besides.
    assert second[0].polls <= after - between <= second[0].polls + 5


def test_a_server_that_closes_a_tab_ends_the_measurement() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        taken: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: taken.append(listening.accept()[0]))
        accepting.start()
        with tabs(listening.getsockname()[1], 1) as watch:
            accepting.join(30)
            with pytest.raises((EOFError, OSError)), watch():
                taken[0].close()


def found(rate: float = 1.0, p99: float = 1.0, polls: int = 100, late_ms: float = 1.0) -> Found:
    """Twenty rounds in which viewers change throughput and p99 by these factors, within 1 %."""
    made, noise = Found(), np.random.default_rng(1)
    for mode, seen in made.seen.items():
        moved = (rate, p99) if mode == HERE else (1.0, 1.0)
        for wander in noise.uniform(0.99, 1.01, 20):
            figures = (1000.0 * moved[0] * wander, 1.0, 2.0 * moved[1] * wander)
            seen.append(Seen(Window(*figures, 0, 1000), 10.0, 0.5))
    for periods in made.periods.values():
        periods.append(Period(polls, 1000.0, late_ms, 1.0))
    made.costs = [Cost(100.0, 70.0)] * 5
    return made


def test_the_verdict_says_what_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(found()) == 0
    for wrong, said in (
        (found(rate=0.94), "NO: throughput"),
        (found(p99=1.11), "NO: the p99"),
        (found(polls=94), "NO: viewers: 94.0% of one poll"),
        (found(late_ms=51.0), "asked 51.0 ms late"),
    ):
        capsys.readouterr()
        assert judge(wrong) == 1
        assert said in capsys.readouterr().out
