"""The scheduler: work too slow for the event loop, a few pieces at a time.

    submit(job) -> its group's queue -> a slot -> execute([job, ...])

A group is a model: each has a bounded queue of its own, and the slots serve the groups in
turn, so that a model that is hammered does not starve the others. Jobs of one kind that wait
together run as one batch where their policy says that pays: at once when nothing of the
group is running, else when the batch is full or its oldest job has waited long enough.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from engine.batching.policy import ALONE, BatchPolicy
from engine.errors import Overloaded
from engine.supervised import Supervised

log = logging.getLogger(__name__)
LONGEST_RETRY_S = 60.0


class Job:
    """One piece of work. rows: its size in a batch. kind: only equal kinds share a batch."""

    __slots__ = ("group", "kind", "policy", "queued_ns", "rows")

    def __init__(
        self, group: str, rows: int = 1, kind: Hashable = None, policy: BatchPolicy = ALONE
    ) -> None:
        self.group, self.rows, self.kind, self.policy = group, rows, kind, policy
        self.queued_ns = 0


@dataclass(slots=True)
class SchedulerCounts:
    """Since start, but for `queued` and `running`, which are of now."""

    queued: int = 0
    running: int = 0
    runs: int = 0
    jobs: int = 0
    refused: int = 0
    largest_batch: int = 0


class _Group:
    """A model's waiting jobs and what its runs have taken lately."""

    __slots__ = ("jobs", "run_s", "running")

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.running = 0
        self.run_s = 0.0


class Scheduler:
    """Threads, one a slot, that take groups of jobs in turn.

    execute: runs jobs of one kind together and reports to whoever waits; must not raise.
    Threads start with the first job and are daemons: a run in foreign code must not keep the
    process alive.
    """

    def __init__(self, slots: int, max_queued: int, execute: Callable[[list[Job]], None]) -> None:
        self.slots, self.max_queued = slots, max_queued
        self.counts = SchedulerCounts()
        self._execute = execute
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._changed = threading.Condition()
        self.threads: list[Supervised] = []
        self._closed = False

    def submit(self, job: Job) -> None:
        """Queue a job. Raises Overloaded at once when its group's queue is full, or no thread is
        there to take it and none to be had.
        """
        with self._changed:
            if self._closed:
                raise Overloaded("the server is stopping")
            group = self._groups.setdefault(job.group, _Group())
            if len(group.jobs) >= self.max_queued:
                self.counts.refused += 1
                raise Overloaded(
                    f"{self.max_queued} requests wait for model {job.group!r}, the limit",
                    self._retry_after_s(group),
                )
            idle = len(self.threads) - self.counts.running
            if len(self.threads) < self.slots and self.counts.queued >= idle:
                self._start_thread(job.group, group)
            job.queued_ns = time.perf_counter_ns()
            group.jobs.append(job)
            self.counts.queued += 1
            self._changed.notify()

    def _retry_after_s(self, group: _Group) -> float:
        waiting_s = len(group.jobs) * group.run_s / self.slots
        return float(min(LONGEST_RETRY_S, max(1.0, math.ceil(waiting_s))))

    def _start_thread(self, name: str, group: _Group) -> None:
        """One slot more, or those that are there must do."""
        thread = Supervised(f"slot-{len(self.threads)}", self._work)
        try:
            thread.start()
        except RuntimeError as error:
            if not self.threads:
                self.counts.refused += 1
                self._forget_idle(name, group)
                raise Overloaded(f"no thread to run model {name!r}: {error}") from None
            return
        self.threads.append(thread)

    def waiting(self, name: str) -> tuple[int, int]:
        """Jobs of a group that wait, and its runs under way."""
        with self._changed:
            group = self._groups.get(name)
            return (len(group.jobs), group.running) if group is not None else (0, 0)

    def withdraw(self, job: Job) -> bool:
        """Take a job that has not begun out of its queue; False when it has."""
        with self._changed:
            group = self._groups.get(job.group)
            if group is None or job not in group.jobs:
                return False
            group.jobs.remove(job)
            self.counts.queued -= 1
            self._forget_idle(job.group, group)
            return True

    def _forget_idle(self, name: str, group: _Group) -> None:
        # Its run time goes with it, but the table holds only models that are at work.
        if not group.jobs and not group.running:
            self._groups.pop(name, None)

    def _work(self) -> None:
        while jobs := self._take():
            started_ns = time.perf_counter_ns()
            try:
                self._execute(jobs)
            except Exception:
                log.exception("a run of %s failed outside its own handling", jobs[0].group)
            finally:
                self._ended(jobs, (time.perf_counter_ns() - started_ns) / 1e9)

    def _take(self) -> list[Job]:
        """The next jobs to run together, once there are some; empty when closed."""
        with self._changed:
            while True:
                wait_s: float | None = None
                for name, group in self._groups.items():
                    if not group.jobs:
                        continue
                    remaining_s = self._remaining_s(group)
                    if remaining_s <= 0:
                        return self._pop(name, group)
                    wait_s = remaining_s if wait_s is None else min(wait_s, remaining_s)
                if self._closed:
                    return []
                self._changed.wait(wait_s)

    def _remaining_s(self, group: _Group) -> float:
        """How much longer the head of a queue may wait for company; <= 0 when it is to run."""
        head = group.jobs[0]
        if not head.policy.max_wait_ns or not group.running or self._closed:
            return 0.0
        rows = sum(job.rows for job in group.jobs if job.kind == head.kind)
        if rows >= head.policy.max_rows:
            return 0.0
        return (head.queued_ns + head.policy.max_wait_ns - time.perf_counter_ns()) / 1e9

    def _pop(self, name: str, group: _Group) -> list[Job]:
        head = group.jobs.popleft()
        jobs, rows = [head], head.rows
        while (
            group.jobs
            and head.policy.batches
            and group.jobs[0].kind == head.kind
            and rows + group.jobs[0].rows <= head.policy.max_rows
        ):
            rows += group.jobs[0].rows
            jobs.append(group.jobs.popleft())
        group.running += 1
        self._groups.move_to_end(name)
        counts = self.counts
        counts.queued -= len(jobs)
        counts.running += 1
        counts.runs += 1
        counts.jobs += len(jobs)
        counts.largest_batch = max(counts.largest_batch, len(jobs))
        return jobs

    def _ended(self, jobs: list[Job], run_s: float) -> None:
        with self._changed:
            self.counts.running -= 1
            group = self._groups[jobs[0].group]
            group.running -= 1
            group.run_s = 0.8 * group.run_s + 0.2 * run_s if group.run_s else run_s
            self._forget_idle(jobs[0].group, group)

    def close(self, wait_s: float) -> None:
        """Take no more jobs, run those that wait, for at most wait_s."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = time.monotonic() + wait_s
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))
