"""The sender's clock and an alarm on it that rings within some ten microseconds.

Event loops wait in whole milliseconds (epoll's unit), which a rate of 1,000/s cannot bear and
every latency would carry. A timerfd is a descriptor that becomes readable at a given
nanosecond; the loop watches it like a socket. Elsewhere than on Linux the loop's own timer
serves.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

now_ns = time.monotonic_ns
"""CLOCK_MONOTONIC, which a timerfd counts too."""
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else 0
_ABSOLUTE = 1


class Alarm:
    """Calls back once for each `set`, at that time or as soon as it has passed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._fd = -1
        self._handle: asyncio.TimerHandle | None = None
        library = ctypes.CDLL(None, use_errno=True)
        if hasattr(library, "timerfd_create"):
            self._settime = library.timerfd_settime
            self._times = (ctypes.c_long * 4)()
            self._fd = library.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd >= 0:
            loop.add_reader(self._fd, self._rang)

    def set(self, at_ns: int) -> None:
        """Ring at `at_ns` of `now_ns`; an earlier time set before is forgotten."""
        if self._fd < 0:
            delay_s = max(0.0, (at_ns - now_ns()) / 1e9)
            self._handle = self._loop.call_later(delay_s, self._ring)
            return
        self._times[2], self._times[3] = divmod(at_ns, 1_000_000_000)
        self._settime(self._fd, _ABSOLUTE, self._times, None)

    def _rang(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._ring()

    def close(self) -> None:
        """Never ring again."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
