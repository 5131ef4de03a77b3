"""The wait in sockets from samples of known numbers; no sockets, no thread."""

from __future__ import annotations

from typing import Any, cast

import pytest

from app.outside import LEAST_PER_S, SocketWatch


@pytest.fixture
def watch() -> SocketWatch:
    return SocketWatch(cast(Any, None), lambda: True)


def sampled(watch: SocketWatch, waiting: int, times: int = 20) -> None:
    watch._samples.extend([(waiting, 0)] * times)


def test_littles_law_over_the_sampled_seconds(watch: SocketWatch) -> None:
    for _ in range(5):
        sampled(watch, waiting=4)
        found = watch.wait_ms(1000.0, 0.0, 1000.0)
    assert found == pytest.approx(4.0)  # four wait at a thousand a second


def test_a_load_that_ends_does_not_look_like_a_long_wait(watch: SocketWatch) -> None:
    for _ in range(5):
        sampled(watch, waiting=4)
        watch.wait_ms(1000.0, 0.0, 1000.0)
    # The load ends within this second: 50 requests came before that, then the console's alone.
    sampled(watch, waiting=4, times=1)
    sampled(watch, waiting=0, times=19)
    last = watch.wait_ms(50.0, 0.0, 50.0)
    assert last is not None
    assert last < 5.0
    assert watch.wait_ms(2.0, 0.0, 0.0) is None


def test_few_requests_of_callers_are_no_data_whatever_the_console_asks(watch: SocketWatch) -> None:
    sampled(watch, waiting=3)
    assert watch.wait_ms(500.0, 1.0, LEAST_PER_S - 1) is None
    sampled(watch, waiting=3)
    assert watch.wait_ms(500.0, 1.0, LEAST_PER_S) is not None
