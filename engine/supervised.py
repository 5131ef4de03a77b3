"""Threads that go on: what ends one unasked is noted, and its work is begun again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
LEAST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
CALM_S = 60.0
"""A thread that has worked so long since its last death begins again after the least pause."""


class Supervised:
    """A daemon thread for work that is to go on until it is asked to end.

    work: returns once it was asked to. Whatever else ends it, SystemExit too, is logged, and it
    is begun again, in the same thread, after a pause that doubles. deaths: how often that was.
    why: the last one's, in words. died_s: when, by `monotonic`.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.deaths, self.why = name, 0, ""
        self.died_s = float("-inf")
        self._work, self._monotonic = work, monotonic
        self._thread: threading.Thread | None = None
        self._ended = False

    def start(self) -> None:
        """Begin. Raises RuntimeError where the system has no thread to give."""
        thread = threading.Thread(target=self._run, name=f"pyrometer-{self.name}", daemon=True)
        thread.start()
        self._thread = thread

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_missing(self) -> bool:
        """It was begun, nobody asked it to end, and it is not there."""
        return self._thread is not None and not self._ended and not self._thread.is_alive()

    def revive(self) -> None:
        """Begin anew what is missing; for whoever looks after threads."""
        if self.is_missing:
            self._note("its thread is gone")
            try:
                self.start()
            except RuntimeError as error:
                self.why = str(error)

    def join(self, wait_s: float) -> None:
        """Wait for its end, if it has begun."""
        if self._thread is not None:
            self._thread.join(wait_s)

    def _run(self) -> None:
        pause_s = LEAST_PAUSE_S
        while True:
            try:
                self._work()
                self._ended = True
                return
            except BaseException as error:
                # Also what is no Exception: a thread that ends takes its part of the server along.
                if self._monotonic() - self.died_s > CALM_S:
                    pause_s = LEAST_PAUSE_S
                self._note(f"{type(error).__name__}: {error}"[:200])
                log.exception("%s ended and is begun again", self.name)
            time.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _note(self, why: str) -> None:
        self.why, self.died_s = why, self._monotonic()
        self.deaths += 1
