"""One experiment with an injected clock: its states, what it hides, what it stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import Busy, InvalidInput, UnknownExperiment
from engine.experiments.book import MOST_KEPT, Book, Promotion
from engine.experiments.definition import Variant, definition_of
from engine.experiments.experiment import Answered, Ending, Experiment
from engine.experiments.figures import figures_of
from engine.experiments.results import answer_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def given(**fields: Any) -> dict[str, Any]:
    return {"name": "two", "model": "m", "candidates": [{"name": "new", "version": "2"}]} | fields


def running(clock: Clock, **fields: Any) -> Experiment:
    experiment = Experiment("0a", definition_of(given(**fields), "1"), 1.79e9, clock)
    experiment.run(1.79e9)
    return experiment


def answered(variant: int, times_ms: list[float], status: int = 200) -> Answered:
    count = len(times_ms)
    return Answered(
        np.full(count, variant), np.full(count, status), np.zeros(count, bool), np.array(times_ms)
    )


def feed(experiment: Experiment, clock: Clock, seconds: int, each: int, ratio: float) -> None:
    random = np.random.default_rng(1)
    for _ in range(seconds):
        clock.now_s += 1.0
        for variant in range(len(experiment.names)):
            times = random.lognormal(1.0, 0.3, each) * (ratio if variant else 1.0)
            experiment.take(answered(variant, times.tolist()))


def numbers_in(value: Any) -> set[float]:
    """Every float somewhere in an answer."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(numbers_in(item) for item in value))
    return {value} if isinstance(value, float) else set()


def test_nothing_is_shown_before_the_planned_number() -> None:
    clock = Clock()
    experiment = running(clock, analysis={"kind": "planned", "requests": 1000})
    feed(experiment, clock, 20, 40, 1.3)
    experiment.computed = figures_of(experiment, 99)  # even if somebody had computed them
    told = answer_of(experiment, False)["results"]
    assert not told["visible"]
    assert told["comparisons"] == []
    assert told["verdict"] is None
    assert told["method"] == ""
    for row in told["variants"]:
        assert {row["p50_ms"], row["p95_ms"], row["p99_ms"], row["mean_ms"]} == {None}
    shown = numbers_in(told)
    hidden = numbers_in(experiment.computed["comparisons"]) - {0.0, 1.0}
    assert hidden
    assert not hidden & shown
    (guard,) = [row for row in told["guards"] if row["guard"] == "p99"]
    assert (guard["value"], guard["near"]) == (None, None)
    assert experiment.judge() is None


def test_it_ends_at_the_planned_number_with_a_verdict() -> None:
    clock = Clock()
    experiment = running(clock, analysis={"kind": "planned", "requests": 1000})
    feed(experiment, clock, 26, 40, 1.3)
    ending = experiment.judge()
    assert ending is not None
    assert ending.by == "planned"
    experiment.end(ending, 1.79e9 + 26)
    experiment.computed = figures_of(experiment, 999)
    told = answer_of(experiment, False)
    assert (told["state"], told["progress"]["needed"]) == ("finished", 1000)
    (verdict,) = told["results"]["verdict"]
    assert verdict["verdict"] == "slower"
    assert told["results"]["method"].endswith("; Holm over 3 comparisons")
    for row in told["results"]["comparisons"]:
        assert row["ratio_low"] <= 1.3 <= row["ratio_high"]
        assert row["p_holm"] >= row["p"]


def test_many_requests_in_a_few_seconds_do_not_end_it() -> None:
    """An interval needs blocks of time, however many requests there were."""
    clock = Clock()
    experiment = running(clock, analysis={"kind": "planned", "requests": 100})
    feed(experiment, clock, 5, 500, 1.0)
    assert experiment.judge() is None


def test_one_that_ended_early_has_figures_and_no_verdict() -> None:
    clock = Clock()
    experiment = running(clock, analysis={"kind": "planned", "requests": 5000})
    feed(experiment, clock, 20, 40, 1.3)
    experiment.end(Ending("hand", "enough"), 1.79e9)
    experiment.computed = figures_of(experiment, 199)
    told = answer_of(experiment, False)
    assert (told["state"], told["stopped_by"], told["reason"]) == ("stopped", "hand", "enough")
    assert told["results"]["verdict"] is None
    assert {row["verdict"] for row in told["results"]["comparisons"]} == {"for reference"}
    assert {row["p"] for row in told["results"]["comparisons"]} == {None}


