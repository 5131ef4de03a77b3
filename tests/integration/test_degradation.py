"""A form that fails while serving is taken out; the next exact one answers, and all can see it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.exchange import Request
from app.front import Front
from engine.config import Settings
from engine.engine import Engine
from engine.errors import InvalidInput, ModelFailed
from engine.models.backends.estimator_backend import load_skops
from engine.models.backends.onnx_backend import OnnxBackend
from engine.types import InferRequest
from tests.integration.test_parity_over_http import rows_of

MODEL = "fraud_detector"


@pytest.fixture
def engine(bundled_models: Path, shared_state: Path) -> Iterator[Engine]:
    engine = Engine(Settings(models=bundled_models, state=shared_state, reload_interval_s=0.0))
    yield engine
    engine.close()


def broken(*_: Any) -> dict[str, np.ndarray]:
    raise RuntimeError("broken on purpose")


def request(engine: Engine, bundled_models: Path, rows: int = 1) -> InferRequest:
    name, samples = rows_of(bundled_models / MODEL)
    return InferRequest(MODEL, {name: samples[:rows]}, use_cache=False)


def post(front: Front, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, str], Any]:
    content = json.dumps(body).encode()
    asked = Request(b"POST", path.encode(), {b"host": b"localhost"}, content)
    exchange, match, refusal = front.enter(asked, "127.0.0.1")
    assert refusal is None
    response = front.handle(exchange, match)
    assert response is not None
    lines = [line.split(": ", 1) for line in response.lines.splitlines()]
    return response.status, dict(lines), json.loads(response.body)


def test_the_next_exact_form_answers_and_the_broken_one_is_asked_no_more(
    engine: Engine, bundled_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = request(engine, bundled_models)
    before = engine.infer(ask)
    assert before.degraded is None
    monkeypatch.setattr(OnnxBackend, "run", broken)
    answers = [engine.infer(ask) for _ in range(2)]
    monkeypatch.undo()
    answers.append(engine.infer(ask))
    for answer in answers:
        assert answer.backend != before.backend
        assert "broken on purpose" in (answer.degraded or "")
        np.testing.assert_allclose(answer.outputs["predict"], before.outputs["predict"])


def test_response_record_and_console_say_so_until_the_model_is_loaded_anew(
    engine: Engine, bundled_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = Front(engine)
    ask = request(engine, bundled_models)
    rows = ask.inputs["input"].tolist()
    body = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 13], "data": rows}]}
    engine.infer(ask)
    with monkeypatch.context() as patch:
        patch.setattr(OnnxBackend, "run", broken)
        status, headers, answer = post(front, f"/v2/models/{MODEL}/infer", body)
    assert (status, headers["x-degraded"]) == (200, "true")
    assert "broken on purpose" in answer["parameters"]["degraded"]
    engine.ticker.tick()
    assert engine.recorder.recent()[-1].degraded
    assert engine.ticker.latest["health"]["text"] == f"Degraded model: {MODEL}"
    assert engine.ticker.latest["events"][-1]["kind"] == "degraded"
    shown = {model["name"]: model["degraded"] for model in engine.ticker.latest["models"]}
    assert "broken on purpose" in shown[MODEL]
    assert post(front, f"/v2/repository/models/{MODEL}/load", {})[0] == 200
    assert engine.infer(ask).degraded is None


def test_without_any_form_left_the_model_answers_503_and_nothing_made_up(
    engine: Engine, bundled_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = request(engine, bundled_models)
    model = engine.registry.load(engine.registry.slot(MODEL)).result(60)
    for form in model.plan.fallbacks():
        backend, _ = model._forms.open(form)
        monkeypatch.setattr(type(backend), "run", broken)
    with pytest.raises(ModelFailed, match="broken on purpose"):
        engine.infer(ask)
    monkeypatch.undo()
    with pytest.raises(ModelFailed, match="broken on purpose"):
        engine.infer(ask)


def test_rows_that_the_model_itself_refuses_are_the_callers_fault(
    engine: Engine, bundled_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every form raises for these rows, and the model answers its own: nothing is taken out."""
    ask = request(engine, bundled_models)
    model = engine.registry.load(engine.registry.slot(MODEL)).result(60)
    marked = ask.inputs["input"] + 1234.5
    for form in model.plan.fallbacks():
        backend, _ = model._forms.open(form)
        refuse_marked(monkeypatch, type(backend))
    with pytest.raises(InvalidInput, match="refuses these rows"):
        engine.infer(InferRequest(MODEL, {"input": marked}, use_cache=False))
    assert engine.infer(ask).degraded is None


def refuse_marked(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    run = kind.run  # type: ignore[attr-defined]

    def picky(self: Any, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]) -> Any:
        if inputs["input"].max() > 1000:
            raise ValueError("too large")
        return run(self, inputs, outputs)

    monkeypatch.setattr(kind, "run", picky)


def test_rows_with_nan_are_answered_by_a_form_that_takes_them(
    engine: Engine, bundled_models: Path
) -> None:
    folder = bundled_models / "breast_cancer"
    name, samples = rows_of(folder)
    holes = np.array(samples[:40])
    holes[::3, 4] = np.nan
    forest = load_skops((folder / "1/model.skops").read_bytes())
    ask = InferRequest("breast_cancer", {name: holes}, outputs=("predict_proba",))
    result = engine.infer(ask)
    np.testing.assert_allclose(result.outputs["predict_proba"], forest.predict_proba(holes))
    assert result.degraded is None
