"""Slots, queues and batches: pure policies, and the scheduler with runs that wait to be let go."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from engine.batching.policy import ALONE, BatchPolicy, policy_of, quick_rows
from engine.errors import Overloaded
from engine.executors.scheduler import Job, Scheduler
from tests.waiting import until


@pytest.mark.parametrize(
    ("run_us", "expected"),
    [
        ({1: 5_000, 8: 5_100, 32: 5_500, 128: 8_000}, 128),
        ({1: 5_000, 8: 5_100, 32: 5_500, 128: 500_000}, 32),
        ({1: 5_000, 8: 39_000, 32: 159_000}, 1),  # a row costs the same in a batch
        ({1: 50, 8: 51, 32: 60, 128: 90}, 1),  # not worth putting together
        ({8: 5_000}, 1),  # nobody knows what one row costs
        ({}, 1),
    ],
)
def test_batching_pays_where_the_plan_says_so(run_us: dict[int, float], expected: int) -> None:
    policy = policy_of(run_us, 128, 500.0)
    assert policy.max_rows == expected
    assert policy.max_wait_ns == (500_000 if expected > 1 else 0)
    assert policy_of(run_us, 1, 500.0) is ALONE


@pytest.mark.parametrize(
    ("run_us", "expected"),
    [
        ({1: 5, 8: 10, 32: 40, 128: 130}, 1056),
        ({1: 900, 8: 1_600}, 2),
        ({1: 1_001, 8: 1_100}, 0),
        ({1: 200_000}, 0),
        ({4: 10}, 4),
        ({}, 0),
    ],
)
def test_quick_rows_are_read_off_the_plan(run_us: dict[int, float], expected: int) -> None:
    assert quick_rows(run_us, 1000.0) == expected


class Held:
    """Runs that wait until they are let go, and what ran, in order."""

    def __init__(self) -> None:
        self.ran: list[list[Job]] = []
        self.gate = threading.Semaphore(0)

    def __call__(self, jobs: list[Job]) -> None:
        self.ran.append(jobs)
        self.gate.acquire()

    def let_go(self, scheduler: Scheduler) -> None:
        for _ in range(100):
            self.gate.release()
        until(lambda: not scheduler.counts.queued and not scheduler.counts.running, 5, "done")


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def scheduler(held: Held) -> Iterator[Scheduler]:
    made = Scheduler(slots=1, max_queued=4, execute=held)
    yield made
    for _ in range(1000):
        held.gate.release()
    made.close(5)


def occupy(scheduler: Scheduler, held: Held, group: str = "busy") -> None:
    runs = len(held.ran)
    scheduler.submit(Job(group))
    until(lambda: len(held.ran) > runs, 5, "running")


def test_models_take_turns(scheduler: Scheduler, held: Held) -> None:
    occupy(scheduler, held)
    jobs = {name: [Job(name) for _ in range(3)] for name in ("a", "b")}
    for job in (*jobs["a"], *jobs["b"]):
        scheduler.submit(job)
    held.let_go(scheduler)
    assert [run[0].group for run in held.ran[1:]] == ["a", "b", "a", "b", "a", "b"]


def test_each_model_has_a_queue_of_its_own(scheduler: Scheduler, held: Held) -> None:
    occupy(scheduler, held)
    for _ in range(4):
        scheduler.submit(Job("a"))
    with pytest.raises(Overloaded, match="'a'") as refused:
        scheduler.submit(Job("a"))
    assert refused.value.retry_after_s >= 1
    scheduler.submit(Job("b"))
    assert (scheduler.counts.queued, scheduler.counts.refused) == (5, 1)


def test_a_withdrawn_job_never_runs_and_makes_room(scheduler: Scheduler, held: Held) -> None:
    occupy(scheduler, held)
    jobs = [Job("a") for _ in range(4)]
    for job in jobs:
        scheduler.submit(job)
    assert scheduler.withdraw(jobs[1])
    assert not scheduler.withdraw(jobs[1])
    scheduler.submit(Job("a"))
    held.let_go(scheduler)
    assert jobs[1] not in [job for run in held.ran for job in run]
    assert not scheduler.withdraw(jobs[0])


def test_waiting_jobs_of_a_kind_run_together(scheduler: Scheduler, held: Held) -> None:
    occupy(scheduler, held)
    policy = BatchPolicy(max_rows=5)
    sizes = [("x", 2), ("x", 2), ("x", 2), ("y", 1)]
    for kind, rows in sizes:
        scheduler.submit(Job("a", rows, kind, policy))
    held.let_go(scheduler)
    assert [[job.rows for job in run] for run in held.ran[1:]] == [[2, 2], [2], [1]]
    assert scheduler.counts.largest_batch == 2


def test_a_batch_waits_for_company_only_while_its_model_runs(held: Held) -> None:
    scheduler = Scheduler(slots=2, max_queued=8, execute=held)
    policy = BatchPolicy(max_rows=3, max_wait_ns=30_000_000_000)
    scheduler.submit(Job("a", 1, "x", policy))
    until(lambda: len(held.ran) == 1, 5, "an idle model runs at once")
    scheduler.submit(Job("a", 1, "x", policy))
    scheduler.submit(Job("a", 1, "x", policy))
    until(lambda: scheduler.counts.queued == 2, 5, "they wait")
    assert len(held.ran) == 1
    scheduler.submit(Job("a", 1, "x", policy))
    until(lambda: len(held.ran) == 2, 5, "a full batch runs")
    assert len(held.ran[1]) == 3
    held.let_go(scheduler)
    scheduler.close(5)


def test_a_timer_ends_the_wait(held: Held) -> None:
    scheduler = Scheduler(slots=2, max_queued=8, execute=held)
    policy = BatchPolicy(max_rows=3, max_wait_ns=50_000_000)
    scheduler.submit(Job("a", 1, "x", policy))
    until(lambda: len(held.ran) == 1, 5, "the first runs")
    scheduler.submit(Job("a", 1, "x", policy))
    until(lambda: len(held.ran) == 2, 5, "the second has waited long enough")
    held.let_go(scheduler)
    scheduler.close(5)


def test_closing_runs_what_waits_and_takes_no_more() -> None:
    ran: list[Job] = []
    scheduler = Scheduler(slots=2, max_queued=100, execute=ran.extend)
    for _ in range(50):
        scheduler.submit(Job("a"))
    scheduler.close(5)
    assert len(ran) == 50
    with pytest.raises(Overloaded):
        scheduler.submit(Job("a"))


def test_a_run_that_raises_ends_no_slot() -> None:
    ran = threading.Semaphore(0)

    def execute(jobs: list[Job]) -> None:
        ran.release()
        raise RuntimeError("a run must not raise, but this one does")

    scheduler = Scheduler(slots=1, max_queued=10, execute=execute)
    for _ in range(3):
        scheduler.submit(Job("a"))
    for _ in range(3):
        assert ran.acquire(timeout=5)
    scheduler.close(5)
