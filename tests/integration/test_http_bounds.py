"""What has no end is cut off: heads, trailers, extensions of chunks, the time to send."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.heads import MOST_NUMBERED, NUMBERED
from app.http1 import MAX_FIELDS, MAX_HEAD_BYTES
from tests.fuzz.echo import Echo, Sent, answers_of
from tests.waiting import until

SEND_TIMEOUT_S = 300.0


@pytest.fixture
def served() -> Iterator[Echo]:
    opened = Echo()
    yield opened
    opened.close()


@pytest.fixture
def port(served: Echo) -> int:
    return served.port


def test_a_head_that_comes_whole_is_bounded_too(port: int) -> None:
    for lines in (b"a: " + b"x" * MAX_HEAD_BYTES, b"a: b\r\n" * (MAX_FIELDS + 1)):
        content = b"GET / HTTP/1.1\r\nHost: x\r\n" + lines.rstrip() + b"\r\n\r\n"
        assert answers_of(port, [content])[0][0][0] == 431
    content = b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answers_of(port, [content])[0][0][0] == 431


@pytest.mark.parametrize(
    "endless",
    [b"0\r\n" + b"a: b\r\n" * 40_000, b"5;" + b"x" * 400_000, b"0\r\na: " + b"x" * 400_000],
)
def test_trailers_and_extensions_of_chunks_are_bounded(port: int, endless: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [head, *(endless[place : place + 4096] for place in range(0, len(endless), 4096))]
    answers, refused = answers_of(port, parts)
    assert refused or answers[0][0] == 431
    assert not answers or answers[0][0] == 431


def test_trailers_are_no_headers(port: int) -> None:
    sent = Sent("POST", "/", {"host": "x"}, b"ab", [(2, b"")], b"host: evil\r\nx-api-key: k\r\n")
    ((status, read),) = answers_of(port, [sent.content(b"Connection: close")])[0]
    assert status == 200
    assert read["headers"]["host"] == "x"
    assert "x-api-key" not in read["headers"]


def test_a_request_that_takes_too_long_to_send_is_408_however_steadily_it_comes() -> None:
    served = Echo(read_timeout_s=1000.0)
    try:
        for part in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx", b"POST / HT"):
            with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
                client.sendall(part)
                until(lambda: _under_way(served), 5, "the request has begun")
                served.sweep(later_s=299.0)
                assert _under_way(served)
                served.sweep(later_s=301.0)
                answer = client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"took over 300 s to send" in answer
            until(lambda: not served.listener.connections, 5, "the connection is closed")
    finally:
        served.close()


def _under_way(served: Echo) -> bool:
    return any(connection.is_receiving for connection in served.listener.connections)


def test_an_idle_connection_keeps_no_body() -> None:
    """Each has sent a large body in pieces, was answered, and stays open."""
    served, body_bytes = Echo(cap=1 << 20), 1 << 19
    with ExitStack() as stack:
        stack.callback(served.close)
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        before_bytes, _ = tracemalloc.get_traced_memory()
        for place in range(20):
            client = socket.create_connection(("127.0.0.1", served.port), timeout=10)
            stack.enter_context(client)
            # Two kinds of head: new ones are parsed, those seen before are not.
            lines = (
                b"POST / HTTP/1.1",
                b"Host: %d" % (place % 2),
                b"Content-Length: %d" % body_bytes,
            )
            client.sendall(b"\r\n".join((*lines, b"", b"")))
            client.sendall(b"x" * (body_bytes - 10))
            client.sendall(b"x" * 10)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            read_bytes = 0
            while read_bytes < body_bytes:  # the answer holds the body, packed as text
                read_bytes += len(client.recv(1 << 20))
        kept_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    assert kept_bytes < 4 * body_bytes


@pytest.mark.parametrize(
    "before", [b"\r\n\r\n", b"\r\n", b"\n\n\r\n\r\n"], ids=["two", "one", "bare"]
)
def test_blank_lines_before_a_request_teach_the_server_nothing(served: Echo, before: bytes) -> None:
    """Its head, with its key, must not be what another client's blank lines stand for."""
    content = Sent("POST", "/", {"host": "x", "authorization": "Bearer S"}, b"hello").content()
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(before + content)
        client.recv(65_536)
    assert not [
        head for head in served.listener.heads.known if not head.startswith(b"POST / HTTP/1.1\r")
    ]
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(before + b"EVIL!")
        assert client.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_a_head_with_other_line_ends_is_not_remembered(served: Echo) -> None:
    for content in (
        b"POST / HTTP/1.1\nhost: x\ncontent-length: 5\n\nhello\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\n\r\nhello\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
            client.sendall(content)
            client.recv(65_536)
    assert not served.listener.heads.known


def ask(served: Echo, *heads: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        for head in heads:
            client.sendall(head)
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_head_that_only_says_it_stays_is_remembered_and_one_that_goes_is_not(
    served: Echo,
) -> None:
    for said, is_known in ((b"keep-alive", True), (b"Keep-Alive", True), (b"close", False)):
        head = b"GET /%b HTTP/1.1\r\nhost: x\r\nconnection: %b\r\n\r\n" % (said, said)
        ask(served, head)
        assert (head in served.listener.heads.known) == is_known


def test_heads_that_differ_in_a_viewers_number_are_one_and_bounded(served: Echo) -> None:
    def head(number: bytes, own: int = 0) -> bytes:
        return NUMBERED + b"%b HTTP/1.1\r\nhost: x\r\nown: %d\r\n\r\n" % (number, own)

    heads = served.listener.heads
    ask(served, *(head(b"%d" % number) for number in range(40)))
    assert (len(heads.numbered), len(heads.known)) == (1, 0)
    for odd in (b"", b"x", b"-1", b"1" * 16, b"1&since=2", b"1%32"):
        ask(served, head(odd))
    assert (len(heads.numbered), len(heads.known)) == (1, 0)
    for own in range(2 * MOST_NUMBERED):
        ask(served, head(b"1", own))
    assert len(heads.numbered) == MOST_NUMBERED
    request = heads.numbered_request(head(b"123", 2 * MOST_NUMBERED - 1))
    assert request is not None
    assert (request.method, request.target) == (b"GET", b"/performance/live?since=123")
    assert heads.numbered_request(head(b"123", 0)) is None, "the one seen first is gone"


def test_a_body_in_chunks_of_a_byte_takes_no_more_than_its_length() -> None:
    served, body_bytes = Echo(cap=1 << 20), 1 << 18
    with ExitStack() as stack:
        stack.callback(served.close)
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        client = stack.enter_context(
            socket.create_connection(("127.0.0.1", served.port), timeout=30)
        )
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        until(lambda: _under_way(served), 5, "the request has begun")
        before_bytes, _ = tracemalloc.get_traced_memory()
        for _ in range(body_bytes >> 10):
            client.sendall(b"1\r\nx\r\n" * 1024)
        (connection,) = served.listener.connections
        until(lambda: connection._body_bytes == body_bytes, 20, "all of it is there")
        assert tracemalloc.get_traced_memory()[0] - before_bytes < 4 * body_bytes


def test_a_client_that_does_not_read_is_let_go() -> None:
    served = Echo(read_timeout_s=5.0, cap=16 << 20)
    try:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", served.port))
            client.settimeout(10)
            client.sendall(Sent("POST", "/", {"host": "x"}, bytes(12 << 20)).content())
            (connection,) = served.listener.connections
            until(lambda: connection.is_busy and not connection.is_receiving, 20, "the answer")
            served.sweep(later_s=0.0)
            served.sweep(later_s=4.0)
            assert served.listener.connections, "it may still read"
            served.sweep(later_s=6.0)
            until(lambda: not served.listener.connections, 5, "it is let go")
            assert served.listener.counts.timed_out == 1
    finally:
        served.close()
