"""Clients that are slow, idle, or gone."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

from bench.faults.callers import crowd
from bench.faults.fault import Seen
from bench.faults.repository import in_turn, slow_question
from bench.faults.server import Place, Server, until

MOST_HEALTH_MS = 1000.0
READ_TIMEOUT_S = 1.0
HALF_HEAD = b"POST /v2/models/quick/infer HTTP/1.1\r\nHost: localhost\r\n"
HALF_BODY = HALF_HEAD + b"Content-Length: 5000\r\n\r\n" + b'{"inputs": ['
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close sends RST."""


@contextlib.contextmanager
def sockets(server: Server, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent so much and no more."""
    opened = []
    try:
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            one.sendall(first)
            opened.append(one)
        yield opened
    finally:
        for one in opened:
            one.close()


def watch_health(server: Server, seen: Seen, looks: int = 10) -> None:
    """Health must answer in time, with all that going on."""
    slowest_ms = max(server.health_ms() for _ in range(looks))
    seen.notes.append(f"health at most {slowest_ms:.0f} ms")
    seen.expect(slowest_ms < MOST_HEALTH_MS, f"health took {slowest_ms:.0f} ms")


def slowloris(place: Place, times: int) -> Seen:
    """Half a head or half a body, a byte now and then; cut off after the read timeout."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    flags = ("--read-timeout-s", str(READ_TIMEOUT_S))
    with place.server(*flags) as server, crowd(server.port, 4, ask, seen.tally):
        half = times // 2
        with sockets(server, half, HALF_HEAD) as heads, sockets(server, half, HALF_BODY) as bodies:
            watch_health(server, seen)
            dripping = time.monotonic() + 2 * READ_TIMEOUT_S
            while time.monotonic() < dripping:  # a head that drips is still no head
                for one in heads:
                    with contextlib.suppress(OSError):
                        one.send(b"X")
                time.sleep(0.2)
            watch_health(server, seen)
            began_s = time.monotonic()
            cut_off = until(lambda: _connections(server) <= 4 + 1, 4 * READ_TIMEOUT_S)
            seen.expect(cut_off, f"{_connections(server)} connections are still open")
            seen.expect(len(heads) + len(bodies) == 2 * half, "not all could connect")
            seen.recovered(time.monotonic() - began_s)
    return seen


def _connections(server: Server) -> int:
    return int(server.get("/performance/system")["http"]["connections"]["open"])


def idle(place: Place, times: int) -> Seen:
    """So many connections that say nothing; one more than the limit is refused."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server("--max-connections", str(times + 24)) as server:
        with crowd(server.port, 4, ask, seen.tally), sockets(server, times, b"") as _:
            until(lambda: _connections(server) >= times, 10)
            watch_health(server, seen)
            with sockets(
                server, 40, b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ) as more:
                statuses = {one.recv(12)[9:12] for one in more[-10:]}
            seen.expect(statuses == {b"503"}, f"over the limit of connections: {statuses}")
            began_s = time.monotonic()
        seen.recovered(server.recovered_s(ask(0, 0), began_s))
    return seen


def gone(place: Place, times: int) -> Seen:
    """Clients that leave: within the body, after it, with FIN and with RST, while it waits."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server("--cpu-slots", "1") as server:
        files = server.about.num_fds()
        with crowd(server.port, 4, ask, seen.tally):
            for number in range(times):
                _leave(server, number)
            began_s = time.monotonic()
            seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
        waits = server.get("/performance/system")["engine"]["scheduler"]
        seen.expect(waits["queued"] + waits["running"] == 0, f"still at work: {waits}")
        more = server.about.num_fds() - files
        seen.notes.append(f"{more:+} descriptors")
        seen.expect(more < 20, f"{more} descriptors more than before")
    return seen


def _leave(server: Server, number: int) -> None:
    """One client that goes, in one of six ways."""
    question = slow_question(float(number))
    head = f"POST {question.path} HTTP/1.1\r\nHost: localhost\r\n"
    whole = f"{head}Content-Length: {len(question.body)}\r\n\r\n".encode() + question.body
    sent = (whole[:40], whole[:-10], whole)[number % 3]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(sent)
        if number % 2:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
