"""Experiments within one process: who is led where, what is refused, what a restart keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.engine import Engine
from engine.errors import Busy, InvalidInput, ModelFailed, UnknownModel
from engine.experiments.experiment import Experiment
from engine.offers import offers_of
from tests.unit.live.conftest import Open
from tests.waiting import until

BODY: dict[str, Any] = {
    "name": "two",
    "model": "times",
    "candidates": [{"name": "new", "version": "2"}],
    "header": "x-user",
    "fraction": 1.0,
    "guards": {"disagreement": None},
    "analysis": {"kind": "planned", "requests": 100},
}


class Caller:
    """Names itself, and is told who answers."""

    def __init__(self, name: str) -> None:
        self.name, self.variant = name, ""

    def header(self, name: bytes) -> str:
        return self.name if name == b"x-user" else ""

    def assigned(self, variant: str) -> None:
        self.variant = variant


def ask(engine: Engine, caller: Caller, x: float = 1.0, version: str | None = None) -> float:
    """The answer to one row of two equal numbers, under whatever leads the engine now."""
    call = engine.begin("times", version, {"x": np.array([[x, x]])}, (), False, caller=caller)
    try:
        engine.runs.compute(call)
        return float(call.result().outputs["y"][0])
    finally:
        call.close()


@pytest.fixture
def engine(opened: Open) -> Engine:
    engine = opened()
    engine.warm_up(["times"])
    engine.registry.load(engine.registry.slot("times", "2")).result(60)
    return engine


def begun(engine: Engine, **changed: Any) -> Experiment:
    experiment = engine.trials.create(BODY | changed)
    engine.trials.begin_trial(experiment)
    return experiment


def test_each_caller_keeps_a_variant_and_both_have_some(engine: Engine) -> None:
    begun(engine)
    seen: dict[str, set[float]] = {"control": set(), "new": set()}
    for user in range(40):
        caller = Caller(f"user-{user}")
        answers = {ask(engine, caller) for _ in range(3)}
        seen[caller.variant] |= answers
    assert seen == {"control": {2.0}, "new": {4.0}}


def test_who_names_a_version_is_no_part_of_it(engine: Engine) -> None:
    begun(engine)
    caller = Caller("user")
    assert ask(engine, caller, version="2") == 4.0
    assert caller.variant == ""


def test_an_answer_is_compared_with_the_other_variants(engine: Engine) -> None:
    experiment = begun(engine)
    for user in range(20):
        ask(engine, Caller(f"user-{user}"))
    agreement = experiment.agreements[0]
    until(lambda: agreement.counts.requests == 20, 20, "all were compared")
    assert agreement.counts.rows_differing == 20  # 2 is never 4


def test_shadow_answers_reach_nobody(engine: Engine) -> None:
    body = {"mode": "shadow", "header": None}
    experiment = begun(engine, **body)
    caller = Caller("user")
    assert [ask(engine, caller, float(x)) for x in range(10)] == [2.0 * x for x in range(10)]
    assert caller.variant == "control"
    until(lambda: experiment.agreements[0].counts.requests == 10, 20, "all were compared")
    trial = engine.trials.running["times"]
    trial.note_shadow()
    assert experiment.shadow["compared"] == 10


def test_a_stop_leads_everybody_back(engine: Engine) -> None:
    experiment = begun(engine)
    engine.trials.stop(experiment, "enough")
    assert (experiment.state, experiment.reason) == ("stopped", "enough")
    assert "begin" not in vars(engine)
    assert all(slot.leases == 0 for slot in engine.registry.slots())
    with pytest.raises(Busy, match="stop: the experiment is stopped"):
        engine.trials.stop(experiment, "")


def test_a_promotion_serves_after_a_restart_too_and_can_be_undone(
    engine: Engine, opened: Open
) -> None:
    experiment = begun(engine)
    with pytest.raises(Busy, match="0 of 100 planned requests; send force"):
        engine.trials.promote(experiment, "new", force=False)
    engine.trials.promote(experiment, None, force=True)
    assert experiment.state == "promoted"
    assert ask(engine, Caller("anybody")) == 4.0
    engine.close()
    again = opened()
    again.warm_up(["times"])
    assert ask(again, Caller("anybody")) == 4.0
    assert again.trials.undo("times") == "version 1"
    assert ask(again, Caller("anybody")) == 2.0
    with pytest.raises(Busy, match="nothing is promoted of model 'times'"):
        again.trials.undo("times")


def test_a_roll_back_undoes_its_own_promotion(engine: Engine) -> None:
    experiment = begun(engine)
    engine.trials.promote(experiment, "new", force=True)
    engine.trials.roll_back(experiment)
    assert experiment.state == "rolled_back"
    assert ask(engine, Caller("anybody")) == 2.0


def test_nothing_is_undone_while_an_experiment_runs(engine: Engine) -> None:
    engine.trials.promote(begun(engine), "new", force=True)
    begun(engine, candidates=[{"name": "old", "version": "1"}])
    with pytest.raises(Busy, match="an experiment runs on times; stop it first"):
        engine.trials.undo("times")


def test_control_is_what_was_promoted(engine: Engine) -> None:
    engine.trials.promote(begun(engine), "new", force=True)
    experiment = engine.trials.create(BODY | {"candidates": [{"name": "old", "version": "1"}]})
    assert experiment.definition.variants[0].version == "2"


def test_one_experiment_a_model_runs_at_a_time(engine: Engine) -> None:
    begun(engine)
    second = engine.trials.create(BODY)
    with pytest.raises(Busy, match="'two' runs on times already"):
        engine.trials.begin_trial(second)
    with pytest.raises(Busy, match="promote: the experiment is draft"):
        engine.trials.promote(second, "new", force=True)
    engine.trials.delete(second)
    assert len(engine.trials.book.all()) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": ""}, "model must name a model"),
        ({"model": 3}, "model must name a model"),
        (
            {"candidates": [{"name": "new", "version": "9"}]},
            r"candidates\[0\].version: times has no version '9'",
        ),
        (
            {"candidates": [{"name": "new", "backend": "moon"}]},
            r"candidates\[0\].backend: version 1 has no form 'moon'; it has python",
        ),
        (
            {"candidates": [{"name": "new", "batching": "on"}]},
            r"candidates\[0\].batching: python takes .* µs a row: it is run at once, alone",
        ),
    ],
)
def test_a_variant_that_cannot_be_is_named(
    engine: Engine, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        engine.trials.create(BODY | changed)


def test_an_unknown_model_has_no_experiment_and_no_offers(engine: Engine) -> None:
    with pytest.raises(UnknownModel):
        engine.trials.create(BODY | {"model": "nobody"})
    with pytest.raises(UnknownModel):
        engine.trials.options("nobody")


def test_versions_that_take_other_tensors_are_found_when_they_are_opened(engine: Engine) -> None:
    experiment = engine.trials.create(BODY | {"candidates": [{"name": "new", "version": "3"}]})
    with pytest.raises(InvalidInput, match="version 3 takes or gives other tensors than control"):
        engine.trials.begin_trial(experiment)
    assert experiment.state == "draft"
    assert all(slot.leases == 0 for slot in engine.registry.slots())


def test_a_candidate_is_promoted_by_its_name(engine: Engine) -> None:
    experiment = begun(engine)
    with pytest.raises(InvalidInput, match="variant is 'x'; it must be one of new"):
        engine.trials.promote(experiment, "x", force=True)


def test_caches_are_no_choice_where_there_are_none(opened: Open) -> None:
    engine = opened(result_cache=False)
    engine.warm_up(["times"])
    with pytest.raises(InvalidInput, match=r"candidates\[0\].caches: the result cache is off"):
        engine.trials.create(BODY | {"candidates": [{"name": "new", "caches": "on"}]})
    offered = engine.trials.options("times")
    assert {v["caches"]["reason"] for v in offered["versions"]} == {
        "the result cache is off on this server"
    }


def test_nothing_starts_without_telemetry(opened: Open) -> None:
    engine = opened(telemetry=False)
    engine.warm_up(["times"])
    with pytest.raises(Busy, match="telemetry is off: an experiment cannot measure"):
        begun(engine)
    assert "telemetry is off" in engine.trials.overview()["problem"]


def test_what_is_offered_says_what_is_loaded_and_why_not(engine: Engine) -> None:
    offered = offers_of(engine, "times", engine.trials.promotions.in_place("times"))
    assert (offered["serving"], offered["serving_text"]) == ("1", "version 1")
    one, two, three = offered["versions"]
    assert [v["serving"] for v in (one, two, three)] == [True, False, False]
    assert [form["form"] for form in one["backends"]] == ["python"]
    assert one["batching"]["now"] == "off"
    assert "it is run at once, alone" in one["batching"]["reason"]
    assert three["problem"] == "it is not loaded; warm it up"


def test_one_that_ran_goes_on_after_a_restart(engine: Engine, opened: Open) -> None:
    experiment = begun(engine)
    for user in range(20):
        ask(engine, Caller(f"user-{user}"))
    engine.close()
    again = opened()
    again.start()
    until(lambda: "times" in again.trials.running, 60, "it goes on")
    (resumed,) = again.trials.book.all()
    assert (resumed.id, resumed.state) == (experiment.id, "running")
    callers = [Caller(f"user-{user}") for user in range(20)]
    assert {ask(again, caller) for caller in callers} == {2.0, 4.0}


def test_one_whose_version_has_changed_does_not_go_on(
    engine: Engine, opened: Open, home: Path
) -> None:
    begun(engine)
    engine.close()
    code = home / "models/times/2/model.py"
    code.write_text(code.read_text() + "\n# other content\n")
    again = opened()
    again.trust.add(code)
    again.start()
    (experiment,) = again.trials.book.all()
    until(lambda: experiment.state != "running", 60, "it ended")
    assert experiment.stopped_by == "changed"
    assert experiment.reason == "not resumed: a version's content has changed"
    assert again.trials.running == {}


def test_a_version_that_changes_under_an_experiment_ends_it(engine: Engine, home: Path) -> None:
    experiment = begun(engine)
    code = home / "models/times/2/model.py"
    code.write_text(code.read_text() + "\n# other content\n")
    engine.trust.add(code)
    for load in engine.reload():
        load.result(60)
    engine.ticker.tick()
    assert experiment.state == "stopped"
    assert experiment.reason == "new: its version's content has changed or gone"


def test_a_model_that_cannot_be_opened_is_no_variant(engine: Engine) -> None:
    body = {"name": "b", "model": "broken", "candidates": [{"name": "new"}]}
    experiment = engine.trials.create(body)
    with pytest.raises(ModelFailed, match="its weights are gone"):
        engine.trials.begin_trial(experiment)
    assert engine.trials.running == {}


def test_a_stored_experiment_that_cannot_be_read_is_told(opened: Open, home: Path) -> None:
    folder = home / "state/experiments"
    folder.mkdir()
    (folder / "bad.json").write_text("{")
    told = opened().trials.overview()
    assert set(told["problems"]) == {"bad.json"}
    assert told["experiments"] == []
