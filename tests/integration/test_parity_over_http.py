"""500 rows through HTTP equal scikit-learn's own answers, cache on and off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.models.backends.estimator_backend import load_skops
from tests.conftest import RunningServer
from tests.contract.http import call

MODELS = ("breast_cancer", "contract_classifier", "digits", "fraud_detector", "risk_scorer")
ROWS = 500


def rows_of(folder: Path) -> tuple[str, np.ndarray]:
    """500 rows: the samples, repeated with a nudge for numbers so that no two are equal."""
    with np.load(folder / "1/samples.npz") as samples:
        (name,) = samples.files
        rows = samples[name]
    repeats = -(-ROWS // len(rows))
    if rows.dtype.kind == "U":
        texts = [f"{text}\n// {i}" for i in range(repeats) for text in rows]
        return name, np.array(texts[:ROWS], dtype=object)
    nudged = np.concatenate([rows * (1 + 1e-3 * i) for i in range(repeats)])
    return name, nudged[:ROWS]


@pytest.mark.parametrize("caching", ["cached", "uncached"])
@pytest.mark.parametrize("model", MODELS)
def test_500_rows_equal_scikit_learn(
    server: RunningServer, bundled_models: Path, model: str, caching: str
) -> None:
    call(server.port, "POST", "/performance/warmup", {"models": [model]})
    name, rows = rows_of(bundled_models / model)
    estimator = load_skops((bundled_models / model / "1/model.skops").read_bytes())
    outputs = [m for m in ("predict", "predict_proba") if hasattr(estimator, m)]
    headers = {} if caching == "cached" else {"Cache-Control": "no-cache"}
    datatype = "BYTES" if rows.dtype == object else "FP64"
    batches = [rows[start : start + 1] for start in range(250)] + [rows[250:]]
    answers: dict[str, list[float]] = {output: [] for output in outputs}
    for batch in batches:
        tensor = {
            "name": name,
            "datatype": datatype,
            "shape": list(batch.shape),
            "data": batch.ravel().tolist(),
        }
        body = {"inputs": [tensor], "outputs": [{"name": output} for output in outputs]}
        path = f"/v2/models/{model}/infer"
        status, _, answer = call(server.port, "POST", path, body, headers)
        if caching == "cached":
            status, seen, answer = call(server.port, "POST", path, body)
            assert seen["x-cache-hit"] == "true"
        assert status == 200, answer
        for output in answer["outputs"]:
            answers[output["name"]] += output["data"]
    for output in outputs:
        expected = np.asarray(getattr(estimator, output)(rows)).ravel()
        given = np.array(answers[output])
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(given, expected)
