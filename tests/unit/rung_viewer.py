"""A viewer's connection without a socket, and an event loop's timers, rung by the test."""

from __future__ import annotations

from collections.abc import Callable


class Timer:
    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []

    @property
    def delays(self) -> list[float]:
        return [delay_s for delay_s, _ in self.set]

    def ring(self) -> None:
        ringing, self.set = self.set, []
        for _, action in ringing:
            action()


class RungViewer:
    """is_busy: a request of it is under way."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self.is_parked = self.is_busy = False

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        self._timer.set.append((delay_s, action))
        return lambda: None

    def park(self) -> bool:
        self.is_parked = not self.is_busy
        return self.is_parked

    def unpark(self) -> None:
        self.is_parked = False
