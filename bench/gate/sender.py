"""Load in lockstep: every connection's request is sent, then every answer is read.

    send send send ... read read read ... send send send ...

The sender shares one core with the server (see measure.py), so the server finds all requests
of a turn waiting when it gets the core: what it does for them does not depend on who was
faster, as it does in a free race of two cores.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.gate.cpu_clock import cpu_ns
from engine.errors import PyrometerError

ANSWER_WITHIN_S = 30
MOST_BYTES = 65_536


class Window(NamedTuple):
    """Figures of one stretch of requests. cpu_us: of the whole server process, per request."""

    cpu_us: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float


FIGURES = Window._fields


class Sender:
    """Connections to one server. Not for several threads.

    sent: requests so far. hits: answers among them that came from a cache.
    """

    def __init__(self, process_id: int, port: int, connections: int) -> None:
        self.process_id, self.connections = process_id, connections
        self.sent = self.hits = 0
        self._sockets = [_connect(port) for _ in range(connections)]

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def window(self, requests: Sequence[bytes], count: int, first: int) -> Window:
        """Ask `count` times (rounded up to whole turns), from requests[first] on, over and over.

        Raises PyrometerError for any answer that is not 200.
        """
        turns = -(-count // len(self._sockets))
        clock, times = time.perf_counter_ns, []
        cpu_began, began = cpu_ns(self.process_id), clock()
        place = first
        for _ in range(turns):
            sent = []
            for one in self._sockets:
                sent.append(clock())
                one.sendall(requests[place % len(requests)])
                place += 1
            for one, sent_ns in zip(self._sockets, sent, strict=True):
                self.hits += b"x-cache-hit: true" in answer_of(one)
                times.append(clock() - sent_ns)
        wall_ns, spent_ns = clock() - began, cpu_ns(self.process_id) - cpu_began
        self.sent += len(times)
        times.sort()
        return Window(
            spent_ns / len(times) / 1e3,
            len(times) / wall_ns * 1e9,
            times[len(times) // 2] / 1e6,
            times[len(times) * 99 // 100] / 1e6,
        )

    def answers(self, requests: Sequence[bytes]) -> list[bytes]:
        """The answer to each request, head and all, asked in turns as `window` does."""
        found = []
        for place in range(0, len(requests), self.connections):
            turn = requests[place : place + self.connections]
            for one, request in zip(self._sockets, turn, strict=False):
                one.sendall(request)
            found += [answer_of(one) for one, _ in zip(self._sockets, turn, strict=False)]
        return found


def _connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN_S)
    # The kernel's own time-out: Python's would cost a poll for each read.
    made.settimeout(None)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", ANSWER_WITHIN_S, 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def answer_of(one: socket.socket) -> bytes:
    """One whole answer of declared length. Raises PyrometerError for any status but 200."""
    try:
        said = one.recv(MOST_BYTES)
        split = said.find(b"\r\n\r\n") + 4
        if not said.startswith(b"HTTP/1.1 200") or split < 4:
            words = said[:300].decode(errors="replace") or "nothing: the connection was closed"
            raise PyrometerError(f"a server answered {words}")
        at = said.index(b"content-length: ", 0, split) + len(b"content-length: ")
        whole = split + int(said[at : said.index(b"\r", at)])
        while len(said) < whole:
            more = one.recv(MOST_BYTES)
            if not more:
                raise PyrometerError("a server closed the connection within an answer")
            said += more
    except OSError as error:
        raise PyrometerError(
            f"no answer within {ANSWER_WITHIN_S} s, or none at all ({error.strerror})"
        ) from None
    return said


def body_in(answer: bytes) -> bytes:
    return answer.split(b"\r\n\r\n", 1)[1]


def header_in(answer: bytes, name: str) -> str:
    """A header's value; empty where there is none."""
    for line in answer.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n"):
        if line.lower().startswith(f"{name}:"):
            return line.split(":", 1)[1].strip()
    return ""
