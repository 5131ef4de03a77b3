"""Accepting clients, and going on with it: the event loop's handle on the listening socket.

The loop closes its handle, without a word, where something raises while a client comes in, a
thread that is told to end among it. The kernel goes on queueing clients whom nobody would ever
take. So each handle has a copy of the socket, and another is made when the loop begins again, and
when clients have waited for a whole second in which not one was taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)
BACKLOG = 1024
TCP_INFO = getattr(socket, "TCP_INFO", None)
WAITING_AT, INFO_BYTES = 24, 32
"""tcpi_unacked in Linux' struct tcp_info: of a listening socket, clients not yet accepted."""


class Acceptor:
    """Belongs to the loop, but for `open`.

    connect: makes a client's protocol. taken: how many clients have been, since start.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[], asyncio.Protocol],
        taken: Callable[[], int],
        tls: Mapping[str, Any],
    ) -> None:
        self._loop, self._connect, self._taken, self._tls = loop, connect, taken, tls
        self._socket: socket.socket | None = None
        self._handle: Any = None
        self._taken_before: int | None = None
        self._renewing: asyncio.Task[None] | None = None

    def open(self, host: str, port: int) -> int:
        """Listen; the port. Raises OSError where it is taken."""
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        self._socket = listening
        return int(listening.getsockname()[1])

    async def renew(self) -> None:
        """Take clients through a handle of its own from now on; not once closed."""
        if self._socket is None:
            return
        try:
            own = self._socket.dup()
        except OSError as error:
            log.error("accepting goes on as it was: %s", error.strerror)
            return
        before = self._handle
        try:
            self._handle = await self._loop.create_server(
                self._connect, sock=own, backlog=BACKLOG, **self._tls
            )
        except BaseException:
            own.close()
            raise
        _close(before)

    def look(self) -> None:
        """Once a second: go on accepting where clients wait and none was taken since the last."""
        if self._socket is None:
            return
        before, taken = self._taken_before, self._taken()
        self._taken_before = taken if waiting_at(self._socket) else None
        if before == taken and self._taken_before is not None:
            log.error("clients wait and none is taken: accepting begins again")
            self._renewing = self._loop.create_task(self.renew())

    def close(self) -> None:
        """Take no more: whoever comes now is refused by the kernel."""
        _close(self._handle)
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def waiting_at(listening: socket.socket) -> int:
    """Clients whom the kernel has connected and nobody has accepted; 0 where it does not tell."""
    if TCP_INFO is None:
        return 0
    try:
        info = listening.getsockopt(socket.IPPROTO_TCP, TCP_INFO, INFO_BYTES)
    except OSError:
        return 0
    return int(struct.unpack_from("I", info, WAITING_AT)[0]) if len(info) == INFO_BYTES else 0


def _close(handle: Any) -> None:
    if handle is not None:
        with contextlib.suppress(Exception):  # it may be the one that is dead
            handle.close()
