"""Two real servers and a real Redis: what one computes, the other need not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.faults.callers import Tally, crowd
from bench.faults.server import Server
from bench.redis_server import RedisServer
from bench.serving import Client
from bench.shared import CACHED, Asker, flush_s, fresh, hits_return_s, question, runs_of, servers
from tests.waiting import until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[RedisServer]:
    with RedisServer(folder / "redis") as server:
        yield server


@pytest.fixture(scope="module")
def pair(folder: Path, redis: RedisServer) -> Iterator[list[Server]]:
    with servers(folder, [redis.url, redis.url]) as started:
        yield started


@pytest.fixture
def both(pair: list[Server]) -> tuple[Asker, Asker]:
    one, other = (Asker(server) for server in pair)
    for asker in (one, other):
        until(lambda asker=asker: asker.shared()["state"] == "closed", 10, "it is asked")  # type: ignore[misc]
    return one, other


def recent(server: Server) -> list[dict[str, Any]]:
    """The records of the last requests."""
    found: list[dict[str, Any]] = Client(server.port).call("GET", "/performance/metrics")[1][
        "recent"
    ]
    return found


def test_a_result_of_one_is_a_hit_on_the_other_by_its_name(
    both: tuple[Asker, Asker], folder: Path
) -> None:
    one, other = both
    value = fresh()
    assert not one.hits(value)
    until(lambda: one.shared()["written"] > 0, 5, "it is written")
    before = other.shared()["hits"]
    assert other.hits(value)
    assert other.shared()["hits"] == before + 1
    assert other.hits(value), "in its own memory now"
    assert other.shared()["hits"] == before + 1
    assert runs_of(folder, value) == 1
    words = [record["cache"] for record in recent(other.server)]
    assert "redis" in words
    assert "results" in words


@pytest.mark.parametrize("model", ["heavy", None])
def test_a_flush_on_one_reaches_the_other_within_a_second(
    both: tuple[Asker, Asker], model: str | None
) -> None:
    one, other = both
    for flushing, following in ((one, other), (other, one)):
        assert flush_s(flushing, following, model) < 1.0


def test_equal_long_runs_on_both_are_run_once(both: tuple[Asker, Asker], folder: Path) -> None:
    one, other = both
    for _ in range(3):
        value = fresh()
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(asker.hits, value) for asker in (one, other)]
            hits = [answer.result(10) for answer in asked]
        assert sorted(hits) == [False, True]
        assert runs_of(folder, value) == 1
    assert one.shared()["led"] + other.shared()["led"] >= 3
    assert one.shared()["found"] + other.shared()["found"] >= 3


def test_rows_that_wait_together_are_looked_for_in_one_trip(
    both: tuple[Asker, Asker], folder: Path
) -> None:
    one, other = both
    values = [fresh() for _ in range(12)]
    for value in values:
        one.hits(value, "light")
    until(lambda: one.shared()["queued"] == 0, 5, "all are written")
    more = [fresh() for _ in range(4)]
    with ThreadPoolExecutor(17) as threads:
        busy = threads.submit(Asker(other.server).hits, fresh())  # the slot is taken for 30 ms
        time.sleep(0.01)
        asked = [threads.submit(Asker(other.server).hits, v, "light") for v in values + more]
        busy.result(10)
        hits = [answer.result(10) for answer in asked]
    assert hits == [True] * 12 + [False] * 4
    assert [runs_of(folder, value) for value in values + more] == [1] * 16


def test_what_runs_on_the_event_loop_asks_nobody(both: tuple[Asker, Asker]) -> None:
    one, _ = both
    before = one.shared()
    client = Client(one.server.port)
    assert client.call("GET", "/performance/cache")[0] == 200
    after = one.shared()
    assert (after["hits"], after["misses"]) == (before["hits"], before["misses"])


def test_a_redis_that_answers_nothing_is_given_up_and_asked_again(
    both: tuple[Asker, Asker], redis: RedisServer
) -> None:
    one, _ = both
    opened = one.shared()["opened"]
    redis.pause()
    took_ms = []
    try:
        for _ in range(30):
            assert not one.hits(fresh(), "light")
            took_ms.append(one.ms)
        until(lambda: one.shared()["state"] != "closed", 5, "the circuit opens")
    finally:
        redis.go_on()
    figures = one.shared()
    assert figures["opened"] == opened + 1
    assert sorted(took_ms)[15] < 5 + 5 + 10, "a run, and not a budget each"
    until(lambda: one.shared()["state"] == "closed", 10, "it closes by itself")


def test_killed_and_back_under_load_no_request_fails_and_hits_come_back(
    pair: list[Server], both: tuple[Asker, Asker], redis: RedisServer
) -> None:
    tally = Tally()

    def ask(number: int, step: int) -> Any:
        return question(float((number * 7 + step) % 40) if step % 2 else fresh(), "light")

    with (
        crowd(pair[0].port, 2, ask, tally, CACHED) as first,
        crowd(pair[1].port, 2, ask, tally, CACHED),
    ):
        until(lambda: first.right > 20, 10, "they are under load")
        redis.kill()
        for asker in both:
            until(lambda asker=asker: asker.shared()["state"] == "open", 10, "noticed")  # type: ignore[misc]
        answered = first.right
        until(lambda: first.right > answered + 20, 10, "they go on alone")
        redis.start()
        assert hits_return_s(pair, time.perf_counter()) < 10
    assert tally.problems(set()) == ()


def test_a_flush_while_redis_is_away_is_owed_said_and_done(
    both: tuple[Asker, Asker], redis: RedisServer
) -> None:
    one, other = both
    value = fresh()
    one.hits(value)
    until(lambda: other.hits(value), 5, "it is shared")
    redis.pause()
    try:
        assert "when Redis answers again" in one.flush("heavy")
        assert not one.hits(value), "this server has flushed its own at once"
        assert one.shared()["owed"] == 1
    finally:
        redis.go_on()
    until(lambda: one.shared()["owed"] == 0, 10, "nothing is owed any more")
    until(lambda: not other.hits(value), 5, "the other has flushed its own")


def test_events_metrics_and_queues_tell_of_it(both: tuple[Asker, Asker]) -> None:
    one, _ = both
    client = Client(one.server.port)
    events = client.call("GET", "/performance/live")[1]["events"]
    assert [event for event in events if event["kind"] == "shared"]

    def connections() -> Any:
        queues = client.call("GET", "/performance/live")[1]["queues"]
        return next(row for row in queues if row["queue"] == "shared-connections")

    until(lambda: connections()["used"] >= 2, 5, "the watch and the writer are seen to be back")
    row = connections()
    assert row["used"] <= row["limit"] == 8
    scraped = one.server._read("/metrics", None, 10).decode()
    assert 'pyrometer_shared_lookups_total{result="hit"}' in scraped
    assert "pyrometer_shared_up 1.0" in scraped
