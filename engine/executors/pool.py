"""The engine's bounded worker pool for work off the request path."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from engine.errors import Overloaded
from engine.supervised import Supervised

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
        self.threads: list[Supervised] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job.

        Raises Overloaded at once when the queue is full, the pool closed, or no thread to be had.
        """
        with self._lock:
            if self._closed:
                raise Overloaded(f"{self.name} pool is closed")
            if self._queue.qsize() >= self.max_queued:
                raise Overloaded(f"{self.name} pool has {self.max_queued} jobs waiting, its limit")
            if len(self.threads) < self.workers:
                self._add_thread()
            self._queue.put(job)

    def _add_thread(self) -> None:
        """One more, or those that are there must do."""
        thread = Supervised(self.name, self._work)
        try:
            thread.start()
        except RuntimeError as error:
            if not self.threads:
                raise Overloaded(f"the {self.name} pool has no thread: {error}") from None
            return
        self.threads.append(thread)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                self.busy += 1
            try:
                job()
            except BaseException:
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
            for _ in self.threads:
                self._queue.put(None)
        for thread in self.threads:
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
