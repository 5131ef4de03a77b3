"""Runs, flights and batches under any order of calls: each caller gets its own answer, once.

The scheduler's slots are driven by hand, so that any order can be had and none is by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.batching.policy import ALONE, BatchPolicy
from engine.caching.memory import MISS, MemoryTier
from engine.call import Call
from engine.config import Settings
from engine.errors import DeadlineExceeded, Overloaded
from engine.executors.scheduler import Job
from engine.in_flight import InFlight
from engine.models.loaded import Run
from engine.models.slots import Lease
from engine.runs import Runs

MAX_QUEUED = 6
BATCH = BatchPolicy(max_rows=6, max_wait_ns=0)
PATIENT = BatchPolicy(max_rows=4, max_wait_ns=3_600_000_000_000)


class PoisonedError(Exception):
    """A row that the model cannot take."""


class Model:
    """Answers each row with its double; a negative row fails whatever it is run with."""

    version, degraded, sent = "1", None, None

    def __init__(self, name: str, batching: BatchPolicy) -> None:
        self.name, self.batching = name, batching
        self.entry = SimpleNamespace(declared=SimpleNamespace(cache_ttl_s=0.0))
        self.rows_run = list[int]()

    def run(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Run:
        rows = inputs["x"]
        self.rows_run.append(len(rows))
        if (rows < 0).any():
            raise PoisonedError(f"row {rows.min()}")
        answer = rows * 2
        answer.flags.writeable = False  # as a loaded model's is
        return Run({"y": answer}, "stub")


@dataclass(eq=False)
class Asked:
    """One caller: what it asked, and what it was told."""

    call: Call
    rows: np.ndarray
    told: list[str] = field(default_factory=list)
    gone: bool = False
    late: bool = False
    began: bool = False


class BatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        settings_ = Settings(cpu_slots=1, model_queue=MAX_QUEUED)
        self.runs = Runs(settings_, None, None, InFlight())
        self.scheduler = self.runs.scheduler
        # One slot that this test plays, so that no thread is started.
        self.scheduler.threads = [cast(Any, None)]
        self.tier = MemoryTier(10_000_000)
        self.models = [Model("a", BATCH), Model("b", PATIENT), Model("c", ALONE)]
        self.asked = list[Asked]()
        self.under_way = list[list[Job]]()
        self.refused = self.ran_jobs = 0

    # callers

    @rule(
        model=st.integers(0, 2),
        first=st.integers(0, 5),
        rows=st.integers(1, 3),
        poison=st.sampled_from([False, False, False, True]),
        shared=st.booleans(),
        kind=st.sampled_from(["f8", "f8", "f4"]),
    )
    def ask(self, model: int, first: int, rows: int, poison: bool, shared: bool, kind: str) -> None:
        """shared: equal calls may share a run, and its answer is kept. kind: the rows' dtype."""
        of = self.models[model]
        lease = Lease(cast(Any, None), cast(Any, of), False, lambda slot: None)
        call = Call(lease, shared)
        values = np.arange(first, first + rows, dtype=np.float64) + 10.0 * len(self.asked)
        if shared:
            values = np.arange(first, first + rows, dtype=np.float64)
        if poison:
            values[-1] = -1.0 - first
        values = values.astype(kind)
        call.inputs, call.outputs, call.rows = {"x": values[:, None]}, ("y",), rows
        if shared:
            call.key, call.tier = f"{of.name}{kind}{values}".encode(), self.tier
        asked = Asked(call, values)
        call.on_done = lambda: asked.told.append("done")
        waiting, _ = self.scheduler.waiting(of.name)
        queued = self.scheduler.counts.queued
        try:
            self.runs.start(call)
        except Overloaded:
            assert waiting >= MAX_QUEUED
            self.refused += 1
            return
        assert waiting < MAX_QUEUED or self.scheduler.counts.queued == queued
        self.asked.append(asked)

    @rule(model=st.integers(0, 1), rows=st.lists(st.integers(1, 3), min_size=3, max_size=5))
    def ask_at_once(self, model: int, rows: list[int]) -> None:
        for place, count in enumerate(rows):
            self.ask(model, 0, count, False, False, "f4" if place == 3 else "f8")

    @rule(model=st.integers(0, 2), first=st.integers(0, 5), leaving=st.integers(0, 2))
    def ask_the_same_and_leave(self, model: int, first: int, leaving: int) -> None:
        before = len(self.asked)
        for _ in range(3):
            self.ask(model, first, 1, False, True, "f8")
        for one in self.asked[before + leaving : before + leaving + 1]:
            one.gone = self.runs.flights.leave(one.call)

    def waiting_callers(self) -> list[Asked]:
        return [one for one in self.asked if not one.told and not one.gone]

    @precondition(lambda self: self.waiting_callers())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.waiting_callers()))
        asked.gone = self.runs.flights.leave(asked.call)
        if asked.gone:
            assert not self.runs.flights.leave(asked.call), "it is gone already"

    @precondition(lambda self: self.waiting_callers())
    @rule(data=st.data())
    def deadline_passes(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.waiting_callers()))
        asked.call.deadline_ns = 1
        asked.late = True

    # the slot

    def may_take(self) -> bool:
        with self.scheduler._changed:
            groups = self.scheduler._groups.values()
            return any(g.jobs and self.scheduler._remaining_s(g) <= 0 for g in groups)

    @precondition(lambda self: len(self.under_way) < 3)
    @rule()
    def take(self) -> None:
        if not self.may_take():
            return
        jobs = self.scheduler._take()
        policy = jobs[0].policy
        assert len({job.group for job in jobs}) == len({job.kind for job in jobs}) == 1
        assert len(jobs) == 1 or sum(job.rows for job in jobs) <= policy.max_rows
        self.under_way.append(jobs)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def run(self, data: st.DataObject) -> None:
        jobs = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.scheduler._execute(jobs)
        self.scheduler._ended(jobs, 0.001)
        self.ran_jobs += len(jobs)

    # always

    @invariant()
    def every_answer_is_the_callers_own(self) -> None:
        for asked in self.asked:
            assert len(asked.told) <= 1, "told twice"
            if asked.told:
                assert not asked.gone, "one that has left was told"
                self.check(asked)

    def check(self, asked: Asked) -> None:
        call = asked.call
        if isinstance(call.error, DeadlineExceeded):
            assert asked.late
        elif (asked.rows < 0).any():
            assert isinstance(call.error, PoisonedError)
            assert str(call.error) == f"row {asked.rows.min()}", "another caller's poison"
        else:
            assert call.error is None, "an innocent row failed with another"
            assert call.run is not None
            given = call.run.outputs["y"]
            np.testing.assert_array_equal(given, (asked.rows * 2)[:, None])
            assert given.dtype == asked.rows.dtype
            assert not given.flags.writeable, "what others have too can be written"

    @invariant()
    def counts_are_of_what_waits(self) -> None:
        counts = self.scheduler.counts
        assert counts.refused == self.refused
        assert counts.running == len(self.under_way)
        assert counts.jobs == self.ran_jobs + sum(map(len, self.under_way))
        assert counts.queued == sum(self.scheduler.waiting(m.name)[0] for m in self.models)
        assert all(self.scheduler.waiting(m.name)[0] <= MAX_QUEUED for m in self.models)

    @invariant()
    def nothing_wrong_is_kept(self) -> None:
        for asked in self.asked:
            if asked.call.key and (kept := self.tier.get(asked.call.key)) is not MISS:
                np.testing.assert_array_equal(kept.outputs["y"], (asked.rows * 2)[:, None])

    def teardown(self) -> None:
        """Whatever is left runs to its end: nobody waits for ever, nothing is left behind."""
        while self.under_way or self.may_take():
            if not self.under_way:
                self.under_way.append(self.scheduler._take())
            jobs = self.under_way.pop()
            self.scheduler._execute(jobs)
            self.scheduler._ended(jobs, 0.001)
        self.every_answer_is_the_callers_own()
        assert all(bool(asked.told) != asked.gone for asked in self.asked), "somebody waits"
        assert not self.runs.flights._of
        assert not self.runs.flights._by_key
        assert not self.scheduler._groups


TestBatcherState = BatcherMachine.TestCase
TestBatcherState.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
