"""One keep-alive connection with little of its own: what it costs is in every figure alike."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NO_CACHE = "cache-control: no-cache\r\n"
LIMIT_S = 30.0


class Answer(NamedTuple):
    """Status, the head in lower case, the body's length, and how long it took."""

    status: int
    head: str
    body_bytes: int
    took_ms: float


class Caller:
    """Not for several threads. Raises OSError where the server gives no answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._socket.close()

    def post(self, path: str, body: bytes, headers: str = "") -> Answer:
        """One request, from the first byte sent to the last byte read."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"{headers}content-length: {len(body)}\r\n\r\n"
        )
        began_ns = time.perf_counter_ns()
        self._socket.sendall(head.encode() + body)
        status, lines, length = self._read()
        return Answer(status, lines, length, (time.perf_counter_ns() - began_ns) / 1e6)

    def _read(self) -> tuple[int, str, int]:
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        missing = end + 4 + length - len(received)
        while missing > 0:
            missing -= len(self._more())
        return int(head[9:12]), head, length

    def _more(self) -> bytes:
        part = self._socket.recv(262_144)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part


def timed(
    port: int, path: str, bodies: Sequence[bytes], seconds: float, headers: str = ""
) -> list[float]:
    """Milliseconds of requests in turn, one connection, for so long, at least one.

    Raises RuntimeError for an answer other than 200.
    """
    times: list[float] = []
    for answer in _answers(port, path, bodies, seconds, headers):
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        times.append(answer.took_ms)
    return times


def _answers(
    port: int, path: str, bodies: Sequence[bytes], seconds: float, headers: str
) -> Iterator[Answer]:
    end, number = time.perf_counter() + seconds, 0
    # The handler before closes after each answer or not, as its server likes.
    caller: Caller | None = None
    while number == 0 or time.perf_counter() < end:
        caller = caller or Caller(port)
        answer = caller.post(path, bodies[number % len(bodies)], headers)
        number += 1
        if "connection: close" in answer.head or answer.head.startswith("http/1.0"):
            caller.close()
            caller = None
        yield answer
    if caller is not None:
        caller.close()
