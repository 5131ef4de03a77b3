"""Served rows run again by the model as it is, in this process, against known answers."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from engine.audited import AuditedModel, why_not_audited
from engine.effectiveness.auditor import Sample
from engine.engine import Engine
from engine.models.loaded import LoadedModel
from engine.models.rerun import answer_all, compared, digest_of, timed_in_turns

X = {"x": np.array([[1.0, 2.0], [3.0, 4.0]])}
RIGHT = {"y": np.array([3.0, 7.0])}


@pytest.fixture
def model(engine: Engine) -> LoadedModel:
    return engine.registry.load(engine.registry.slot("times")).result(60)


def job_of(engine: Engine, model: LoadedModel, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """As the auditor sends it; a Python file is not audited, but this child would run it."""
    audited = AuditedModel(model, engine.trust)
    return audited.job(Sample(audited, X, outputs, model.form, 1000))


def answered(*jobs: Mapping[str, Any]) -> list[dict[str, Any]]:
    sent = io.BytesIO()
    for job in jobs:
        content = pickle.dumps(job)
        sent.write(len(content).to_bytes(4, "big") + content)
    sent.seek(0)
    told = io.BytesIO()
    answer_all(sent, told)
    return [json.loads(line) for line in told.getvalue().splitlines()]


def test_answers_that_agree_and_their_times(engine: Engine, model: LoadedModel) -> None:
    (told,) = answered(job_of(engine, model, RIGHT))
    assert (told["differing"], told["largest"], told["examples"]) == (0, 0.0, [])
    assert told["oracle_us"] > 0
    assert told["form_us"] > 0
    assert told["cpu_ms"] >= 0


def test_a_row_that_was_answered_otherwise_is_found(engine: Engine, model: LoadedModel) -> None:
    (told,) = answered(job_of(engine, model, {"y": np.array([3.0, 7.5])}))
    share = pytest.approx(0.5 / 7)  # of the right answer's size
    assert (told["differing"], told["largest"]) == (1, share)
    (example,) = told["examples"]
    assert (example["output"], example["difference"]) == ("y", share)
    assert example["digest"] == digest_of(X, 1)


def test_a_job_that_fails_is_told_and_the_next_one_is_answered(
    engine: Engine, model: LoadedModel
) -> None:
    good = job_of(engine, model, RIGHT)
    told = answered(good | {"digest": "0" * 64}, good | {"form": "moon"}, good)
    assert told[0]["error"].startswith("ArtefactError: the artefact on disk is no longer the one")
    assert told[1]["error"].startswith("StopIteration")
    assert told[2]["differing"] == 0


def test_a_job_cut_short_ends_it_without_an_answer() -> None:
    told = io.BytesIO()
    answer_all(io.BytesIO(b"\0\0"), told)
    assert told.getvalue() == b""


def test_infinite_differences_are_no_number() -> None:
    found = compared(X, {"y": np.array([np.nan, 7.0])}, RIGHT, 1e-5)
    assert (found["differing"], found["largest"]) == (1, None)
    assert found["examples"][0]["difference"] is None


def test_the_output_that_differs_most_is_named() -> None:
    expected = {"a": np.array([1.0, 1.0]), "b": np.array([[1.0, 2.0], [1.0, 2.0]])}
    served = {"a": np.array([1.1, 1.0]), "b": np.array([[1.0, 5.0], [1.0, 2.0]])}
    found = compared(X, served, expected, 0.01)
    assert (found["differing"], found["largest"]) == (1, pytest.approx(1.5))
    assert found["examples"][0]["output"] == "b"


def test_a_rows_digest_is_its_own_whatever_the_others_are() -> None:
    one = {"x": np.array([[1.0, 2.0]]), "t": np.array(["a"], dtype=object)}
    many = {"t": np.array(["b", "a"], dtype=object), "x": np.array([[9.0, 9.0], [1.0, 2.0]])}
    assert digest_of(one, 0) == digest_of(many, 1) != digest_of(many, 0)


class Spends:
    """A backend that counts its runs."""

    covers = frozenset({"y"})

    def __init__(self, name: str) -> None:
        self.name, self.runs = name, 0

    def run(self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Any:
        self.runs += 1
        return {"y": sum(range(2000))}


def test_both_are_timed_in_turns_and_the_quick_one_more_often() -> None:
    oracle, form = Spends("oracle"), Spends("form")
    oracle_us, form_us = timed_in_turns(oracle, form, X, ("y",))
    assert 3 <= oracle.runs <= 25
    assert form.runs == 9 * oracle.runs
    assert oracle_us > 0
    assert form_us > 0


# Which models are audited


def test_a_given_python_file_has_nothing_to_be_compared_with(model: LoadedModel) -> None:
    assert why_not_audited(model) == "no oracle: a given python model is served as it is"


def test_a_tap_hands_over_what_was_served_until_the_model_is_gone(
    engine: Engine, model: LoadedModel
) -> None:
    audited = AuditedModel(model, engine.trust)
    assert (audited.name, audited.version, audited.forms) == ("times", "1", frozenset())
    assert audited.is_of(model)
    taken: list[tuple[Any, ...]] = []
    audited.set_tap(lambda *given: taken.append(given))
    run = model.run(X, ("y",))
    assert run.outputs["y"].tolist() == [3.0, 7.0]
    ((inputs, outputs, form, run_ns),) = taken
    assert (inputs["x"].tolist(), outputs["y"].tolist()) == (X["x"].tolist(), [3.0, 7.0])
    assert (form, run_ns > 0) == ("python", True)


def test_the_served_form_is_timed_here_unless_another_one_answers(
    engine: Engine, model: LoadedModel
) -> None:
    audited = AuditedModel(model, engine.trust)
    taken = audited.served_us(Sample(audited, X, RIGHT, "python", 1000))
    assert taken is not None
    assert taken > 0
    assert audited.served_us(Sample(audited, X, RIGHT, "moon", 1000)) is None
    bad = {"z": X["x"]}
    assert audited.served_us(Sample(audited, bad, RIGHT, "python", 1000)) is None
    planned = audited.planned_us(Sample(audited, X, RIGHT, "python", 1000))
    assert planned[0] == planned[1] > 0