def test_always_valid_figures_are_shown_at_any_time_and_the_mean_decides() -> None:
    clock = Clock()
    experiment = running(clock, analysis={"kind": "always-valid"})
    feed(experiment, clock, 80, 40, 1.2)
    experiment.computed = figures_of(experiment, 199)
    assert "Holm" not in experiment.computed["method"]  # one comparison corrects nothing
    told = answer_of(experiment, False)["results"]
    assert told["visible"]
    (mean,) = [row for row in told["comparisons"] if row["figure"] == "mean"]
    assert mean["always_valid"]
    assert mean["ratio_low"] < 1.2 < mean["ratio_high"]
    assert mean["verdict"] == "slower"
    others = [row for row in told["comparisons"] if row["figure"] != "mean"]
    assert {(row["verdict"], row["p"]) for row in others} == {("for reference", None)}


def test_a_guard_rail_takes_one_candidate_out_and_the_last_one_ends_it() -> None:
    clock = Clock()
    candidates = [{"name": "bad"}, {"name": "good"}]
    experiment = running(clock, candidates=candidates)
    for _ in range(12):
        clock.now_s += 1
        for variant in (0, 1, 2):
            experiment.take(answered(variant, [1.0] * 40, 500 if variant == 1 else 200))
    ending = experiment.judge()
    assert ending is not None
    assert (ending.by, ending.blamed) == ("errors", "bad")
    assert experiment.take_out(ending, 1.79e9)
    assert experiment.places_in == [0, 2]
    assert experiment.judge() is None
    told = answer_of(experiment, False)
    assert told["variants"][1]["stopped"]["by"] == "errors"
    assert told["variants"][2]["stopped"] is None
    assert not experiment.take_out(Ending("errors", "too", "good"), 1.79e9)


def test_refusals_count_as_failures_and_callers_that_left_do_not() -> None:
    clock = Clock()
    experiment = running(clock)
    for status, count in ((200, 5), (400, 3), (429, 2), (499, 7), (500, 1), (504, 1)):
        experiment.take(answered(1, [1.0] * count, status))
    counts = experiment.counts[1]
    assert (counts.requests, counts.errors, counts.refused, counts.failed) == (12, 4, 3, 7)
    assert experiment.progress()[0] == 0  # control was not asked


def test_a_stored_experiment_is_the_same_one(tmp_path: Path) -> None:
    clock = Clock()
    book = Book(tmp_path)
    experiment = book.add(definition_of(given(header="X-User"), "1"), 1.79e9)
    experiment._monotonic = clock
    experiment.run(1.79e9)
    feed(experiment, clock, 30, 30, 1.1)
    for number in range(300):
        experiment.assign(f"user {number}", {})
    inputs = {"x": np.zeros((2, 1))}
    experiment.take_comparison(1, {"y": np.ones(2)}, {"y": np.zeros(2)}, inputs, 1.79e9)
    book.save(experiment, arrays=True)
    again = Book(tmp_path).one(experiment.id)
    assert again.definition == experiment.definition
    assert again.state == "running"
    assert again.since_s == pytest.approx(30.0, abs=1.0)
    before, after = (figures_of(one, 99) for one in (experiment, again))
    assert after["comparisons"] == [
        {k: pytest.approx(v, rel=1e-5) if isinstance(v, float) else v for k, v in row.items()}
        for row in before["comparisons"]
    ]
    assert again.units.counts == experiment.units.counts
    assert again.agreements[0].as_dict() == experiment.agreements[0].as_dict()
    assert again.assign("user 7", {}) == experiment.assign("user 7", {})


def test_what_cannot_be_read_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    book = Book(tmp_path)
    kept = book.add(definition_of(given(), "1"), 1.79e9)
    (tmp_path / "experiments/bad.json").write_text('{"id": "bad"}')
    (tmp_path / "experiments/torn.json").write_text('{"id": ')
    again = Book(tmp_path)
    assert [one.id for one in again.all()] == [kept.id]
    assert set(again.problems) == {"bad.json", "torn.json"}


