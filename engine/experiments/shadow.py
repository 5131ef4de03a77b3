r"""Work off the callers' time: one thread of low priority behind a bounded queue.

    offer -> queue (jobs, bytes: both bounded) -> one thread -> work(job)
                \-> full: dropped and counted

The thread never takes more than MOST_SHARE of a processor's time, so that even a slow candidate
written in Python, which holds the interpreter's lock, leaves the callers theirs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.supervised import Supervised

log = logging.getLogger(__name__)
MOST_BYTES = 16 * 1024 * 1024
MOST_SHARE = 0.5
NICE = 10
LONGEST_REST_S = 2.0
T = TypeVar("T")


@dataclass(slots=True)
class ShadowCounts:
    """Since it began. left_out: not chosen by the fraction."""

    offered: int = 0
    left_out: int = 0
    dropped: int = 0
    done: int = 0


class Shadow(Generic[T]):
    """Does `work` with jobs. The thread starts with the first job and is a daemon.

    work: must not raise; what it raises is logged. most_jobs: that may wait.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        most_jobs: int,
        most_bytes: int = MOST_BYTES,
        share: float = MOST_SHARE,
    ) -> None:
        self.counts = ShadowCounts()
        self.most_jobs = most_jobs
        self._work, self._most_bytes, self._share = work, most_bytes, share
        self._jobs: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread: Supervised | None = None

    @property
    def thread(self) -> Supervised | None:
        """Once there was something to do."""
        return self._thread

    @property
    def queued(self) -> int:
        return len(self._jobs)

    def offer(self, job: T, size_bytes: int) -> bool:
        """Queue a job, at once; False when it is dropped. size_bytes: what it keeps alive."""
        with self._changed:
            self.counts.offered += 1
            is_full = len(self._jobs) >= self.most_jobs
            if is_full or self._bytes + size_bytes > self._most_bytes or self._stopped.is_set():
                self.counts.dropped += 1
                return False
            self._jobs.append((job, size_bytes))
            self._bytes += size_bytes
            if self._thread is None:
                thread = Supervised("shadow", self._run)
                try:
                    thread.start()
                except RuntimeError as error:
                    log.error("answers are not compared for now: %s", error)
                else:
                    self._thread = thread
            self._changed.notify()
        return True

    def leave_out(self) -> None:
        """Count a job that was not chosen."""
        with self._changed:
            self.counts.left_out += 1

    def stop(self) -> None:
        """Take no more; what waits is forgotten. The job under way ends by itself."""
        with self._changed:
            self._stopped.set()
            self._jobs.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _run(self) -> None:
        # Linux gives each thread a priority of its own.
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            with self._changed:
                while not self._jobs and not self._stopped.is_set():
                    self._changed.wait()
                if self._stopped.is_set():
                    return
                job, size_bytes = self._jobs.popleft()
                self._bytes -= size_bytes
            began_s = time.thread_time()
            try:
                self._work(job)
            except Exception:
                log.exception("a comparison failed outside its own handling")
            self.counts.done += 1
            taken_s = time.thread_time() - began_s
            rest_s = min(LONGEST_REST_S, taken_s * (1 - self._share) / self._share)
            self._stopped.wait(rest_s)
