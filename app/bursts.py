"""Viewers' questions and answers, gathered in bursts while inference is busy.

    not busy   each is read and answered at once
    busy       tick -> all viewers are read for a moment -> all who asked are answered -> not
               read until the next tick, five a second

A hundred viewers, each at its own time of the second, break into a tenth of the turns in which the
event loop answers fifty callers, and so into the slowest hundredth of their requests. Five bursts
a second break into a two-hundredth. Whoever looks once a second does not see the difference; what
else is asked on a viewer's connection waits at most as long as until the next tick.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)
BUSY_PER_S = 1000.0
"""Requests a second from which on viewers are gathered; below, nobody waits."""
EVERY_S = 0.2
READING_S = 0.002
"""How long viewers are read at a tick: what they asked meanwhile lies in their sockets."""


class Viewer(Protocol):
    """A connection, as far as this cares."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]: ...

    def park(self) -> bool:
        """Read no more from it; False, and nothing is done, while a request is under way."""
        ...

    def unpark(self) -> None: ...


class Bursts:
    """Answers of one event loop, at most one of a connection; used on that loop only.

    rate_per_s: of the requests that are not to be broken into.
    """

    def __init__(self, rate_per_s: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._waiting: dict[Viewer, Callable[[], None]] = {}
        self._parked: list[Viewer] = []
        self._ticks = False

    def do(self, viewer: Viewer, answer: Callable[[], None]) -> None:
        """Answer it now, or with others at the next tick."""
        if self._ticks:
            self._waiting[viewer] = answer
        elif self._rate_per_s() < BUSY_PER_S:
            answer()
        else:
            self._waiting[viewer] = answer
            self._ticks = True
            viewer.call_later(EVERY_S, lambda: self._tick(viewer))

    def _tick(self, clock: Viewer) -> None:
        """All are read, and in a moment answered. clock: a viewer to set timers by."""
        for viewer in self._parked:
            viewer.unpark()
        clock.call_later(READING_S, lambda: self._burst(clock))

    def _burst(self, clock: Viewer) -> None:
        waiting, self._waiting = self._waiting, {}
        viewers = dict.fromkeys(self._parked) | dict.fromkeys(waiting)
        self._parked = []
        for answer in waiting.values():
            try:
                answer()
            except Exception:
                log.exception("an answer of a burst could not be given")
        self._ticks = bool(self._waiting) or self._rate_per_s() >= BUSY_PER_S
        if self._ticks:
            # One that is in the middle of something is no mere viewer any more.
            self._parked = [viewer for viewer in viewers if viewer.park()]
            self._ticks = bool(self._parked or self._waiting)
        if self._ticks:
            clock.call_later(EVERY_S - READING_S, lambda: self._tick(clock))
