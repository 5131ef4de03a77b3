"""A recording reverse proxy for any V2 server: `pyrometer bench record`.

    client -> proxy -> server          every request and answer passes as it is
                 '-> file              inference requests, redacted, with their times

Small and bounded: MOST_CLIENTS connections, bodies of up to 64 MiB, a file of up to
`most_bytes`; a full file ends recording, not the service. A request that cannot be read (not
JSON, packed otherwise than by gzip) passes and is counted as not kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bench.lab import traffic
from bench.lab.messages import (
    MOST_BODY_BYTES,
    MOST_HEAD_BYTES,
    BadMessage,
    Message,
    read_body,
    read_head,
)
from bench.lab.redact import Redactor
from bench.lab.target import Target
from engine.errors import InvalidInput, PyrometerError

MOST_CLIENTS = 256
UPSTREAM_TIMEOUT_S = 600.0
BODILESS = frozenset((b"204", b"304"))
UNREADABLE = (AttributeError, InvalidInput, RecursionError, TypeError, ValueError, zlib.error)


class Recorder:
    """Appends requests to a file of bench/lab/traffic.py's format. Not for several threads."""

    def __init__(self, path: Path, redactor: Redactor, about: Mapping[str, Any], most: int) -> None:
        """about: texts and jitter_percent of the file's first line. most: bytes of the file.

        Raises PyrometerError where the file cannot be written.
        """
        self._redactor, self._most = redactor, most
        self.kept = self.not_kept = self.bytes = 0
        self.full = False
        self._first_s: float | None = None
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise PyrometerError(f"{path} cannot be written: {error.strerror}") from None
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._write(traffic.head_line(round(time.time(), 3), **about))

    def take(self, path: str, message: Message, at_s: float) -> None:
        """Keep an inference request that came at `at_s` of a monotonic clock; ignore others."""
        if self.full or message.start[0] != b"POST" or traffic.model_of(path) is None:
            return
        if self._first_s is None:
            self._first_s = at_s
        try:
            body, binary = self._redactor.request(*parsed(message))
            line = traffic.entry_line(at_s - self._first_s, path, body, binary)
        except UNREADABLE:
            self.not_kept += 1
            return
        self.full = self.bytes + len(line) > self._most
        if not self.full:
            self._write(line)
            self.kept += 1

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self.bytes += len(line)

    def close(self) -> None:
        self._file.close()


def parsed(message: Message) -> tuple[dict[str, Any], bytes]:
    """JSON and binary part of a request's body. Raises ValueError, zlib.error."""
    body, packed = message.body, message.header(b"content-encoding")
    if packed == b"gzip":
        opener = zlib.decompressobj(wbits=31)
        body = opener.decompress(body, MOST_BODY_BYTES)
        if opener.unconsumed_tail:
            raise ValueError("the body is too large unpacked")
    elif packed not in (None, b"identity"):
        raise ValueError("the body is packed otherwise")
    length = message.header(b"inference-header-content-length")
    split = int(length) if length else len(body)
    said = json.loads(body[:split])
    if not isinstance(said, dict):
        raise ValueError("the body is no object")
    return said, body[split:]


def is_loopback(host: bytes | None) -> bool:
    """A Host header that names this machine."""
    name = re.sub(rb":\d*$", b"", host or b"").lower()
    return name in (b"127.0.0.1", b"localhost", b"[::1]")


