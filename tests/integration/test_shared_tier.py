"""The shared tier on a real Redis: what is found, refused, flushed, and what when it is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from bench.redis_server import RedisServer
from engine.caching.shared import SharedTier
from engine.caching.shared_circuit import CLOSED, OPEN
from engine.caching.shared_keys import EPOCHS, NAMES
from engine.caching.shared_types import SharedOptions
from tests.waiting import until

KEY, VALUE = b"\x01" * 20, b"what a model said"
BUDGET_MS = 100.0
"""Of most tests: a busy machine is no slow store."""


class Server:
    """A tier, and which groups it was told of as flushed by others."""

    def __init__(self, url: str, state: Path | None = None, **options: Any) -> None:
        self.flushed: list[str | None] = []
        self.events: list[str] = []
        options = {"budget_ms": BUDGET_MS} | options
        self.tier = SharedTier(
            SharedOptions(url, state=state, **options), self.flushed.append, self.events.append
        )
        self.tier.start()

    def ready(self) -> Server:
        until(lambda: self.tier.circuit.state == CLOSED, 10, "the circuit is closed")
        until(lambda: self.tier.links.open > 1, 10, "a connection for look-ups is open")
        return self

    def keep(self, key: bytes = KEY, value: bytes = VALUE, **more: Any) -> None:
        self.tier.offer(self.tier.ticket("m"), key, lambda: value, len(value), **more)

    def found(self, *keys: bytes) -> list[bytes | None]:
        payloads = self.tier.find(self.tier.ticket("m"), keys or [KEY])
        return [payload and payload.content for payload in payloads]

    def finds(self, key: bytes = KEY) -> bool:
        return self.found(key) == [VALUE]


Start = Callable[..., Server]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(store: RedisServer) -> Any:
    return redis.Redis.from_url(store.url)


@pytest.fixture
def start(store: RedisServer) -> Iterator[Start]:
    started: list[Server] = []

    def one(state: Path | None = None, url: str = "", **options: Any) -> Server:
        started.append(Server(url or store.url, state, **options))
        return started[-1]

    yield one
    for server in started:
        server.tier.close(2)


@pytest.fixture
def two(start: Start) -> tuple[Server, Server]:
    one, other = start(), start()
    return one.ready(), other.ready()


def test_what_one_keeps_the_other_finds(two: tuple[Server, Server]) -> None:
    one, other = two
    assert other.found(KEY) == [None]
    one.keep()
    one.keep(b"\x02" * 20, b"more")
    until(lambda: one.tier.counts.written == 2, 5, "both are written")
    assert other.found(KEY, b"\x03" * 20, b"\x02" * 20) == [VALUE, None, b"more"]
    counts = other.tier.counts
    assert (counts.hits, counts.misses, counts.refused) == (2, 2, 0)
    figures = other.tier.figures()
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] < BUDGET_MS
    assert figures["connections"] <= figures["connections_limit"] == 8


@pytest.mark.parametrize("change", ["cut", "changed", "moved", "another type"])
def test_a_value_that_was_tampered_with_is_a_miss(
    two: tuple[Server, Server], client: Any, change: str
) -> None:
    one, other = two
    one.keep()
    until(lambda: one.tier.counts.written == 1, 5, "it is written")
    (name,) = client.keys(NAMES + b"0.0:m:*")
    value = client.get(name)
    if change == "cut":
        client.set(name, value[:-1])
    elif change == "changed":
        client.set(name, value[:-1] + b"\x00")
    elif change == "moved":
        client.rename(name, name[:-40] + b"05" * 20)
    else:
        client.delete(name)
        client.lpush(name, b"x")
    asked = b"\x05" * 20 if change == "moved" else KEY
    assert other.found(asked) == [None]
    assert other.tier.counts.refused == (0 if change == "another type" else 1)


def test_values_end_and_a_model_s_own_time_to_live_goes_with_them(
    two: tuple[Server, Server], client: Any, start: Start
) -> None:
    one, other = two
    one.keep(ttl_s=2.0)
    until(lambda: one.tier.counts.written == 1, 5, "it is written")
    (payload,) = other.tier.find(other.tier.ticket("m"), [KEY], expires=True)
    assert payload is not None
    assert 0 < payload.ttl_s <= 2.0
    until(lambda: not client.keys(NAMES + b"0.0:*"), 5, "it has ended")
    brief = start(ttl_s=100.0).ready()
    brief.keep(ttl_s=500.0)
    until(lambda: brief.tier.counts.written == 1, 5, "it is written")
    (name,) = client.keys(NAMES + b"0.0:*")
    assert 0 < client.pttl(name) <= 100_000


def test_what_is_too_large_or_finds_the_queue_full_is_dropped_and_counted(start: Start) -> None:
    server = start(value_bytes=1024, queue=2).ready()
    server.keep(value=b"x" * 2000)
    assert server.tier.counts.rejected == 1
    held, goes_on = threading.Event(), threading.Event()

    def make() -> bytes:
        held.set()
        goes_on.wait(10)
        return VALUE

    server.tier.offer(server.tier.ticket("m"), KEY, make, 10)
    assert held.wait(5)
    for number in range(5):
        server.keep(bytes([number]) * 20)
    assert (server.tier.counts.dropped, server.tier.writer.queued) == (3, 2)
    goes_on.set()
    until(lambda: server.tier.counts.written == 3, 5, "those that had a place are written")


@pytest.mark.parametrize("group", ["m", None])
def test_a_flush_reaches_the_other_within_a_second_and_hides_what_was_before(
    two: tuple[Server, Server], group: str | None
) -> None:
    for flushing, other in (two, two[::-1]):
        flushing.keep()
        until(lambda other=other: other.finds(), 5, "it is shared")  # type: ignore[misc]
        began_before = flushing.tier.ticket("m"), other.tier.ticket("m")
        other.flushed.clear()
        flushing.flushed.clear()
        began_s = time.monotonic()
        assert flushing.tier.flush(group)
        assert (flushing.found(), other.found()) == ([None], [None]), "at once, in the store"
        until(lambda other=other: other.flushed, 1.0, "the other is told")  # type: ignore[misc]
        assert time.monotonic() - began_s < 1.0
        assert (other.flushed, flushing.flushed) == ([group], [])
        for server, ticket in zip((flushing, other), began_before, strict=True):
            assert not server.tier.is_current(ticket)
            server.tier.offer(ticket, KEY, lambda: VALUE, 10)
        flushing.keep(b"\x09" * 20)
        until(lambda f=flushing: f.finds(b"\x09" * 20), 5, "what is new is shared")  # type: ignore[misc]
        assert (flushing.found(), other.found()) == ([None], [None]), "computed before the flush"


def test_a_flush_of_another_model_changes_nothing(two: tuple[Server, Server]) -> None:
    one, other = two
    one.keep()
    until(other.finds, 5, "it is shared")
    assert one.tier.flush("another")
    until(lambda: other.flushed == ["another"], 1, "the other is told")
    assert other.finds()


def test_a_flush_while_the_store_is_away_is_owed_and_done_on_its_return(
    two: tuple[Server, Server], store: RedisServer, client: Any
) -> None:
    one, other = two
    one.keep()
    until(other.finds, 5, "it is shared")
    store.pause()
    assert not one.tier.flush("m"), "nobody was told"
    assert one.tier.ticket("m").prefix == b"", "nothing of it is read"
    store.go_on()
    until(lambda: other.flushed == ["m"], 10, "the other is told")
    until(lambda: not one.tier.epochs.owed, 10, "nothing is owed")
    one.ready()
    other.ready()
    assert (one.found(), other.found()) == ([None], [None])
    assert client.hgetall(EPOCHS) == {b"m:m": b"1"}


def test_a_server_that_was_away_during_a_flush_is_told_when_it_is_back(
    two: tuple[Server, Server], start: Start, tmp_path: Path
) -> None:
    kept = tmp_path / "state" / "epochs.json"
    away = start(kept).ready()
    away.tier.close(2)
    assert two[0].tier.flush("m")
    assert two[0].tier.flush(None)
    back = start(kept).ready()
    assert sorted(back.flushed, key=str) == [None, "m"]
    assert start(tmp_path / "another.json").ready().flushed == []


def test_a_store_that_lost_or_forgot_flushes_gives_nothing_from_before(
    two: tuple[Server, Server], client: Any
) -> None:
    one, other = two
    one.keep()
    until(other.finds, 5, "it is shared")
    before = client.dump(client.keys(NAMES + b"0.0:m:*")[0]), client.keys(NAMES + b"0.0:m:*")[0]
    assert one.tier.flush("m")
    until(lambda: other.flushed == ["m"], 1, "the other is told")
    client.flushall()  # as after a restart from a copy of before the flush
    client.restore(before[1], 0, before[0])
    assert (one.found(), other.found()) == ([None], [None])
    until(lambda: client.hget(EPOCHS, "m:m") == b"1", 5, "the epoch is raised again")
    until(lambda: one.tier.figures()["state"] == CLOSED, 5, "it is asked")
    one.keep(b"\x09" * 20)
    until(lambda: other.finds(b"\x09" * 20), 5, "what is new is shared")
    assert (one.found(), other.found()) == ([None], [None])
    assert other.flushed == ["m"], "an empty store is no flush"


def test_a_slow_store_costs_the_budget_a_few_times_and_is_then_not_asked(
    start: Start, store: RedisServer
) -> None:
    server = start(budget_ms=20.0).ready()
    store.pause()
    took_s = []
    for _ in range(20):
        began_s = time.perf_counter()
        assert server.found() == [None]
        took_s.append(time.perf_counter() - began_s)
    assert max(took_s) < 0.02 + 0.05, "the budget, and a busy machine"
    until(lambda: server.tier.circuit.state != CLOSED, 5, "the circuit opens")
    before = server.tier.counts.timeouts
    assert 1 <= before <= 3
    began_s = time.perf_counter()
    for _ in range(1000):
        server.found()
    assert time.perf_counter() - began_s < 0.2, "nothing is asked any more"
    assert server.tier.counts.timeouts == before
    store.go_on()
    server.ready()
    server.keep()
    until(server.finds, 5, "it is shared again")
    assert [event.rsplit(" ", 2)[-2:] for event in server.events[::2]] == [["are", "asked"]] * 2


def test_a_killed_store_is_asked_again_by_itself(start: Start, store: RedisServer) -> None:
    server = start().ready()
    store.kill()
    until(lambda: server.found() == [None] and not server.tier.circuit.asks, 5, "it is open")
    assert "onnection" in str(server.tier.circuit.problem)
    server.keep()
    assert server.tier.writer.queued == 0, "nothing is offered to who is away"
    store.start()
    server.ready()
    server.keep()
    until(server.finds, 5, "it is shared again")


def test_a_wrong_password_is_said_and_shown_nowhere(tmp_path: Path, start: Start) -> None:
    with RedisServer(tmp_path / "locked", "--requirepass", "right") as locked:
        url = f"redis://:hunter2@127.0.0.1:{locked.port}/0"
        server = start(url=url)
        until(lambda: server.tier.circuit.state == OPEN, 5, "it is not asked")
        until(lambda: server.events, 5, "and that is said")
        told = f"{server.tier.figures()}{server.events}"
        assert "AuthenticationError" in told
        assert "hunter2" not in told
        assert server.found() == [None]
        good = start(url=url.replace("hunter2", "right")).ready()
        good.keep()
        until(good.finds, 5, "with the right one it works")


def test_look_ups_beyond_the_connections_neither_wait_nor_exceed_the_limit(
    start: Start, client: Any
) -> None:
    server = start(connections=3).ready()
    (taken,) = [server.tier.links.take()]
    assert taken is not None
    server.keep()
    until(lambda: server.tier.counts.written == 1, 5, "the writer has its own")
    assert server.found() == [None]
    assert server.tier.counts.busy == 1
    server.tier.links.give(taken)
    assert server.finds()
    named = [one for one in client.client_list() if one["name"] == "pyrometer"]
    assert len(named) == server.tier.links.open == 3


def test_of_two_servers_one_computes_and_the_other_has_its_result(
    two: tuple[Server, Server],
) -> None:
    one, other = two
    mine, theirs = one.tier.ticket("m"), other.tier.ticket("m")
    assert one.tier.lead(mine, KEY, 0.5) is None
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(other.tier.lead(theirs, KEY, 0.5)))
    waiting.start()
    one.tier.offer(mine, KEY, lambda: VALUE, 10)
    waiting.join(5)
    assert found[0].content == VALUE
    assert (one.tier.counts.led, other.tier.counts.led, other.tier.counts.found) == (1, 0, 1)


def test_a_claim_ends_with_a_failed_run_and_with_a_dead_server(
    two: tuple[Server, Server], client: Any
) -> None:
    one, other = two
    mine = one.tier.ticket("m")
    assert one.tier.lead(mine, KEY, 0.5) is None
    one.tier.give_up(mine)
    until(lambda: not client.keys(NAMES + b"claim:*"), 5, "it is released")
    assert one.tier.lead(one.tier.ticket("m"), KEY, 0.1) is None
    began_s = time.perf_counter()  # and now nothing more is heard of it
    assert other.tier.lead(other.tier.ticket("m"), KEY, 0.1) is None
    assert time.perf_counter() - began_s < 2 * 0.1 + 2 * BUDGET_MS / 1e3
