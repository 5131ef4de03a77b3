"""One model's routes: what it is, how long its answers took, rows to try it with."""

from __future__ import annotations

import math

import pytest

from tests.contract.http import call
from tests.waiting import until

ABOUT = "/performance/models"


def test_a_model_says_what_it_takes_gives_and_how_good_it_is(port: int) -> None:
    status, _, body = call(port, "GET", f"{ABOUT}/breast_cancer")
    assert (status, body["model"], body["version"]) == (200, "breast_cancer", "1")
    metadata = call(port, "GET", "/v2/models/breast_cancer")[2]
    assert body["schema"]["inputs"] == metadata["inputs"]
    assert body["schema"]["outputs"] == metadata["outputs"]
    assert body["schema"]["columns"] == metadata["parameters"]["columns"]
    assert body["schema"]["nan_inputs"] == ["input"]
    assert body["labels"] == ["malignant", "benign"]
    assert [measure["name"] for measure in body["quality"]] == ["roc_auc", "accuracy"]
    assert body["runs"]["quick_rows"] > 0
    assert [(v["version"], v["serving"]) for v in body["versions"]] == [("1", True)]


@pytest.mark.parametrize("part", ["", "/latency", "/samples"])
def test_a_model_that_is_not_there_is_404(port: int, part: str) -> None:
    status, _, body = call(port, "GET", f"{ABOUT}/nobody{part}")
    assert status == 404
    assert "nobody" in body["error"]


def test_looking_at_a_cold_model_loads_nothing(port: int) -> None:
    call(port, "POST", "/performance/cache/clear", {"tier": "models", "model": "digits"})
    body = call(port, "GET", f"{ABOUT}/digits")[2]
    assert body["state"] == "cold"
    assert body["schema"]["read_from"] == "model.toml"
    assert body["schema"]["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 64]}]
    assert body["schema"]["outputs"] is None
    assert call(port, "GET", f"{ABOUT}/digits/samples")[2]["rows"] == 5
    assert call(port, "GET", f"{ABOUT}/digits")[2]["state"] == "cold"


@pytest.mark.parametrize("model", ["breast_cancer", "contract_classifier", "fraud_detector"])
def test_samples_are_tensors_that_the_model_answers(port: int, model: str) -> None:
    body = call(port, "GET", f"{ABOUT}/{model}/samples")[2]
    assert body["read_from"] == "samples.npz"
    assert body["rows"] == 5 <= body["held"]
    for tensor in body["inputs"]:
        assert tensor["shape"][0] == 5
        assert math.prod(tensor["shape"]) == len(tensor["data"])
    status, _, answer = call(port, "POST", f"/v2/models/{model}/infer", {"inputs": body["inputs"]})
    assert status == 200
    assert answer["outputs"][0]["shape"][0] == 5


def test_a_histogram_holds_the_requests_of_its_window(port: int) -> None:
    inputs = call(port, "GET", f"{ABOUT}/risk_scorer/samples")[2]["inputs"]
    before = call(port, "GET", f"{ABOUT}/risk_scorer/latency?window=5m")[2]["requests"]
    for _ in range(7):
        call(port, "POST", "/v2/models/risk_scorer/infer", {"inputs": inputs})
    call(port, "POST", "/v2/models/risk_scorer/infer", {"inputs": []})

    def told() -> bool:
        body = call(port, "GET", f"{ABOUT}/risk_scorer/latency?window=5m")[2]
        return bool(body["requests"] == before + 8)

    until(told, 10, "the requests of the last seconds")
    body = call(port, "GET", f"{ABOUT}/risk_scorer/latency?window=5m")[2]
    assert sum(body["counts"]) == body["requests"] == sum(body["outcomes"].values())
    assert body["outcomes"]["client_error"] >= 1
    assert len(body["bounds_ms"]) == len(body["counts"]) + 1 <= 61
    assert body["bounds_ms"][0] <= body["p50_ms"] <= body["p99_ms"] <= body["bounds_ms"][-1]
    assert len(body["batches"]["limits"]) == len(body["batches"]["counts"])
    assert body["batches"]["limits"][-1] is None
    empty = call(port, "GET", f"{ABOUT}/risk_scorer/latency?from=1000&to=1600")[2]
    assert (empty["requests"], empty["counts"], empty["p99_ms"]) == (0, [], None)


def test_a_bad_window_is_400_naming_it(port: int) -> None:
    for query, word in (("window=soon", "window"), ("from=soon&to=1", "from"), ("from=5", "to")):
        status, _, body = call(port, "GET", f"{ABOUT}/breast_cancer/latency?{query}")
        assert status == 400
        assert word in body["error"]
    assert call(port, "GET", f"{ABOUT}/breast_cancer?version=9")[0] == 404


def test_the_snapshot_says_when_a_model_was_last_used(port: int) -> None:
    inputs = call(port, "GET", f"{ABOUT}/breast_cancer/samples")[2]["inputs"]
    call(port, "POST", "/v2/models/breast_cancer/infer", {"inputs": inputs})

    def used() -> bool:
        live = call(port, "GET", "/performance/live?since=0")[2]
        row = next(row for row in live["models"] if row["name"] == "breast_cancer")
        assert (row["queued"], row["running"]) == (0, 0)
        return bool(row["last_used"] and abs(live["time"] - row["last_used"]) < 30)

    until(used, 10, "the second after the request")
