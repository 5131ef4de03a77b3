"""A thread that does one thing again and again, until it is stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from engine.supervised import Supervised

log = logging.getLogger(__name__)


class Periodic:
    """Calls `work` every interval_s; a call that fails or takes long delays no later one.

    failures: calls that raised. thread: what it runs in, for those who look after threads.
    """

    def __init__(
        self,
        name: str,
        interval_s: float,
        work: Callable[[], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._interval_s, self._work, self._monotonic = interval_s, work, monotonic
        self._stop = threading.Event()
        self.thread = Supervised(name, self._run)

    def start(self) -> None:
        self.thread.start()

    @property
    def is_alive(self) -> bool:
        return self.thread.is_alive

    def stop(self) -> None:
        """Return once the thread has ended, or after 2 s."""
        self._stop.set()
        self.thread.join(2)

    def _run(self) -> None:
        due = self._monotonic() + self._interval_s
        while not self._stop.wait(max(0.0, due - self._monotonic())):
            due = max(due + self._interval_s, self._monotonic())
            try:
                self._work()
            except Exception:
                # The next time must come whatever went wrong in this one.
                self.failures += 1
                log.exception("%s failed once", self.thread.name)