def test_the_number_kept_is_bounded(tmp_path: Path) -> None:
    book = Book(tmp_path)
    made = [book.add(definition_of(given(), "1"), 1.79e9 + n) for n in range(MOST_KEPT)]
    with pytest.raises(Busy, match=f"{MOST_KEPT} experiments are kept"):
        book.add(definition_of(given(), "1"), 1.79e9)
    book.delete(made[0])
    with pytest.raises(UnknownExperiment):
        book.one(made[0].id)
    assert not list((tmp_path / "experiments").glob(f"{made[0].id}.*"))
    book.add(definition_of(given(), "1"), 1.79e9)


def test_promotions_survive(tmp_path: Path) -> None:
    plain = Variant("plain", "2", "scikit-learn", "off", None, "on")
    promotion = Promotion("m", plain, "0a", "two", 1.79e9, Variant("control", "1"))
    Book(tmp_path).promote(promotion, "m")
    book = Book(tmp_path)
    assert book.promotions == {"m": promotion}
    assert promotion.as_dict()["text"] == "version 2 as scikit-learn, batching off, caches on"
    book.promote(None, "m")
    assert Book(tmp_path).promotions == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name must be"),
        ({"mode": "both"}, "mode is 'both'"),
        ({"candidates": []}, "candidates must be"),
        ({"candidates": [{"name": "a"}] * 5}, "candidates must be"),
        ({"candidates": [{"name": "a b"}]}, r"candidates\[0\].name"),
        ({"candidates": [{"name": "control"}]}, r"candidates\[0\].name: 'control' is another"),
        ({"candidates": [{"name": "a", "colour": 1}]}, r"unknown field 'candidates\[0\].colour'"),
        ({"candidates": [{"name": "a", "batching": "maybe"}]}, r"candidates\[0\].batching"),
        ({"candidates": [{"name": "a", "max_wait_us": 5}]}, r"candidates\[0\].max_wait_us"),
        ({"candidates": [{"name": "a", "weight": 0}]}, r"candidates\[0\].weight"),
        ({"control": "1"}, "control must be an object"),
        ({"header": "no header"}, "header is"),
        ({"mode": "shadow", "header": "x-user"}, "header: in shadow mode"),
        ({"mode": "shadow", "measure": "request"}, "measure is"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"fraction": float("nan")}, "fraction is nan"),
        ({"alpha": 0}, "alpha is 0"),
        ({"analysis": {"kind": "planned", "requests": 5}}, "analysis.requests is 5"),
        ({"analysis": {"kind": "always-valid", "requests": 500}}, "analysis.requests"),
        ({"analysis": {"kind": "often"}}, "analysis.kind"),
        ({"guards": {"speed": {}}}, "unknown field 'guards.speed'"),
        ({"guards": {"errors": {"limit": 2}}}, "guards.errors.limit"),
        ({"guards": {"p99": {"limit": 0.5}}}, "guards.p99.limit"),
        ({"guards": {"p99": {"tolerance": 0.5}}}, "unknown field 'guards.p99.tolerance'"),
        ({"guards": {"errors": {"least": 1.5}}}, "guards.errors.least"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_a_bad_definition_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        definition_of(given(**fields), "1")


def test_a_definition_is_what_was_given() -> None:
    body = given(
        control={"version": "3", "weight": 9},
        candidates=[{"name": "a", "batching": "on", "max_wait_us": 200, "caches": "off"}],
        guards={"errors": None, "disagreement": {"limit": 0.01, "tolerance": 0.1}},
    )
    definition = definition_of(body, "1")
    assert [v.version for v in definition.variants] == ["3", "1"]
    assert definition.guards["errors"] is None
    assert definition.tolerance == 0.1
    again = definition_of(json.loads(json.dumps(definition.as_given())), "1")
    assert again == definition


def test_a_variant_against_itself_is_warned_of() -> None:
    same = definition_of(given(candidates=[{"name": "a"}, {"name": "b", "caches": "off"}]), "1")
    assert same.warning.startswith("a: the same version")
    other = definition_of(given(candidates=[{"name": "b", "caches": "off"}]), "1")
    assert other.warning == ""
