"""A viewer's connection while inference is busy, when viewers are read five times a second only."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.bursts import BUSY_PER_S
from tests.conftest import RunningServer
from tests.contract.http import call
from tests.integration.test_http import BODY, head, read_answer
from tests.waiting import until

AHEAD = 20
LONGEST_S = 2.0
"""A tick is 0.2 s; the rest is for a busy machine."""


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@contextmanager
def load(port: int) -> Iterator[None]:
    """Requests without a pause, on one connection, until the block ends."""
    over = threading.Event()

    def ask() -> None:
        content = (head(len(BODY)) + BODY) * AHEAD
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(content)
            reader = client.makefile("rb")
            while not over.is_set():
                for _ in range(AHEAD):
                    skip_answer(reader)
                client.sendall(content)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def skip_answer(reader: object) -> None:
    length = 0
    while (line := reader.readline().lower()) not in (b"\r\n", b""):  # type: ignore[attr-defined]
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    reader.read(length)  # type: ignore[attr-defined]


def rate_of(server: RunningServer) -> float:
    """Requests of the last second."""
    status, _, sent = call(server.port, "GET", "/performance/live?since=0")
    assert status == 200
    newest = sent["points"][-1]
    return float(newest[1] or 0.0)


@pytest.fixture
def viewer(server: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        yield opened


def test_a_viewer_and_what_else_its_connection_asks_are_answered(
    server: RunningServer, viewer: socket.socket
) -> None:
    def asked(content: bytes) -> bytes:
        began_s = time.monotonic()
        viewer.sendall(content)
        status, body = read_answer(viewer)
        assert status == 200
        assert time.monotonic() - began_s < LONGEST_S
        return body

    with load(server.port):
        until(lambda: rate_of(server) > BUSY_PER_S, 20, "a busy server")
        seqs = [0]
        for _ in range(5):
            seqs.append(json.loads(asked(get(f"/performance/live?since={seqs[-1]}")))["seq"])
            assert asked(get("/v2/health/live")) is not None
        assert seqs == sorted(seqs)
        # In two parts, between which a tick may pass: the whole is read all the same.
        viewer.sendall(head(len(BODY)) + BODY[:40])
        until(lambda: rate_of(server) > 0, 5, "another request in between")
        assert json.loads(asked(BODY[40:]))["model_name"] == "breast_cancer"
        assert json.loads(asked(get("/performance/live?since=0")))["points"]
    until(lambda: rate_of(server) < BUSY_PER_S, 20, "a quiet server")
    assert json.loads(asked(get("/performance/live?since=0")))["seq"] > seqs[-1]
