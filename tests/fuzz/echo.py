"""A server that answers with what it read, a client for it, and requests in their bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop

from app.exchange import Request, error_response, json_response
from app.http1 import Connection
from app.listener import Limits, Listener

CAP = 4096
"""Bytes of a body."""


def echo(request: Request, connection: Connection) -> None:
    """Answer with what was read; what is over the cap as every handler does."""
    if len(request.body) < request.body_bytes:
        connection.answer(error_response(413, "over the cap"))
        return
    fields = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()
    }
    told = {"method": request.method.decode("latin-1"), "target": request.target.decode("latin-1")}
    body = base64.b64encode(request.body).decode()
    connection.answer(json_response(told | {"headers": fields, "body": body}))


class Echo:
    """A listener of ours on a free port, its loop in a thread."""

    def __init__(self, read_timeout_s: float = 5.0, cap: int = CAP) -> None:
        self._loop = uvloop.new_event_loop()
        self.listener = Listener(echo, Limits(64, cap, 60.0, read_timeout_s), self._loop)
        opened = self._loop.run_until_complete(
            self._loop.create_server(self.listener.connect, "127.0.0.1", 0)
        )
        self.port = int(opened.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def sweep(self, later_s: float) -> None:
        """What the sweep does when so much time has passed."""
        swept = threading.Event()

        def sweep() -> None:
            for connection in list(self.listener.connections):
                connection.sweep(self._loop.time() + later_s)
            swept.set()

        self._loop.call_soon_threadsafe(sweep)
        assert swept.wait(5)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


@dataclass
class Sent:
    """A well-formed request: what is to be read of it, and its bytes."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    chunks: list[tuple[int, bytes]] = field(default_factory=list)
    trailers: bytes = b""

    def content(self, *more: bytes) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1".encode()]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in self.headers.items()]
        lines += more
        if not self.chunks:
            lines.append(b"Content-Length: %d" % len(self.body))
            return b"\r\n".join(lines) + b"\r\n\r\n" + self.body
        lines.append(b"Transfer-Encoding: chunked")
        parts, place = [b"\r\n".join(lines) + b"\r\n\r\n"], 0
        for size, extension in self.chunks:
            part = self.body[place : place + size]
            place += size
            if part:
                parts.append(b"%x%b\r\n%b\r\n" % (len(part), extension, part))
        return b"".join((*parts, b"0\r\n", self.trailers, b"\r\n"))


def answers_of(port: int, parts: list[bytes]) -> tuple[list[tuple[int, Any]], bool]:
    """Every answer until the server closes, or until it has closed after the client's end.

    The second is True where the server closed first, before all was sent.
    """
    data, refused = b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                client.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            refused = True
        try:
            while part := client.recv(65_536):
                data += part
        except ConnectionResetError:
            refused = True
    return list(_answers(data)), refused


def _answers(data: bytes) -> Iterator[tuple[int, Any]]:
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(fields.get(b"content-length", b"0"))
        status = int(lines[0].split(b" ")[1])
        yield status, json.loads(rest[:length]) if length and len(rest) >= length else None
        data = rest[length:]
