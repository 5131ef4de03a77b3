"""A thread that does one thing again and again, until it is stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Periodic:
    """Calls `work` every interval_s; a call that fails or takes long delays no later one."""

    def __init__(
        self,
        name: str,
        interval_s: float,
        work: Callable[[], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s, self._work, self._monotonic = interval_s, work, monotonic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pyrometer-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Return once the thread has ended, or after 2 s."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def _run(self) -> None:
        due = self._monotonic() + self._interval_s
        while not self._stop.wait(max(0.0, due - self._monotonic())):
            due = max(due + self._interval_s, self._monotonic())
            try:
                self._work()
            except Exception:
                # The next time must come whatever went wrong in this one.
                log.exception("%s failed once", self._thread.name)
