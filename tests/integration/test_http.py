"""The HTTP server against clients that are slow, wrong or many. Raw sockets, a real server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.waiting import until

BODY = json.dumps(
    {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": [1.0] * 30}]}
).encode()
PATH = "/v2/models/breast_cancer/infer"


@pytest.fixture(scope="module")
def strict(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> RunningServer:
    """A server with short patience and few connections; it uses the plans `server` made."""
    flags = ["--read-timeout-s", "1", "--keep-alive-s", "1", "--max-connections", "8"]
    return start_server(bundled_models, shared_state, *flags, "--max-body-bytes", "20000")


@pytest.fixture
def client(server: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        yield opened


def head(length: int, *more: str, path: str = PATH, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answer(client: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer; (0, b"") when the server closed instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65_536)
        if not part:
            return 0, b""
        data += part
    header, _, body = data.partition(b"\r\n\r\n")
    fields = dict(
        line.lower().split(b": ", 1) for line in header.split(b"\r\n")[1:] if b": " in line
    )
    while len(body) < int(fields.get(b"content-length", b"0")):
        body += client.recv(65_536)
    return int(header.split(b" ")[1]), body


def test_a_request_in_single_bytes_is_answered(client: socket.socket) -> None:
    for byte in head(len(BODY)) + BODY:
        client.sendall(bytes([byte]))
    assert read_answer(client)[0] == 200


def test_requests_sent_ahead_are_answered_in_order(client: socket.socket) -> None:
    paths = ["/v2/health/live", "/v2/models/none", "/v2/health/ready", "/v2/models/digits"]
    client.sendall(b"".join(head(0, path=path, method="GET") for path in paths))
    data, end = b"", time.monotonic() + 10
    while data.count(b"HTTP/1.1 ") < 4 and time.monotonic() < end:
        data += client.recv(65_536)
    statuses = [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"200", b"200"]


def test_too_many_sent_ahead_close_the_connection(client: socket.socket) -> None:
    # A thread answers the first, so that the others wait.
    client.sendall(head(0, path="/v2/models/digits", method="GET") * 200)
    data = b""
    while part := client.recv(65_536):
        data += part
    assert data.count(b"HTTP/1.1 200") <= 32


def test_a_chunked_body_is_read(client: socket.socket) -> None:
    lines = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:200], BODY[200:])
    )
    client.sendall(lines.encode() + chunks + b"0\r\n\r\n")
    assert read_answer(client)[0] == 200


def test_a_client_that_asks_first_is_told_to_go_on(client: socket.socket) -> None:
    client.sendall(head(len(BODY), "Expect: 100-continue"))
    assert client.recv(1000).startswith(b"HTTP/1.1 100")
    client.sendall(BODY)
    assert read_answer(client)[0] == 200


def test_a_target_in_absolute_form_is_its_path(client: socket.socket) -> None:
    client.sendall(head(0, path="http://localhost/v2/health/live?x=1", method="GET"))
    status, body = read_answer(client)
    assert (status, body) == (200, b'{"live":true}')


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000, 431),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (head(10**12), 413),
    ],
    ids=["no HTTP", "large head", "two lengths", "length and chunks", "huge body"],
)
def test_what_cannot_be_a_request_is_refused_and_closed(
    client: socket.socket, sent: bytes, status: int
) -> None:
    client.sendall(sent)
    assert read_answer(client)[0] == status
    assert client.recv(100) == b""


def test_slow_senders_delay_nobody(server: RunningServer) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    for one in slow:
        one.sendall(head(len(BODY)) + BODY[:10])
    started = time.monotonic()
    for _ in range(50):
        assert call(server.port, "POST", PATH, BODY)[0] == 200
    assert time.monotonic() - started < 5
    for one in slow:
        one.sendall(BODY[10:])
        assert read_answer(one)[0] == 200
        one.close()


def test_half_a_request_and_an_idle_connection_are_closed(strict: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as half:
        half.sendall(head(100) + b"{")
        assert read_answer(half)[0] == 408
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as idle:
        idle.sendall(head(0, path="/v2/health/live", method="GET"))
        assert read_answer(idle)[0] == 200
        assert idle.recv(100) == b""


def test_connections_over_the_limit_are_refused(strict: RunningServer) -> None:
    opened = [socket.create_connection(("127.0.0.1", strict.port), timeout=10) for _ in range(9)]
    for one in opened[:8]:
        one.sendall(head(0, path="/v2/health/live", method="GET"))
    assert read_answer(opened[8])[0] == 503
    assert {read_answer(one)[0] for one in opened[:8]} == {200}
    for one in opened:
        one.close()


def test_a_body_over_the_cap_is_refused_and_the_connection_lives(strict: RunningServer) -> None:
    until(lambda: strict.answers("/v2/health/live"), 10, "room for a connection")
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as client:
        client.sendall(head(30_000) + b"x" * 30_000)
        assert read_answer(client)[0] == 413
        client.sendall(head(len(BODY)) + BODY)
        assert read_answer(client)[0] == 200
