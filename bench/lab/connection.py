"""One connection to the target: keeps alive, one request at a time, answers parsed by llhttp."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import httptools

from bench.lab.clocks import now_ns

SERVER_TIME = b"x-processing-time"
FRAMES = (b"content-length", b"transfer-encoding")
LENGTHS = frozenset(len(name) for name in (SERVER_TIME, *FRAMES))


@dataclass(frozen=True, slots=True)
class Shot:
    """One request, ready to write. expected: statuses beside 2xx that are no error here."""

    raw: bytes
    expected: frozenset[int] = frozenset()


class Owner(Protocol):
    """Who is told what became of a request."""

    def answered(self, connection: Connection, status: int, done_ns: int) -> None:
        """The answer is whole; `connection` still holds its shot and times."""

    def broken(self, connection: Connection, text: str) -> None:
        """The request has no answer and will have none."""

    def ready(self, connection: Connection) -> None:
        """It may send."""

    def gone(self, connection: Connection) -> None:
        """It is closed and must be opened anew before it may send."""


class Connection(asyncio.Protocol):
    """Opened by its owner, again and again; `shot` is None while nothing is in flight.

    is_open: the owner has it. An attempt to open that was given up may still be made and lost,
    of which the owner hears nothing.
    """

    __slots__ = (
        "_framed",
        "_headed",
        "_owner",
        "_parser",
        "_transport",
        "intended_ns",
        "is_open",
        "sent_ns",
        "server_ns",
        "shot",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: Any = None
        self._parser: Any = None
        self._framed = self._headed = False
        self.is_open = False
        self.shot: Shot | None = None
        self.intended_ns = self.sent_ns = 0
        self.server_ns = -1

    def send(self, shot: Shot, intended_ns: int) -> None:
        """Write it. intended_ns: when it was due; 0: now."""
        self.shot = shot
        self.server_ns = -1
        self.sent_ns = now_ns()
        self.intended_ns = intended_ns or self.sent_ns
        self._transport.write(shot.raw)

    def abort(self) -> None:
        """Close at once; nothing more is heard of its request."""
        self.shot = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._framed = self._headed = False

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self.shot is not None:
                self._owner.broken(self, "the answer is not HTTP")
            self.abort()

    @property
    def is_made(self) -> bool:
        """The transport is there."""
        return self._transport is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.is_open:
            return
        self.is_open = False
        if self.shot is not None:
            if self._headed and not self._framed:  # the end of the connection ends the answer
                self._owner.answered(self, self._parser.get_status_code(), now_ns())
            else:
                self._owner.broken(self, "the connection closed before the answer")
            self.shot = None
        self._owner.gone(self)

    # llhttp's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) not in LENGTHS:
            return
        name = name.lower()
        if name in FRAMES:
            self._framed = True
        elif name == SERVER_TIME:
            try:
                self.server_ns = int(float(value) * 1e6)
            except (ValueError, OverflowError):
                self.server_ns = -1

    def on_message_begin(self) -> None:
        self._framed = self._headed = False

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self.shot is None:
            return
        done_ns = now_ns()
        keeps = self._parser.should_keep_alive()
        self._headed = False
        self._owner.answered(self, status, done_ns)
        self.shot = None
        if keeps:
            self._owner.ready(self)
        else:
            self._transport.close()


def opening_words(error: BaseException) -> str:
    """What went wrong, without the address, so that equal errors have equal words."""
    if isinstance(error, TimeoutError):
        return "the connection could not be opened in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return f"the connection could not be opened: {getattr(error, 'strerror', None) or error}"[:200]