class Proxy:
    """Listens on the loopback address until `close`. passed: requests that were answered."""

    def __init__(self, target: Target, recorder: Recorder) -> None:
        self._target, self._recorder = target, recorder
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[Any]] = set()
        self.passed = 0

    async def listen(self, port: int) -> int:
        """Begin; the port (0 takes a free one). Raises PyrometerError where it is taken."""
        try:
            self._server = await asyncio.start_server(
                self._client, "127.0.0.1", port, limit=MOST_HEAD_BYTES
            )
        except OSError as error:
            raise PyrometerError(f"cannot listen on port {port}: {error.strerror}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End every connection and the file."""
        assert self._server is not None
        self._server.close()
        clients = list(self._clients)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        self._recorder.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        upstream = _Upstream(self._target)
        try:
            if len(self._clients) >= MOST_CLIENTS:
                writer.write(_refusal(503, f"at most {MOST_CLIENTS} clients"))
                return
            self._clients.add(task)
            while await self._pass_one(reader, writer, upstream):
                continue
        except (OSError, asyncio.CancelledError):
            pass  # one of the two has gone
        finally:
            self._clients.discard(task)
            upstream.close()
            writer.close()

    async def _pass_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: _Upstream
    ) -> bool:
        """Pass one request and its answer; whether another may follow."""
        try:
            request = await read_head(reader)
            if request is None:
                return False
            if request.header(b"expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await read_body(reader, request, answer=False)
        except BadMessage as error:
            writer.write(_refusal(error.status, str(error)))
            return False
        if not is_loopback(request.header(b"host")):
            # The server will see its own address; it can no longer tell whom a page rebinds.
            writer.write(_refusal(403, "the Host header must name this machine"))
            return False
        path = request.start[1].decode("latin-1").split("?", 1)[0]
        self._recorder.take(path, request, time.monotonic())
        try:
            answer = await upstream.exchange(request)
        except (OSError, TimeoutError, BadMessage) as error:
            writer.write(_refusal(502, f"{self._target.url} does not answer: {error}"))
            return False
        self.passed += 1
        writer.write(answer)
        await writer.drain()
        return request.keeps


class _Upstream:
    """One client's connection to the server, opened when needed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: Message) -> bytes:
        """The server's answer, ready to be passed on. Raises OSError, TimeoutError, BadMessage."""
        async with asyncio.timeout(UPSTREAM_TIMEOUT_S):
            kept = self._streams is not None
            answer = await self._try(request)
            if answer is None and kept:  # it had closed the kept connection meanwhile
                answer = await self._try(request)
        if answer is None:
            raise ConnectionResetError("the connection closed")
        bodiless = request.start[0] == b"HEAD" or answer.start[1] in BODILESS
        announced = answer.header(b"content-length")
        length = int(announced) if bodiless and announced else len(answer.body)
        start = b"HTTP/1.1 " + answer.start[1] + b" " + answer.start[2]
        if not answer.keeps:
            self.close()
        return answer.rendered(start, (), None if bodiless and not announced else length)

    async def _try(self, request: Message) -> Message | None:
        """One attempt; None where the connection ended without an answer."""
        if self._streams is None:
            secure = True if self._target.scheme == "https" else None
            self._streams = await asyncio.open_connection(
                self._target.host, self._target.port, ssl=secure, limit=MOST_HEAD_BYTES
            )
        reader, writer = self._streams
        url = self._target.base.encode() + request.start[1]
        method = request.start[0]
        length = None if method in (b"GET", b"HEAD") and not request.body else len(request.body)
        host = b"host: " + self._target.authority.encode()
        writer.write(request.rendered(method + b" " + url + b" HTTP/1.1", (host,), length))
        try:
            answer = await read_head(reader)
            while answer is not None and answer.start[1].startswith(b"1"):
                answer = await read_head(reader)
        except ConnectionResetError:
            answer = None
        if answer is None:
            self.close()
        elif method != b"HEAD" and answer.start[1] not in BODILESS:
            await read_body(reader, answer, answer=True)
        return answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _refusal(status: int, text: str) -> bytes:
    content = json.dumps({"error": text}).encode()
    return (
        b"HTTP/1.1 %d .\r\ncontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n" % (status, len(content))
    ) + content


async def record(
    target: Target, recorder: Recorder, port: int, on_listen: Any, over: asyncio.Event
) -> Proxy:
    """Record until `over`; on_listen is told the port."""
    proxy = Proxy(target, recorder)
    on_listen(await proxy.listen(port))
    await over.wait()
    await proxy.close()
    return proxy
