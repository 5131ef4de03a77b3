"""Connections of urllib3 whose answers, heads too, are read until a deadline and no further.

urllib3 bounds each wait. A peer that sends one byte a second keeps every wait short, and would be
read for ever.
"""

from __future__ import annotations

import io
import socket
import time
from functools import partial
from http.client import HTTPResponse
from typing import Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Until(io.RawIOBase):
    """The bytes of another until a time, monotonic. Raises TimeoutError after it."""

    def __init__(self, raw: io.RawIOBase, until_s: float) -> None:
        self._raw, self._until_s = raw, until_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until_s:
            raise TimeoutError("the answer took too long")
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Socket:
    """As much of a socket as an answer is read from."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._sock, self._until_s = sock, until_s

    def makefile(self, mode: str) -> io.BufferedReader:
        raw = cast(io.RawIOBase, self._sock.makefile("rb", buffering=0))
        return io.BufferedReader(_Until(raw, self._until_s))


def _answer(until_s: float, sock: socket.socket, *given: Any, **named: Any) -> HTTPResponse:
    return HTTPResponse(cast(socket.socket, _Socket(sock, until_s)), *given, **named)


class _Timed:
    """Reads each answer within `within_s` of its question."""

    within_s = 0.0

    def request(self, *given: Any, **named: Any) -> None:
        until_s = time.monotonic() + self.within_s
        self.response_class = partial(_answer, until_s)
        super().request(*given, **named)  # type: ignore[misc]


def pools_within(within_s: float, wait_s: float, hosts: int) -> PoolManager:
    """Connections that are kept, one a host. wait_s: for a connection, and for each wait."""
    plain = type("Plain", (_Timed, HTTPConnection), {"within_s": within_s})
    tls = type("Tls", (_Timed, HTTPSConnection), {"within_s": within_s})
    pools = PoolManager(
        num_pools=hosts,
        maxsize=1,
        block=False,
        timeout=Timeout(connect=wait_s, read=wait_s),
    )
    pools.pool_classes_by_scheme = {
        "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }
    return pools
