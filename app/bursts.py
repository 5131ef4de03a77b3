"""Answers that may wait a moment, sent in bursts while inference is busy.

A hundred viewers, each at its own time of the second, break into a tenth of the turns in which the
event loop answers fifty callers, and so into the slowest hundredth of their requests. Five bursts
a second break into a two-hundredth. Whoever looks once a second does not see the difference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)
BUSY_PER_S = 1000.0
"""Requests a second from which on answers are gathered; below, each goes out at once."""
EVERY_S = 0.2


class Timed(Protocol):
    """What a burst is waited for on."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]: ...


class Bursts:
    """Actions of one event loop, at most one of a connection; used on that loop only.

    rate_per_s: of the requests that are not to be broken into.
    """

    def __init__(self, rate_per_s: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._waiting: list[Callable[[], None]] = []

    def do(self, client: Timed, action: Callable[[], None]) -> None:
        """Do it now, or with others within EVERY_S."""
        if self._waiting:
            self._waiting.append(action)
        elif self._rate_per_s() < BUSY_PER_S:
            action()
        else:
            self._waiting.append(action)
            client.call_later(EVERY_S, self._burst)

    def _burst(self) -> None:
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            try:
                action()
            except Exception:
                log.exception("an answer of a burst could not be given")
