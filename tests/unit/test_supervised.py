"""Threads that die go on; where there is no thread to be had, callers are told at once."""

from __future__ import annotations

import threading

import pytest

from engine.errors import Overloaded
from engine.executors.pool import WorkerPool
from engine.executors.scheduler import Job, Scheduler
from engine.experiments.shadow import Shadow
from engine.supervised import Supervised
from tests.waiting import until


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_work_is_begun_again_after_whatever_ended_it_and_ends_when_it_returns() -> None:
    ends: list[BaseException] = [SystemExit(), ValueError("x"), KeyboardInterrupt()]

    def work() -> None:
        if ends:
            raise ends.pop(0)

    thread = Supervised("probe", work)
    thread.start()
    thread.join(5)
    assert (ends, thread.deaths, thread.why) == ([], 3, "KeyboardInterrupt: ")
    assert not thread.is_missing, "it ended because it was to end"


def test_a_thread_without_a_death_is_neither_missing_nor_counted() -> None:
    stop = threading.Event()
    thread = Supervised("probe", lambda: stop.wait() and None)
    assert not thread.is_missing
    thread.start()
    assert (thread.is_alive, thread.is_missing, thread.deaths) == (True, False, 0)
    stop.set()
    thread.join(5)


def test_a_pool_without_any_thread_refuses_and_works_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, ran = WorkerPool("probe", 2, 10), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Overloaded, match="has no thread"):
            pool.submit(ran.set)
    assert pool.queued == 0
    pool.submit(ran.set)
    assert ran.wait(5)
    pool.close(1)


def test_a_pool_with_one_thread_goes_on_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, first, second = WorkerPool("probe", 2, 10), threading.Event(), threading.Event()
    pool.submit(first.set)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        pool.submit(second.set)
    assert first.wait(5)
    assert second.wait(5)
    pool.close(1)


def test_a_job_that_would_end_its_thread_does_not() -> None:
    pool, ran = WorkerPool("probe", 1, 10), threading.Event()

    def leave() -> None:
        raise SystemExit

    pool.submit(leave)
    pool.submit(ran.set)
    assert ran.wait(5)
    assert (pool.failures, pool.threads[0].deaths) == (1, 0)
    pool.close(1)


def test_a_scheduler_without_any_thread_refuses_and_keeps_no_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = threading.Event()
    scheduler = Scheduler(1, 10, lambda jobs: ran.set())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Overloaded, match="no thread"):
            scheduler.submit(Job("m"))
    assert (scheduler.counts.queued, scheduler.waiting("m")) == (0, (0, 0))
    scheduler.submit(Job("m"))
    assert ran.wait(5)
    scheduler.close(1)


def test_a_slot_that_dies_in_a_run_is_counted_idle_and_goes_on() -> None:
    ran = threading.Event()

    def execute(jobs: list[Job]) -> None:
        if jobs[0].rows == 1:
            raise SystemExit
        ran.set()

    scheduler = Scheduler(1, 10, execute)
    scheduler.submit(Job("m", 1))
    scheduler.submit(Job("m", 2))
    assert ran.wait(5)
    scheduler.close(5)
    assert (scheduler.counts.running, scheduler.threads[0].deaths) == (0, 1)


def test_a_thread_that_is_gone_is_begun_anew_or_says_why_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a fork, where only the thread that forked is there."""
    runs: list[int] = []
    stop = threading.Event()

    def work() -> None:
        runs.append(1)
        stop.wait(20)

    thread = Supervised("probe", work)
    thread.revive()
    assert (runs, thread.deaths) == ([], 0)  # never begun: nothing is missing
    gone = threading.Thread(target=lambda: None)
    gone.start()
    gone.join()
    thread._thread = gone
    assert thread.is_missing
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        thread.revive()
    assert (thread.is_missing, thread.why) == (True, "can't start new thread")
    thread.revive()
    assert (thread.is_missing, thread.deaths, thread.why) == (False, 2, "its thread is gone")
    stop.set()
    thread.join(5)
    assert runs == [1]


def test_a_shadow_without_a_thread_takes_its_jobs_and_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[int] = []
    shadow: Shadow[int] = Shadow(done.append, 10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert shadow.offer(1, 8)
    assert (shadow.thread, shadow.queued) == (None, 1)
    assert shadow.offer(2, 8)
    until(lambda: done == [1, 2], 5, "both were done")
    shadow.leave_out()
    shadow.stop()
    assert not shadow.offer(3, 8)
    counts = shadow.counts
    assert (counts.offered, counts.done, counts.dropped, counts.left_out) == (3, 2, 1, 1)
