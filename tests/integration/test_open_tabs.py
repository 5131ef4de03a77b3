"""What the viewers' benchmark sends are real polls, counted by who is told to count them."""

from __future__ import annotations

import socket
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
        assert period.seconds >= 0.2 + seconds
        assert 0 < period.polls <= 5 * period.seconds + 5
        assert 200 < period.mean_bytes < 20_000
    # Besides those that count, each tab catches up once, and may have one in flight at the end.
    assert second[0].polls <= after - between <= second[0].polls + 10


def test_a_server_that_closes_a_tab_ends_the_measurement() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listening,
        tabs(listening.getsockname()[1], 1) as watch,
    ):
        taken = listening.accept()[0]
        with pytest.raises((EOFError, OSError)), watch():
            taken.close()


def found(
    rate: float = 1.0,
    p99: float = 1.0,
    wander: float = 0.01,
    polls: int = 100,
    late_ms: float = 1.0,
    size: float = 1000.0,
    cost_us: float = 100.0,
    polled: float = 0.5,
) -> Found:
    """Twenty rounds in which viewers change throughput and p99 by these factors."""
    made, noise = Found(), np.random.default_rng(1)
    for mode, seen in made.seen.items():
        moved = (rate, p99) if mode == HERE else (1.0, 1.0)
        for by in noise.uniform(1 - wander, 1 + wander, 20):
            window = Window(1000.0 * moved[0] * by, 1.0, 2.0 * moved[1] * by, 0, 1000)
            seen.append(Seen(window, 10.0, polled if mode.awake else 0.0))
    for periods in made.periods.values():
        periods.append(Period(polls, size, late_ms, 1.0))
    made.costs = [Cost(cost_us, cost_us)] * 5
    return made


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rate": 0.94}, "NO: throughput"),
        ({"p99": 1.12}, "NO: p99"),
        ({"p99": 1.02, "wander": 0.4, "cost_us": 250.0}, "NO: its interval is wider"),
        ({"cost_us": 301.0}, "NO: a viewer-second"),
        ({"size": 2048.0}, "NO: an answer"),
        ({"polls": 94}, "NO: viewers: 94.0% of a poll"),
        ({"late_ms": 51.0}, "NO: viewers: asked 51.0 ms late"),
        ({"polled": 0.0}, "NO: idle processors"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_verdict_says_what_does_not_hold(
    capsys: pytest.CaptureFixture[str], wrong: dict[str, float], said: str
) -> None:
    assert judge(found()) == 0
    assert "NO" not in capsys.readouterr().out
    assert judge(found(**wrong)) == 1  # type: ignore[arg-type]
    assert said in capsys.readouterr().out
