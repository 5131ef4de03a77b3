"""An engine's own calls: what is answered, kept, flushed and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.engine import Engine
from engine.errors import InvalidInput, ModelFailed, ModelLoading, UnknownModel
from engine.types import InferRequest, InferResult
from tests.unit.live.conftest import Open
from tests.waiting import until

ROW = np.array([[1.0, 2.0]])


def ask(
    engine: Engine,
    model: str = "times",
    x: np.ndarray = ROW,
    version: str | None = None,
    outputs: tuple[str, ...] = (),
    use_cache: bool = True,
) -> InferResult:
    return engine.infer(InferRequest(model, {"x": x}, version, outputs, use_cache))


def test_the_version_that_serves_answers_and_any_other_that_is_named(engine: Engine) -> None:
    assert ask(engine).outputs["y"].tolist() == [3.0]
    assert ask(engine, version="2").outputs["y"].tolist() == [6.0]
    assert ask(engine).version == "1"


def test_an_answer_is_kept_and_given_again_unless_it_is_not_wanted(engine: Engine) -> None:
    assert not ask(engine).cache_hit
    again = ask(engine)
    assert (again.cache_hit, again.outputs["y"].tolist()) == (True, [3.0])
    assert not ask(engine, use_cache=False).cache_hit
    assert not again.outputs["y"].flags.writeable


@pytest.mark.parametrize(
    ("model", "version", "said"),
    [("nobody", None, "nobody"), ("times", "9", "9"), ("times", "x", "x")],
)
def test_what_is_not_there_is_named(
    engine: Engine, model: str, version: str | None, said: str
) -> None:
    with pytest.raises(UnknownModel, match=said):
        ask(engine, model, version=version)


def test_outputs_that_are_not_there_are_refused_and_their_lease_is_given_back(
    engine: Engine,
) -> None:
    with pytest.raises(InvalidInput, match="output 'z' is unknown; it has y"):
        ask(engine, outputs=("z",))
    assert engine.registry.slot("times").leases == 0


def test_a_row_that_fails_fails_alone(engine: Engine) -> None:
    assert ask(engine, "flaky").outputs["predict"].tolist() == [1.0]
    with pytest.raises((InvalidInput, ModelFailed), match="13"):
        ask(engine, "flaky", np.array([[13.0, 0.0]]))
    assert ask(engine, "flaky", np.array([[7.0, 0.0]])).outputs["predict"].tolist() == [7.0]


def test_a_model_that_cannot_be_loaded_says_why_and_hurts_no_other(engine: Engine) -> None:
    with pytest.raises(ModelFailed, match="its weights are gone"):
        ask(engine, "broken")
    assert engine.registry.slot("broken").state == "failed"
    assert ask(engine).outputs["y"].tolist() == [3.0]


def test_a_cold_model_is_not_waited_for_by_who_must_not_wait(engine: Engine) -> None:
    with pytest.raises(ModelLoading):
        engine.begin("times", None, {"x": ROW}, (), True, waits=False)
    until(lambda: engine.registry.slot("times").state == "warm", 60, "the load it began")


def test_an_encoder_answers_first_and_its_rows_are_kept_one_by_one(engine: Engine) -> None:
    first = ask(engine, "head")
    assert first.outputs["y"].tolist() == [6.0]
    assert (first.encoder_hits, first.encoder_misses) == (0, 1)
    more = ask(engine, "head", np.array([[1.0, 2.0], [5.0, 0.0]]))
    assert more.outputs["y"].tolist() == [6.0, 10.0]
    assert (more.encoder_hits, more.encoder_misses) == (1, 1)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("orphan", "encoder 'nobody' of orphan is not there"),
        ("nested", "encoder 'head' of nested has an encoder itself"),
    ],
)
def test_an_encoder_that_cannot_be_one_is_named(engine: Engine, model: str, said: str) -> None:
    with pytest.raises(ModelFailed, match=said):
        ask(engine, model)
    assert all(slot.leases == 0 for slot in engine.registry.slots())


def test_warm_up_tells_each_model_and_those_that_fail(engine: Engine) -> None:
    told = {one["model"]: one for one in engine.warm_up(["times", "broken", "times"])}
    assert list(told) == ["times", "broken"]
    assert told["times"]["already_warm"] is False
    assert [run["rows"] for run in told["times"]["runs"]] == [1, 8, 32]
    assert told["times"]["text"].startswith("times warm in ")
    assert "its weights are gone" in told["broken"]["error"]
    (again,) = engine.warm_up(["times"])
    assert (again["already_warm"], again["load_ms"]) == (True, None)
    assert again["text"].startswith("times was already warm; one row takes ")
    assert any(e["text"].startswith("1 model warm in ") for e in engine.ticker.events())


def test_warm_up_of_a_model_that_fails_its_rows_tells_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.warm_up(["flaky"])
    model = engine.registry.slot("flaky").model
    assert model is not None
    odd = {"x": np.array([[13.0, 0.0]])}
    monkeypatch.setattr(model, "sample_rows", lambda rows: {"x": np.repeat(odd["x"], rows, 0)})
    (told,) = engine.warm_up(["flaky"])
    assert "13" in told["error"]
    assert told["text"].startswith("flaky: ")


def test_a_tier_is_flushed_of_one_model_or_of_all(engine: Engine) -> None:
    ask(engine)
    ask(engine, "flaky")
    ask(engine, "head")
    assert engine.clear_cache("results", "times")["items"] == 1
    assert not ask(engine).cache_hit
    assert ask(engine, "flaky").cache_hit
    assert engine.clear_cache("embeddings")["items"] == 1
    whole = engine.clear_cache()
    assert whole["items"] == 3
    assert whole["text"].startswith("3 cached items flushed, ")
    assert not ask(engine, "flaky").cache_hit


def test_models_are_dropped_only_by_name_of_the_tier_and_come_back(engine: Engine) -> None:
    ask(engine)
    assert engine.clear_cache("models", "times")["items"] == 1
    assert engine.registry.slot("times").state == "cold"
    found = ask(engine, use_cache=False)
    assert (found.cold_start, found.outputs["y"].tolist()) == (True, [3.0])


def test_an_unknown_tier_or_model_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="tier is 'attic'; it must be one of"):
        engine.clear_cache("attic")
    with pytest.raises(UnknownModel):
        engine.clear_cache("results", "nobody")


def test_cleaning_up_says_what_it_dropped(engine: Engine) -> None:
    for at in range(6):
        ask(engine, x=np.array([[float(at), 0.0]]))
    text = engine.clean_up()
    assert text.startswith("3 cached items, ")
    assert engine.ticker.events()[-1]["kind"] == "clean-up"


def test_it_is_ready_when_all_that_is_preloaded_is_warm(engine: Engine) -> None:
    assert "times is cold" in engine.unready()
    assert not any(text.startswith("broken") for text in engine.unready())
    engine.start()
    until(lambda: not engine.unready(), 60, "ready")
    engine.drain()
    assert engine.unready() == ["the server is stopping"]


def test_once_ready_a_model_that_comes_later_changes_nothing(engine: Engine) -> None:
    engine.start()
    until(lambda: not engine.unready(), 60, "ready")
    late = engine.settings.models / "late/1"
    late.mkdir(parents=True)
    (late / "model.onnx").write_bytes(b"no graph")
    (engine.settings.models / "empty").mkdir()
    engine.reload()
    until(lambda: engine.registry.slot("late").state == "failed", 60, "refused")
    assert engine.unready() == []
    with pytest.raises(UnknownModel, match="unknown model 'empty': empty has no version folder"):
        ask(engine, model="empty")


def test_only_named_models_are_preloaded_where_some_are_named(opened: Open) -> None:
    engine = opened(preload="flaky, enc")
    assert sorted(engine.unready()) == ["enc is cold", "flaky is cold"]


def test_what_stops_with_the_engine_is_told_when_it_drains(engine: Engine) -> None:
    told: list[str] = []
    engine.before_stop.append(lambda: told.append("stopped"))
    engine.drain()
    assert told == ["stopped"]


def test_a_cache_that_has_no_folder_is_no_cache_and_an_event(opened: Open, home: Path) -> None:
    shutil.rmtree(home / "state/cache")
    (home / "state/cache").mkdir()
    for name in ("results", "embeddings"):
        (home / "state/cache" / name).write_text("a file where a folder belongs")
    engine = opened()
    assert (engine.results_disk, engine.embeddings_disk) == (None, None)
    failures = [e["text"] for e in engine.ticker.events() if e["kind"] == "failure"]
    assert failures[0].startswith("no cache of results on disk: ")
    assert str(home) not in failures[0]
    assert ask(engine).outputs["y"].tolist() == [3.0]


def test_nothing_is_planned_or_kept_where_optimising_is_off(opened: Open) -> None:
    engine = opened(optimise=False)
    found = [ask(engine), ask(engine)]
    assert [one.cache_hit for one in found] == [False, False]
    assert [one.outputs["y"].tolist() for one in found] == [[3.0], [3.0]]
    assert (engine.results, engine.responses, engine.embeddings) == (None, None, None)
    assert ask(engine, "head").outputs["y"].tolist() == [6.0]


def test_a_version_that_is_let_go_of_gives_way_to_the_newest_there_is(
    engine: Engine, home: Path
) -> None:
    ask(engine)
    (home / "models/times/model.toml").write_text('[[inputs]]\nname = "x"\nshape = [-1, 2]\n')
    (home / "models/times/3").rename(home / "gone")
    for load in engine.reload():
        load.result(60)
    until(lambda: ask(engine, use_cache=False).version == "2", 60, "the newest serves")
    with pytest.raises(UnknownModel):
        ask(engine, version="3")


def test_threads_and_queues_are_told(engine: Engine) -> None:
    told = engine.figures["engine"]()
    assert told["scheduler"]["slots"] >= 1
    assert set(told["disk"]) == {"results", "embeddings"}
    assert set(engine._gauges()) == {"queued", "queue_used_percent"}
