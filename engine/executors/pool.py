"""The engine's bounded worker pool for work off the request path."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from engine.errors import Overloaded

log = logging.getLogger(__name__)


class WorkerPool:
    """Threads that run queued jobs in order of arrival; the queue is bounded.

    Threads start with the first job and are daemons: a job in foreign code must not keep
    the process alive.
    """

    def __init__(self, name: str, workers: int, max_queued: int) -> None:
        self.name = name
        self.failures = self.busy = 0
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.max_queued = max_queued
        self.workers = workers
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job. Raises Overloaded at once when the queue is full or the pool closed."""
        with self._lock:
            if self._closed:
                raise Overloaded(f"{self.name} pool is closed")
            if self._queue.qsize() >= self.max_queued:
                raise Overloaded(f"{self.name} pool has {self.max_queued} jobs waiting, its limit")
            self._queue.put(job)
            if len(self._threads) < self.workers:
                thread = threading.Thread(
                    target=self._work, name=f"pyrometer-{self.name}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                self.busy += 1
            try:
                job()
            except Exception:
                # A job reports to whoever waits for it; here it must only not end the thread.
                self.failures += 1
                log.exception("a job of the %s pool failed", self.name)
            finally:
                with self._lock:
                    self.busy -= 1

    def close(self, wait_s: float) -> None:
        """Take no more jobs, drop those not started, wait at most wait_s for the running."""
        with self._lock:
            self._closed = True
            while True:
                try:
                    self._queue.get_nowait()
                except queue.Empty:
                    break
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join(wait_s)


def pool_figures(pool: WorkerPool) -> dict[str, int]:
    """A pool's state, as the metrics show it."""
    return {
        "workers": pool.workers,
        "busy": pool.busy,
        "queued": pool.queued,
        "limit": pool.max_queued,
        "failures": pool.failures,
    }
