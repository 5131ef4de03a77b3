"""The threads of this process as the sampler knows them: name, room, CPU clock, purse."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator

from engine.in_flight import Doing, InFlight
from engine.profiling.frames import printable

ROOMS = (
    ("pyrometer-loop", "engine"),
    ("pyrometer-http", "engine"),
    ("pyrometer-slot", "engine"),
    ("pyrometer-load", "engine"),
    ("pyrometer-console", "console"),
    ("pyrometer-", "system"),
    ("MainThread", "system"),
)
"""Beginnings of threads' names, and what they work for while they work for no request."""
OTHERS = "engine"
FOREIGN = "(foreign)"
LOOK_FOR_FOREIGN = 256
_NUMBER = re.compile(r"[0-9]+")


class ThreadSeen:
    """One thread. clock: of its own CPU time; None where the system does not tell.

    used_ns: its clock at the last look. purse_ns: CPU time that it has used and no sample has
    been given yet. model: that it worked for last. stack, native: of its last sample, frame
    numbers. is_idle: it waited for nobody then. rested, rested_ns: samples since that are not
    counted yet.
    """

    __slots__ = (
        *("clock", "doing", "group", "ident", "is_idle", "model", "native"),
        *("purse_ns", "rested", "rested_ns", "room", "stack", "used_ns"),
    )

    def __init__(self, ident: int, name: str, native_id: int | None, doing: Doing) -> None:
        self.ident, self.doing = ident, doing
        self.group = printable(_NUMBER.sub("N", name)[:80])
        self.room = next((room for start, room in ROOMS if name.startswith(start)), OTHERS)
        # Linux: the kernel's id of a thread's CPU clock is made of its thread id, and a dead
        # thread's is an error, where pthread_getcpuclockid(3) would crash.
        self.clock = None if native_id is None else (~native_id << 3) | 6
        self.used_ns = self.purse_ns = self.rested = self.rested_ns = 0
        self.stack: tuple[int, ...] = ()
        self.model = ""
        self.native: int | None = None
        self.is_idle = False

    def cpu_ns(self) -> int | None:
        """CPU time used so far. Raises OSError once the thread has ended."""
        return None if self.clock is None else time.clock_gettime_ns(self.clock)


class Threads:
    """Those that are alive, but for the one that asks."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._seen: dict[tuple[int, int | None], ThreadSeen] = {}
        self._with_clock: list[ThreadSeen] = []
        self._clocks: list[int] = []
        self._foreign: list[ThreadSeen] = []
        self._count = self._looks = 0
        self.ended: list[ThreadSeen] = []

    def __iter__(self) -> Iterator[ThreadSeen]:
        return iter(self._seen.values())

    def clocks(self) -> list[tuple[ThreadSeen, int | None]]:
        """Every thread with its clock now. Those that have ended are moved to `ended`."""
        if self._count != threading.active_count() or not self._looks % LOOK_FOR_FOREIGN:
            self._look_around()
        self._looks += 1
        try:
            used = list(map(time.clock_gettime_ns, self._clocks))
        except OSError:
            self._look_around()
            return [(thread, _clock_of(thread)) for thread in self]
        found: list[tuple[ThreadSeen, int | None]] = [*zip(self._with_clock, used, strict=True)]
        return found + [(thread, None) for thread in self._foreign] if self._foreign else found

    def _look_around(self) -> None:
        """Meet new threads and part with those that have ended."""
        own = threading.get_ident()
        alive = threading.enumerate()
        self._count = len(alive)
        names = {thread.ident: (thread.name, thread.native_id) for thread in alive}
        seen = {}
        for ident in sys._current_frames():
            if ident == own:
                continue
            name, native_id = names.get(ident, (FOREIGN, None))
            key = (ident, native_id)
            thread = self._seen.pop(key, None)
            if thread is None:
                doing = self._in_flight.of(ident)
                thread = ThreadSeen(ident, name, native_id, doing)
                thread.used_ns = _clock_of(thread) or 0
            seen[key] = thread
        self.ended += self._seen.values()
        for ident in {ident for ident, _ in self._seen} - {ident for ident, _ in seen}:
            self._in_flight.forget(ident)
        self._seen = seen
        self._with_clock = [one for one in seen.values() if one.clock is not None]
        self._clocks = [one.clock for one in self._with_clock if one.clock is not None]
        self._foreign = [one for one in seen.values() if one.clock is None]


def _clock_of(thread: ThreadSeen) -> int | None:
    try:
        return thread.cpu_ns()
    except OSError:
        return thread.used_ns
