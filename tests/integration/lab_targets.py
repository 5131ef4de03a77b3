"""Targets that are no Pyrometer: bare V2 servers of known behaviour, in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

INPUT = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}


@dataclass
class Seen:
    """What came in. paths: how often; bodies and heads: of inferences, in order."""

    paths: Counter[str] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0


@dataclass
class Foreign:
    """A bare V2 server below /base. answer: status line and headers, body, keep open."""

    port: int
    seen: Seen

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/base"


Answer = Callable[[str, int], tuple[bytes, bytes]]


def plain(path: str, number: int) -> tuple[bytes, bytes]:
    """200 with a length."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"{}"


def chunked(path: str, number: int) -> tuple[bytes, bytes]:
    """200 in chunks."""
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"


def until_close(path: str, number: int) -> tuple[bytes, bytes]:
    """200 of HTTP/1.0, ended by closing."""
    return b"HTTP/1.0 200 OK\r\n\r\n", b"{}"


def closing(path: str, number: int) -> tuple[bytes, bytes]:
    """200, then closed."""
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n", b"{}"


def failing_every_fourth(path: str, number: int) -> tuple[bytes, bytes]:
    """503 for every fourth inference."""
    status = b"503 no" if number % 4 == 3 else b"200 OK"
    return b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n", b"{}"


def cut_off(path: str, number: int) -> tuple[bytes, bytes]:
    """Fewer bytes than announced, then closed."""
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 20\r\n\r\n", b"{}"


@contextmanager
def foreign(answer: Answer = plain, silent: bool = False) -> Iterator[Foreign]:
    """The server while the block runs. silent: inferences are never answered."""
    seen = Seen()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    started: list[int] = []
    ready = threading.Event()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = await reader.readexactly(length)
                seen.paths[path] += 1
                if not path.endswith("/infer"):
                    known = path == "/base/v2/models/m"
                    content = json.dumps({"inputs": [INPUT]} if known else {}).encode()
                    status = b"200 OK" if known else b"404 no"
                    writer.write(
                        b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n" % (status, len(content))
                    )
                    writer.write(content)
                    continue
                number = len(seen.bodies)
                seen.bodies.append(body)
                seen.heads.append(head)
                if silent:
                    continue
                said, content = answer(path, number)
                writer.write(said + content)
                await writer.drain()
                if b"close" in said or said.startswith(b"HTTP/1.0"):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(client, "127.0.0.1", 0)
        started.append(server.sockets[0].getsockname()[1])
        ready.set()
        await over.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield Foreign(started[0], seen)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
