"""What the connections of one listening socket share: limits, counts, known heads, the lookout."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from app.exchange import Request
from app.heads import Heads
from app.http1 import Connection
from app.rendering import Date

log = logging.getLogger(__name__)

Serve = Callable[[Request, "Connection"], None]


@dataclass(slots=True)
class ConnectionCounts:
    """What became of connections since start, and how many are open now."""

    open: int = 0
    accepted: int = 0
    refused: int = 0
    timed_out: int = 0
    malformed: int = 0


@dataclass(slots=True)
class Limits:
    """Bounds of a listener. Times in seconds."""

    max_connections: int
    max_body_bytes: int
    keep_alive_s: float
    read_timeout_s: float
    spin_s: float = 0.0
    send_timeout_s: float = 300.0


class TurnedAway(asyncio.Protocol):
    """A client for whom there was no connection to be made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Listener:
    """What the connections of one listening socket share."""

    def __init__(self, serve: Serve, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.serve, self.limits, self.loop = serve, limits, loop
        self.counts = ConnectionCounts()
        self.connections: set[Connection] = set()
        self.heads = Heads()
        self.draining = False
        self._last_answer_s = 0.0
        self._spins_until_s = 0.0
        self._is_spinning = False

    def connect(self) -> asyncio.Protocol:
        """A new client's. Raises nothing: uvloop would accept nobody any more."""
        try:
            return Connection(self)
        except BaseException:
            log.exception("a client was turned away")
            return TurnedAway()

    def sweep(self) -> None:
        """Close what has been idle, or has sent half a request, for too long."""
        Date.renew()
        now = self.loop.time()
        for connection in list(self.connections):
            connection.sweep(now)

    def begin_again(self) -> None:
        """The loop was ended, and goes on."""
        self._is_spinning = False
        for connection in list(self.connections):
            connection.begin_again()

    def answered(self) -> None:
        """Look out for the next request without sleeping, while they follow one another fast.

        To be woken takes longer than many an answer. Answers further apart than `spin_s` cost
        nothing here.
        """
        now_s, spin_s = perf_counter(), self.limits.spin_s
        follows = now_s - self._last_answer_s < spin_s
        self._last_answer_s = now_s
        if follows:
            self._spins_until_s = now_s + spin_s
            if not self._is_spinning:
                self._is_spinning = True
                self.loop.call_soon(self._spin)

    def _spin(self) -> None:
        if perf_counter() < self._spins_until_s:
            self.loop.call_soon(self._spin)
        else:
            self._is_spinning = False

    def busy(self) -> bool:
        """True while a request is under way or an answer is still being sent."""
        return any(connection.is_busy for connection in self.connections)
