"""What a look-up makes of a store's answers: late, endless, refused or without time left."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from engine.caching.shared import SharedTier
from engine.caching.shared_bounds import BoundedSocket
from engine.caching.shared_keys import prefix_of, sealed
from engine.caching.shared_links import Away, Link, Links, Refusal
from engine.caching.shared_types import Payload, SharedOptions


def login(connection: socket.socket) -> bytes:
    """Say OK to what a connection begins with; returns the first question."""
    while b"PING" not in (asked := connection.recv(65_536)):
        if not asked:
            return b""
        connection.sendall(b"+OK\r\n" * asked.count(b"CLIENT\r\n"))
    return asked


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], Link]]:
    """A link to a store that answers a PING in a way of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def link_to(answer: Callable[[socket.socket], None]) -> Link:
        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                login(connection)
                answer(connection)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return Links(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", 3).connect()

    yield link_to
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    listening.close()


def test_a_reply_that_comes_bit_by_bit_is_late_as_a_whole(
    answering: Callable[..., Link],
) -> None:
    paced = threading.Event()

    def dribble(connection: socket.socket) -> None:
        connection.sendall(b"$1000000\r\n")
        with contextlib.suppress(OSError):
            while not paced.wait(0.01):
                connection.sendall(b"x")

    link = answering(dribble)
    began_s = time.monotonic()
    with pytest.raises(Away) as raised:
        link.ask([(b"PING",)], 0.1)
    took_s = time.monotonic() - began_s
    paced.set()
    assert raised.value.late
    assert 0.1 <= took_s < 2.0
    assert not link.usable


def test_a_reply_that_does_not_end_is_too_large() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bound = BoundedSocket(ours)
        bound.begin(time.monotonic() + 5, most_bytes=10)
        theirs.sendall(b"x" * 11)
        assert bound.recv(6) == b"x" * 6
        with pytest.raises(ConnectionError, match="too large"):
            bound.recv(6)


@pytest.mark.parametrize("answer", [b"$x\r\n", b"?\r\n", b"*1\r\n" * 100_000])
def test_what_is_no_reply_is_a_store_that_is_away(
    answering: Callable[..., Link], answer: bytes
) -> None:
    link = answering(lambda connection: connection.sendall(answer))
    with pytest.raises(Away):
        link.ask([(b"PING",)], 5.0)
    assert not link.usable


def test_a_connection_that_cannot_be_made_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links = Links("redis://127.0.0.1:1/0", 3)

    def broken(self: object) -> None:
        raise ValueError("not of this package's errors")

    monkeypatch.setattr(links._kind, "connect", broken)
    with pytest.raises(Away, match="not of this package"):
        links.connect(reads=True)
    assert (links.open, links.used, links.may_grow) == (0, 0, True)


class Store:
    """Stands in for the connections: answers look-ups with what it was given."""

    def __init__(self, *replies: Any) -> None:
        self.replies, self.asked = list(replies), []  # type: ignore[var-annotated]
        self.may_grow, self.shown_url = False, "redis://127.0.0.1:1/0"

    def take(self) -> Store:
        return self

    def give(self, link: Store) -> None:
        pass

    def ask(self, commands: Sequence[Any], within_s: float) -> list[Any]:
        self.asked.append(commands)
        return self.replies


def tier_on(store: Store) -> SharedTier:
    tier = SharedTier(SharedOptions("redis://127.0.0.1:1/0"), lambda group: None, lambda text: None)
    tier.links = store  # type: ignore[assignment]
    tier.circuit.probed(None)
    return tier


@pytest.mark.parametrize(("left_ms", "ttl_s"), [(1500, 1.5), (0, None), (-1, None), (-2, None)])
def test_what_has_no_time_left_is_a_miss(left_ms: int, ttl_s: float | None) -> None:
    name = prefix_of((0, 0), "m") + b"01"
    value = sealed(name, b"v")
    tier = tier_on(Store([None, None], [value], left_ms))
    (payload,) = tier.find(tier.ticket("m"), [b"\x01"], expires=True)
    assert (payload and payload.ttl_s) == ttl_s
    assert (tier.counts.hits, tier.counts.misses) == (int(ttl_s is not None), int(ttl_s is None))


def test_a_claim_that_is_refused_costs_neither_the_value_nor_the_circuit() -> None:
    name = prefix_of((0, 0), "m") + b"01"
    refused = Refusal("OOM command not allowed")
    tier = tier_on(Store([None, None], refused, [sealed(name, b"v")]))
    for _ in range(5):
        mine = tier.ticket("m")
        payload = tier.lead(mine, b"\x01", 1.0)
        assert payload == Payload(b"v", 0.0)
        assert mine.claim == b""
    tier.links = Store([None, None], refused, [None])  # type: ignore[assignment]
    began_s = time.monotonic()
    assert tier.lead(mine, b"\x01", 1.0) is None
    assert time.monotonic() - began_s < 1.0, "nobody is waited for"
    assert (mine.claim, tier.counts.led, tier.counts.errors) == (b"", 0, 0)
    assert tier.circuit.asks


def test_values_that_are_refused_do_count_against_the_store() -> None:
    tier = tier_on(Store([None, None], b"OK", Refusal("LOADING")))
    for _ in range(3):
        assert tier.lead(tier.ticket("m"), b"\x01", 1.0) is None
    assert (tier.circuit.asks, tier.counts.errors) == (False, 3)
