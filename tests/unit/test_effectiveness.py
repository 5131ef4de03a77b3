"""What parts of the engine save, and what audits find: known answers, an injected clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config import Settings
from engine.effectiveness.auditor import CPU_SHARE, REST_AFTER_FAILURE_S, Auditor, Sample, Take
from engine.effectiveness.audits import KEPT_S, LEAST_SPEEDS, RECENT, Audit, ModelAudits
from engine.effectiveness.child import ChildFailed
from engine.effectiveness.hour import MOST_NAMES, OTHER, Hourly
from engine.effectiveness.savings import (
    HALF_LIFE_S,
    SOURCES,
    Ran,
    Spent,
    Times,
    saved_by_batching_ns,
    saved_by_plan_ns,
)
from engine.engine import Engine
from engine.models.parity import differences
from engine.models.rerun import compared, digest_of
from engine.telemetry.record import RequestMetrics
from engine.types import MISSED, RESPONSE_HIT, RESULT_HIT
from engine.worth_report import worth_families, worth_report

ORACLE_US = {1: 400.0, 8: 470.0, 32: 710.0}
FORM_US = {1: 10.0, 8: 24.0, 32: 72.0}


def ran(*requests: tuple[int, int, float]) -> Ran:
    """Requests as (rows, rows of the run, microseconds of the run)."""
    rows, batch_rows, run_us = zip(*requests, strict=True)
    return Ran(np.array(rows), np.array(batch_rows), np.array(run_us) * 1e3)


# savings


@pytest.mark.parametrize(
    ("rows", "us"), [(1, 400), (8, 470), (20, 590), (32, 710), (132, 1710), (0, 400)]
)
def test_times_grow_evenly_between_sizes_and_beyond_the_largest(rows: int, us: float) -> None:
    assert Times(ORACLE_US).at(np.array([rows])) == pytest.approx([us * 1e3])
    assert Times(ORACLE_US, scale=0.5).at(np.array([rows])) == pytest.approx([us * 500])


def test_the_plan_saves_the_oracles_time_minus_the_measured_run() -> None:
    alone = ran((1, 1, 15.0), (8, 8, 30.0))
    assert saved_by_plan_ns(alone, Times(ORACLE_US)) == pytest.approx((385 + 440) * 1e3)


def test_requests_of_one_run_share_what_it_saved_by_their_rows() -> None:
    together = ran((2, 8, 30.0), (6, 8, 30.0))
    assert saved_by_plan_ns(together, Times(ORACLE_US)) == pytest.approx(440e3)


def test_batching_saves_the_times_alone_minus_the_joined_run() -> None:
    # Two of 1 row each in a run of 2: 10 + 10 us alone, 12 us together; one ran by itself.
    together = ran((1, 2, 12.0), (1, 2, 12.0), (1, 1, 11.0))
    assert saved_by_batching_ns(together, Times(FORM_US)) == pytest.approx(8e3)


def test_a_run_slower_than_the_oracle_saves_less_than_nothing() -> None:
    assert saved_by_plan_ns(ran((1, 1, 500.0)), Times(ORACLE_US)) == pytest.approx(-100e3)


def test_hits_save_what_recent_requests_spent_minus_their_own_time() -> None:
    spent = Spent()
    assert spent.saved_ns("responses", 3, 0.0) is None
    spent.add(10, answering_ns=1000e3, running_ns=200e3, elapsed_s=1.0)
    assert spent.saved_ns("responses", 3, 30e3) == pytest.approx(3 * 100e3 - 30e3)
    assert spent.saved_ns("results", 3, 30e3) == pytest.approx(3 * 20e3 - 30e3)


def test_what_requests_spent_long_ago_counts_less() -> None:
    spent = Spent()
    spent.add(10, 1000e3, 1000e3, elapsed_s=1.0)
    spent.add(5, 0.0, 0.0, elapsed_s=HALF_LIFE_S)
    # Ten of 100 us count as five beside five of nothing.
    assert spent.saved_ns("results", 1, 0.0) == pytest.approx(50e3)


# sums of an hour


def test_an_hour_forgets_what_is_older_and_totals_do_not() -> None:
    sums = Hourly(2)
    for minute in range(90):
        sums.add("m", np.array([1.0, -0.5]), 60.0 * minute)
    now_s = 60.0 * 89
    assert sums.last_hour(now_s)["m"].tolist() == [60.0, -30.0]
    assert sums.last_hour(now_s + 3600).get("m") is None
    assert sums.gained["m"].tolist() == [90.0, 0.0]
    assert sums.lost["m"].tolist() == [0.0, 45.0]


def test_names_beyond_the_bound_are_one() -> None:
    sums = Hourly(1)
    for place in range(MOST_NAMES + 50):
        sums.add(f"m{place}", np.array([1.0]), 0.0)
    assert len(sums.gained) == MOST_NAMES + 1
    assert sums.gained[OTHER].tolist() == [50.0]


# audits


def audit(now_s: float, differing: int = 0, served_us: float = 10.0, rows: int = 4) -> Audit:
    return Audit(now_s, 1e9, "f", rows, differing, 0.0, 400.0, 10.0, 400.0, 10.0, served_us, 20.0)


def test_speed_is_told_after_enough_audits_and_is_their_median() -> None:
    audits = ModelAudits("m", "1")
    for served_us in (10.0, 10.0, 100.0, 100.0):
        audits.add(audit(0.0, served_us=served_us))
    assert audits.speed_percent(0.0) is None
    audits.add(audit(0.0, served_us=100.0))
    assert LEAST_SPEEDS == 5
    assert audits.speed_percent(0.0) == pytest.approx(10.0)
    recent = audits.figures(0.0)["recent"]
    assert (recent["planned_speedup"], recent["served_speedup"]) == (40.0, 4.0)


def test_a_slower_machine_and_a_plan_made_on_a_busy_one_lose_nothing() -> None:
    both_slower = Audit(0.0, 1e9, "f", 1, 0, 0.0, 400.0, 10.0, 1200.0, 30.0, 30.0)
    assert both_slower.kept == pytest.approx(1.0)
    oracle_was_slow = Audit(0.0, 1e9, "f", 1, 0, 0.0, 4000.0, 10.0, 400.0, 10.0, 10.0)
    assert oracle_was_slow.kept == pytest.approx(1.0)
    form_is_slower = Audit(0.0, 1e9, "f", 1, 0, 0.0, 400.0, 10.0, 400.0, 10.0, 100.0)
    assert form_is_slower.kept == pytest.approx(0.1)


def test_differing_rows_are_those_of_recent_audits() -> None:
    audits = ModelAudits("m", "1")
    assert audits.differing_rows(0.0) is None
    audits.add(audit(0.0, differing=3))
    for _ in range(RECENT - 1):
        audits.add(audit(10.0))
    assert audits.differing_rows(10.0) == 3
    assert audits.differing_rows(KEPT_S + 5) == 0
    audits.add(audit(10.0))
    assert audits.differing_rows(10.0) == 0
    assert audits.figures(10.0)["differing"] == 3
    assert audits.differing_rows(2 * KEPT_S + 20) is None


def test_a_smaller_form_is_compared_and_not_judged() -> None:
    audits = ModelAudits("m", "1", judged=False)
    audits.add(audit(0.0, differing=3))
    assert audits.differing_rows(0.0) is None
    assert audits.figures(0.0)["recent"]["differing"] == 3


def test_scales_are_of_times_now_over_the_plans() -> None:
    audits = ModelAudits("m", "1")
    assert audits.scales(0.0) == (1.0, 1.0)
    audits.add(Audit(0.0, 1e9, "f", 1, 0, 0.0, 400.0, 10.0, 200.0, 10.0, 30.0))
    assert audits.scales(0.0) == (0.5, 3.0)


# comparison


def test_rows_differ_by_label_or_beyond_the_tolerance() -> None:
    expected = {"label": np.array(["a", "b", "a"], dtype=object), "p": np.array([0.1, 0.5, 30.0])}
    served = {"label": np.array(["a", "a", "a"], dtype=object), "p": np.array([0.1, 0.5, 30.3])}
    found = differences(expected, served)
    assert found["label"].tolist() == [0.0, np.inf, 0.0]
    assert found["p"] == pytest.approx([0.0, 0.0, 0.01])
    inputs = {"input": np.arange(6.0).reshape(3, 2)}
    answer = compared(inputs, served, expected, 1e-5)
    assert answer["differing"] == 2
    assert answer["largest"] is None, "an unequal label has no size"
    assert [one["output"] for one in answer["examples"]] == ["label", "p"]
    assert answer["examples"][1]["digest"] == digest_of(inputs, 2)
    assert compared(inputs, served, expected, np.inf)["differing"] == 0
    json.dumps(answer, allow_nan=False)


def test_an_output_of_another_shape_differs_in_all_rows() -> None:
    found = differences({"p": np.zeros((3, 2))}, {"p": np.zeros(3)})
    assert found["p"].tolist() == [np.inf] * 3


# the auditor


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Model:
    """A subject whose runs a test makes."""

    judged = True
    forms = frozenset({"fast"})

    def __init__(self, name: str = "m", served_us: float = 10.0) -> None:
        self.name, self.version = name, "1"
        self.live_us = served_us
        self.tap: Take | None = None

    def set_tap(self, take: Take) -> None:
        self.tap = take

    def run(self, rows: int = 2, form: str = "fast", width: int = 3) -> None:
        tap, self.tap = self.tap, None
        if tap is not None:
            tap({"input": np.ones((rows, width))}, {"predict": np.zeros(rows)}, form, 12_000)

    def job(self, sample: Sample) -> dict[str, Any]:
        return {"rows": sample.rows}

    def served_us(self, sample: Sample) -> float | None:
        return self.live_us

    def planned_us(self, sample: Sample) -> tuple[float, float]:
        return 400.0, 10.0


class Answers:
    """In place of the child: answers as a test says."""

    def __init__(self) -> None:
        self.jobs: list[Mapping[str, Any]] = []
        self.answer: dict[str, Any] = {
            "differing": 0,
            "largest": 0.0,
            "examples": [],
            "oracle_us": 400.0,
            "form_us": 10.0,
            "cpu_ms": 30.0,
        }
        self.fails = False
        self.is_alive = True
        self.idle_asked = self.starts = self.too_large = self.peak_bytes = 0
        self.memory_bytes, self.cpu_s = None, 0.0

    def ask(self, job: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        self.jobs.append(job)
        if self.fails:
            raise ChildFailed("it ended")
        return self.answer

    def end_if_idle(self) -> None:
        self.idle_asked += 1


class World:
    def __init__(self, *models: Model) -> None:
        self.clock, self.child, self.models = Clock(), Answers(), list(models)
        self.events: list[str] = []
        child: Any = self.child
        self.auditor = Auditor(
            10.0,
            child,
            lambda: self.models,
            lambda kind, text: self.events.append(text),
            50.0,
            self.clock,
            lambda: 1e9,
        )

    def seconds(self, count: int, run: Callable[[], None] = lambda: None) -> None:
        for _ in range(count):
            self.clock.now_s += 1
            self.auditor.step()
            run()


def test_a_models_next_run_is_taken_once_an_interval() -> None:
    model = Model()
    world = World(model)
    world.seconds(9)
    assert model.tap is None, "the first one too waits for an interval"
    world.seconds(42, model.run)
    assert len(world.child.jobs) == 4
    assert world.auditor.audits()["m", "1"].rows == 8


def test_no_second_sample_is_taken_while_one_waits_and_rests_are_kept() -> None:
    model = Model()
    world = World(model)
    world.child.answer["cpu_ms"] = 1000 * CPU_SHARE * 25  # a rest of 25 s
    world.seconds(60, model.run)
    assert len(world.child.jobs) == 2
    assert world.auditor.figures()["waiting"] == 1


def test_what_another_form_answered_is_not_audited() -> None:
    model = Model()
    world = World(model)
    world.seconds(30, lambda: model.run(form="scikit-learn"))
    assert world.child.jobs == []
    assert world.child.idle_asked > 0


def test_a_large_run_is_audited_by_its_first_rows() -> None:
    model = Model()
    world = World(model)
    world.seconds(12, lambda: model.run(rows=5000, width=200))
    assert world.child.jobs == [{"rows": 81}]


def test_a_model_that_begins_to_differ_is_told_once_and_counted() -> None:
    model = Model()
    world = World(model)
    world.seconds(12, model.run)
    assert (world.auditor.differing_rows(), world.events) == (0, [])
    world.child.answer |= {
        "differing": 1,
        "largest": 0.3,
        "examples": [{"digest": "ab", "output": "predict", "difference": 0.3}],
    }
    world.seconds(20, model.run)
    assert world.auditor.differing_rows() == 2
    assert world.events == ["m 1: 1 of 4 rows served lately differ from the model as it is"]
    examples = world.auditor.audits()["m", "1"].figures(world.clock())["examples"]
    assert examples[0] == {"time": 1e9, "digest": "ab", "output": "predict", "difference": 0.3}


def test_a_slower_form_is_told_with_both_speeds_and_the_least_of_all_counts() -> None:
    quick, slow = Model("quick"), Model("slow", served_us=100.0)
    world = World(quick, slow)

    def both() -> None:
        quick.run()
        slow.run()

    world.seconds(65, both)
    assert world.auditor.speed_percent() == pytest.approx(10.0)
    told = "slow 1 is slower than planned: 4x as fast as the model as it is, 40x when planned"
    assert world.events == [told]


def test_a_model_loaded_anew_begins_anew() -> None:
    model = Model()
    world = World(model)
    world.child.answer["differing"] = 1
    world.seconds(12, model.run)
    assert world.auditor.differing_rows() == 1
    world.models[:] = [Model()]
    world.seconds(1)
    assert world.auditor.differing_rows() is None
    world.models.clear()
    world.seconds(1)
    assert world.auditor.audits() == {}


def test_a_child_that_fails_is_counted_and_left_alone_for_a_while() -> None:
    model = Model()
    world = World(model)
    world.child.fails = True
    world.seconds(12, model.run)
    audits = world.auditor.audits()["m", "1"]
    assert (audits.failed, audits.problem, audits.count) == (1, "it ended", 0)
    world.seconds(int(REST_AFTER_FAILURE_S) - 5, model.run)
    assert len(world.child.jobs) == 1
    world.seconds(10, model.run)
    assert len(world.child.jobs) == 2


# the whole, over a recorder


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Settings(models=tmp_path / "none", state=tmp_path / "state", history=False))


def request(cache: int, ms: Mapping[str, float], rows: int = 1) -> RequestMetrics:
    times = {f"{name}_ns": int(value * 1e6) for name, value in ms.items()}
    batch_rows = rows if cache <= MISSED else 0
    return RequestMetrics(
        "r", "/r", 200, "m", "1", rows=rows, batch_rows=batch_rows, cache=cache, **times
    )


def test_a_seconds_hits_become_gauges_totals_and_the_hours_figures(engine: Engine) -> None:
    missed = {"decode": 0.1, "inference": 2.0, "encode": 0.3, "cache": 0.05}
    for _ in range(4):
        engine.recorder.append(request(MISSED, missed))
    for _ in range(10):
        engine.recorder.append(request(RESPONSE_HIT, {"cache": 0.01}))
    engine.recorder.append(request(RESULT_HIT, {"cache": 0.02, "decode": 0.1}))
    engine.ticker.tick()
    saved = worth_report(engine)["saved"]["hour_s"]
    assert saved["responses"] == pytest.approx(10 * 2.45e-3 - 0.1e-3)
    assert saved["results"] == pytest.approx(2.05e-3 - 0.02e-3)
    assert {name for name, seconds in saved.items() if seconds} == {"responses", "results"}
    families = worth_families(engine)
    told = dict(families["pyrometer_time_saved_seconds"])
    assert told["m", "responses"] == pytest.approx(saved["responses"])
    assert set(SOURCES) == {by for _, by in told}
    gauge = engine.worth.gauges()["saved_by_responses_ms"]
    engine.ticker.tick()
    assert engine.ticker.ring.gauge("saved_by_responses_ms", 1)[0] == pytest.approx(gauge)
    assert engine.worth.gauges()["saved_by_responses_ms"] == 0.0


def test_hits_that_nothing_can_be_compared_with_are_counted_and_not_guessed(
    engine: Engine,
) -> None:
    for _ in range(3):
        engine.recorder.append(request(RESPONSE_HIT, {"cache": 0.01}))
    engine.ticker.tick()
    report = worth_report(engine)
    assert report["unpriced_hits"] == 3
    assert not any(report["saved"]["hour_s"].values())


def test_failed_requests_save_nothing(engine: Engine) -> None:
    failed = request(MISSED, {"inference": 2.0})
    failed.status = 500
    engine.recorder.append(failed)
    engine.recorder.append(request(RESPONSE_HIT, {"cache": 0.01}))
    engine.ticker.tick()
    assert worth_report(engine)["unpriced_hits"] == 1


def test_without_audits_there_is_no_data_and_the_report_says_why(tmp_path: Path) -> None:
    models = {"models": tmp_path / "none", "history": False}
    for settings in (
        Settings(state=tmp_path / "a", audit_interval_s=0.0, **models),
        Settings(state=tmp_path / "b", optimise=False, **models),
    ):
        engine = Engine(settings)
        gauges = engine.worth.gauges()
        assert gauges["audit_differing_rows"] is None
        assert gauges["audit_speed_percent"] is None
        assert worth_report(engine)["auditor"] is None
