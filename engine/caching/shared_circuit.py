"""A circuit breaker: whether a helper that may be away or slow is asked at all. Pure.

    closed --(so many failures in a row)--> open --(a probe is due)--> half-open
    half-open --(the probe was good)--> closed, --(it failed)--> open

Requests ask while it is closed only; probes are made off their path.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
STATES = (CLOSED, OPEN, HALF_OPEN)


class Circuit:
    """One helper's. It begins half-open: nothing is asked before the first good probe.

    asks: True while requests may ask. problem: the last failure in words, None while it is
    closed. since_s: of this state, by `clock_s`. opened: how often it opened. told: called with
    the new state and the problem when it opens or closes, outside the lock.
    """

    def __init__(
        self,
        failures_to_open: int = 3,
        told: Callable[[str, str | None], None] | None = None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self.state, self.asks = HALF_OPEN, False
        self.problem: str | None = None
        self.opened = 0
        self.since_s = clock_s()
        self._most, self._told, self._clock_s = failures_to_open, told, clock_s
        self._failures = 0
        self._shown = HALF_OPEN
        self._lock = threading.Lock()

    def succeeded(self) -> None:
        """A request was answered in time."""
        if self._failures:
            self._failures = 0

    def failed(self, problem: str) -> None:
        """A request was not; while the circuit is open or probed, that is no news."""
        with self._lock:
            self._failures += 1
            if self.state != CLOSED or self._failures < self._most:
                return
            self._become(OPEN, problem)
            self.opened += 1
        self._tell()

    def begin_probe(self) -> None:
        """A probe of an open circuit is under way."""
        with self._lock:
            if self.state == OPEN:
                self._become(HALF_OPEN, self.problem)

    def probed(self, problem: str | None) -> None:
        """How a probe ended: None is good. A circuit that is closed is left as it is."""
        with self._lock:
            if self.state == CLOSED:
                return
            self._failures = 0
            self._become(CLOSED if problem is None else OPEN, problem)
        self._tell()

    def _become(self, state: str, problem: str | None) -> None:
        self.state, self.problem, self.asks = state, problem, state == CLOSED
        if self._shown != state and state != HALF_OPEN:
            self.since_s = self._clock_s()

    def _tell(self) -> None:
        """Once for each opening and closing: a probe that fails again is no news."""
        with self._lock:
            state, problem = self.state, self.problem
            if state in (self._shown, HALF_OPEN):
                return
            self._shown = state
        if self._told is not None:
            self._told(state, problem)
