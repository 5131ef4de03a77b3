"""Outgoing connections: bounded in number, time and bytes, kept, counted, never led elsewhere."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from app.fleet.puller import Puller, Sources, asker
from app.outgoing import Answer, Outgoing, OutgoingError
from engine.errors import Overloaded
from engine.fleet.addresses import Peers
from engine.fleet.export import Export
from engine.fleet.fleet import STUCK_S, Ask, Fleet
from tests.unit.fleet.exports import export_of
from tests.unit.fleet.listener import OK, Listener, Script, say
from tests.waiting import until


def trickle(stop: threading.Event, begin: bytes) -> Script:
    """Sends a beginning, then a byte now and then, until it is stopped or the client goes."""

    def script(connection: socket.socket, head: bytes) -> bool:
        connection.sendall(begin)
        while not stop.wait(0.02):
            try:
                connection.sendall(b"x")
            except OSError:
                return False
        return False

    return script


def client(limit: int = 1, timeout_s: float = 5.0) -> Outgoing:
    return Outgoing("peers", "them", limit, 4, timeout_s)


def test_a_connection_is_kept(listen: Callable[[Script], Listener]) -> None:
    there, http = listen(say(OK)), client()
    for _ in range(3):
        assert http.ask("GET", f"{there.url}/x", {"x-own": "1"}) == Answer(200, b"{}")
    assert there.accepted == 1
    assert b"x-own: 1" in there.heads[0]
    assert b"accept-encoding: identity" in there.heads[0]
    told = http.figures()
    assert (told["asked"], told["failed"], told["open"], told["used"]) == (3, 0, 1, 0)


def test_a_redirect_is_an_answer_and_not_followed(listen: Callable[[Script], Listener]) -> None:
    elsewhere = listen(say(OK))
    where = f"HTTP/1.1 302 Found\r\nlocation: {elsewhere.url}/\r\ncontent-length: 0\r\n\r\n"
    there = listen(say(where.encode()))
    assert client().ask("GET", there.url, {}).status == 302
    assert elsewhere.accepted == 0


def test_a_long_answer_is_not_read(listen: Callable[[Script], Listener]) -> None:
    body = b"x" * 10_000
    there = listen(say(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n" + body))
    http = client()
    assert len(http.ask("GET", there.url, {}, most_bytes=10_000).content) == 10_000
    with pytest.raises(OutgoingError, match="over 9999 bytes"):
        http.ask("GET", there.url, {}, most_bytes=9_999)
    assert http.ask("GET", there.url, {}, most_bytes=10_000).status == 200


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (say(b"", goes_on=True), r"no answer within 0\.2 s"),
        (say(b"", goes_on=False), "ended before the answer"),
        (say(b"nonsense\r\n\r\n", goes_on=False), "ended before the answer"),
        (say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", goes_on=False), "ended before"),
    ],
)
def test_no_answer_says_why(
    listen: Callable[[Script], Listener], script: Script, words: str
) -> None:
    there, http = listen(script), client(timeout_s=0.2)
    with pytest.raises(OutgoingError, match=words):
        http.ask("GET", there.url, {})
    told = http.figures()
    assert (told["failed"], told["used"], told["open"]) == (1, 0, 0)
    assert told["problem"]


def test_a_trickle_is_ended(listen: Callable[[Script], Listener]) -> None:
    stop = threading.Event()

    there = listen(trickle(stop, b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"))
    try:
        with pytest.raises(OutgoingError, match=r"took over 0\.4 s"):
            client(timeout_s=0.2).ask("GET", there.url, {})
    finally:
        stop.set()


def test_a_head_that_trickles_is_ended(listen: Callable[[Script], Listener]) -> None:
    stop = threading.Event()

    there, http = listen(trickle(stop, b"HTTP/1.1 200 OK\r\nx-long: ")), client(timeout_s=0.2)
    begun_s = time.monotonic()
    try:
        with pytest.raises(OutgoingError, match=r"took over 0\.4 s"):
            http.ask("GET", there.url, {})
        assert time.monotonic() - begun_s < 5
    finally:
        stop.set()
    assert http.figures()["open"] == 0


def test_a_connection_that_is_kept_has_its_time_anew(
    listen: Callable[[Script], Listener],
) -> None:
    there, http = listen(say(OK)), client(timeout_s=0.05)
    assert http.ask("GET", there.url, {}).status == 200
    begun_s = time.monotonic()
    until(lambda: time.monotonic() - begun_s > 0.15, 5, "the first answer's time is over")
    assert http.ask("GET", there.url, {}).status == 200
    assert there.accepted == 1


def test_nobody_there_is_told_without_address() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OutgoingError, match="refused, or no way there") as caught:
        client().ask("GET", f"http://127.0.0.1:{port}", {"authorization": "Bearer k"})
    assert str(port) not in str(caught.value)


def test_more_than_the_limit_wait_and_are_counted(listen: Callable[[Script], Listener]) -> None:
    go = threading.Event()

    def held(connection: socket.socket, head: bytes) -> bool:
        go.wait(10)
        connection.sendall(OK)
        return True

    there, http = listen(held), client(limit=2, timeout_s=10)
    threads = [
        threading.Thread(target=http.ask, args=("GET", there.url, {}), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    until(lambda: http.waits == 2, 5, "two wait")
    until(lambda: http.used == 2, 5, "two under way")
    assert http.figures()["limit"] == 2
    go.set()
    for thread in threads:
        thread.join(10)
    assert (http.asked, http.failed, http.used) == (4, 0, 0)


def puller(fleet: Fleet, ask: Callable[[Ask], Answer]) -> Puller:
    sources = Sources(Peers(("http://a:1", "http://b:1")), lambda: [])
    return Puller(fleet, sources, lambda since: export_of("0e", since=since), ask)


def answer_with(answer: Answer, wanted: Ask) -> Answer:
    return answer


def is_asked(fleet: Fleet) -> bool:
    row = fleet.view().rows[1]
    return row.heard_s is not None or row.problem is not None


def test_each_status_becomes_of_a_peer_what_it_says() -> None:
    answers = {
        200: Answer(200, export_of("a1").as_bytes()),
        304: Answer(304, b""),
        401: Answer(401, b'{"error": "an API key is needed"}'),
        404: Answer(404, b"<html>"),
        500: Answer(500, b'{"error": "internal error"}'),
    }
    expected = {
        200: ("up", None),
        304: ("refused", "it told that nothing is new before it told anything"),
        401: ("refused", "answered 401: an API key is needed; see peers_key"),
        404: ("refused", "answered 404"),
        500: ("asking", "answered 500: internal error"),
    }
    for status, answer in answers.items():
        fleet = Fleet("0e", 2.0)
        pulls = puller(fleet, partial(answer_with, answer))
        pulls.round()
        until(partial(is_asked, fleet), 5, "asked")
        row = fleet.view().rows[1]
        assert (row.state, row.problem) == expected[status]
        pulls.stop()


def test_a_question_that_raises_is_a_missed_one() -> None:
    fleet = Fleet("0e", 2.0)

    def ask(wanted: Ask) -> Answer:
        raise ZeroDivisionError

    pulls = puller(fleet, ask)
    pulls.round()
    until(lambda: fleet.view().rows[1].problem, 5, "missed")
    assert fleet.view().rows[1].problem == "ZeroDivisionError"
    pulls.stop()


def test_one_peer_never_takes_two_of_the_askers() -> None:
    now_s, go = [0.0], threading.Event()
    fleet = Fleet("0e", 2.0, monotonic=lambda: now_s[0])
    asked: list[str] = []

    def ask(wanted: Ask) -> Answer:
        asked.append(wanted.url)
        if wanted.url == "http://a:1":
            go.wait(10)
        return Answer(200, export_of("b1").as_bytes())

    pulls = puller(fleet, ask)
    try:
        for _ in range(4):
            pulls.round()
            until(lambda: pulls._under_way == {"http://a:1"}, 5, "only a hangs")
            now_s[0] += 2 * STUCK_S
        assert sorted(asked) == ["http://a:1"] + 4 * ["http://b:1"]
        go.set()
        until(lambda: not pulls._under_way, 5, "a has answered")
        pulls.round()
        until(lambda: asked.count("http://a:1") == 2, 5, "a is asked again")
    finally:
        go.set()
        pulls.stop()


def test_peers_are_asked_though_this_process_cannot_tell_of_itself() -> None:
    fleet = Fleet("0e", 2.0)

    def fails(since: int) -> Export:
        raise ZeroDivisionError

    def no_nodes() -> list[str]:
        raise ZeroDivisionError

    fleet.follow(["http://a:1"])
    sources = Sources(Peers(("http://a:1",), (), True), no_nodes)
    content = export_of("a1").as_bytes()
    pulls = Puller(fleet, sources, fails, lambda ask: Answer(200, content))
    pulls.round()
    until(lambda: fleet.view().rows[1].state == "up", 5, "asked")
    pulls.stop()


def test_a_pool_that_takes_no_more_is_a_missed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet("0e", 2.0)
    pulls = puller(fleet, lambda ask: Answer(304, b""))

    def full(job: Callable[[], None]) -> None:
        raise Overloaded("full")

    monkeypatch.setattr(pulls.pool, "submit", full)
    pulls.round()
    assert "too many wait" in (fleet.view().rows[1].problem or "")


def test_a_peer_is_asked_for_what_is_new_with_the_key(
    listen: Callable[[Script], Listener],
) -> None:
    there, http = listen(say(OK)), client()
    asker(http, "secret-key")(Ask(there.url, "r7", 42))
    head = there.heads[0]
    assert head.startswith(b"GET /performance/fleet/export?since=42&run=r7 HTTP/1.1")
    assert b"authorization: Bearer secret-key" in head
    assert b'if-none-match: "r7-42"' in head
    asker(http, "")(Ask(there.url, "", 0))
    assert b"authorization" not in there.heads[1]
    http.close()
