"""Open Inference Protocol V2, the same suite through both doors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.models.backends.estimator_backend import load_skops
from tests.contract.http import call, tensor

INFER = "/v2/models/breast_cancer/infer"


@pytest.fixture(scope="module")
def row(bundled_models: Path) -> list[float]:
    with np.load(bundled_models / "breast_cancer/1/samples.npz") as samples:
        return [float(value) for value in samples["input"][0]]


def infer(port: int, *inputs: Any, **extra: Any) -> tuple[int, dict[str, str], Any]:
    return call(port, "POST", INFER, {"inputs": list(inputs), **extra})


def test_server_metadata_names_the_server(port: int) -> None:
    status, _, body = call(port, "GET", "/v2")
    assert status == 200
    assert body["name"] == "pyrometer"
    assert body["version"]


def test_liveness_and_readiness_are_200(port: int) -> None:
    assert call(port, "GET", "/v2/health/live")[0] == 200
    assert call(port, "GET", "/v2/health/ready")[0] == 200


def test_model_metadata_lists_inputs_and_outputs(port: int) -> None:
    _, _, body = call(port, "GET", "/v2/models/breast_cancer")
    assert body["versions"] == ["1"]
    assert body["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 30]}]
    assert [output["name"] for output in body["outputs"]][:2] == ["predict", "predict_proba"]


def test_predict_is_the_default_output_and_the_id_is_echoed(port: int, row: list[float]) -> None:
    status, headers, body = infer(port, tensor([row]), id="my-id")
    assert status == 200
    assert body["id"] == "my-id"
    assert [output["name"] for output in body["outputs"]] == ["predict"]
    assert body["outputs"][0]["shape"] == [1]
    assert "infer;dur=" in headers["server-timing"]


def test_a_flat_tensor_equals_a_nested_one(port: int, row: list[float]) -> None:
    flat = {"name": "input", "datatype": "FP64", "shape": [1, 30], "data": row}
    assert infer(port, flat)[2]["outputs"] == infer(port, tensor([row]))[2]["outputs"]


def test_outputs_filters_and_orders(port: int, row: list[float]) -> None:
    wanted = [{"name": "predict_proba"}, {"name": "predict"}]
    _, _, body = infer(port, tensor([row]), outputs=wanted)
    assert [output["name"] for output in body["outputs"]] == ["predict_proba", "predict"]


def test_one_tensor_per_column_equals_one_matrix(
    port: int, row: list[float], bundled_models: Path
) -> None:
    import tomllib

    columns = tomllib.loads((bundled_models / "breast_cancer/model.toml").read_text())
    names = columns["inputs"][0]["columns"]
    tensors = [
        {"name": name, "datatype": "FP64", "shape": [1], "data": [value]}
        for name, value in zip(names, row, strict=True)
    ]
    by_column = infer(port, *tensors, outputs=[{"name": "predict_proba"}])[2]
    by_matrix = infer(port, tensor([row]), outputs=[{"name": "predict_proba"}])[2]
    assert by_column["outputs"] == by_matrix["outputs"]


def test_a_version_can_be_named(port: int, row: list[float]) -> None:
    path = "/v2/models/breast_cancer/versions/1/infer"
    assert call(port, "POST", path, {"inputs": [tensor([row])]})[0] == 200
    assert call(port, "GET", "/v2/models/breast_cancer/versions/1")[0] == 200
    assert call(port, "GET", "/v2/models/breast_cancer/versions/9")[0] == 404


def test_null_is_nan_where_the_model_takes_it_and_400_where_not(
    port: int, row: list[float], bundled_models: Path
) -> None:
    forest = load_skops((bundled_models / "breast_cancer/1/model.skops").read_bytes())
    wanted = [{"name": "predict_proba"}]
    holes = tensor([row]) | {"data": [None, *row[1:]]}
    _, _, body = infer(port, holes, outputs=wanted)
    expected = forest.predict_proba(np.array([[np.nan, *row[1:]]]))
    np.testing.assert_allclose(body["outputs"][0]["data"], expected.ravel(), atol=1e-5)
    pixels = {"name": "input", "datatype": "FP64", "shape": [1, 64], "data": [None] * 64}
    status, _, body = call(port, "POST", "/v2/models/digits/infer", {"inputs": [pixels]})
    assert status == 400
    assert "'input' holds NaN" in body["error"]


def _broken(row: list[float]) -> dict[str, Any]:
    good = tensor([row])
    return {
        "no rows": good | {"shape": [0, 30], "data": []},
        "too few values": good | {"data": row[:29]},
        "shape of another width": good | {"shape": [1, 29], "data": row[:29]},
        "unknown datatype": good | {"datatype": "FP128"},
        "text for numbers": good | {"data": ["1.5"] * 30},
        "null in whole numbers": good | {"datatype": "INT64", "data": [None] * 30},
        "null beside text": good | {"data": [None, "a", *row[2:]]},
        "ragged data": good | {"shape": [2, 30], "data": [row, row[:3]]},
        "negative size": good | {"shape": [-1, 30]},
        "overflowing sizes": good | {"shape": [2**40, 2**40]},
        "float size": good | {"shape": [1.0, 30]},
        "no data": {key: value for key, value in good.items() if key != "data"},
        "another name": good | {"name": "other"},
        "no name": {key: value for key, value in good.items() if key != "name"},
        "value beyond float32": good | {"data": [1e300, *row[1:]]},
        "integer beyond 64 bits": good | {"data": [10**30, *row[1:]]},
        "bytes": good | {"datatype": "BYTES", "data": ["a"] * 30},
    }


@pytest.mark.parametrize("case", sorted(_broken([0.0] * 30)))
def test_a_malformed_tensor_is_400_with_an_error(port: int, row: list[float], case: str) -> None:
    status, _, body = infer(port, _broken(row)[case])
    assert status == 400, body
    assert isinstance(body["error"], str)


def test_a_duplicate_or_extra_input_is_400(port: int, row: list[float]) -> None:
    assert infer(port, tensor([row]), tensor([row]))[0] == 400
    assert infer(port, tensor([row]), tensor([row], name="more"))[0] == 400
    assert infer(port)[0] == 400


def test_an_unknown_output_is_400_and_named(port: int, row: list[float]) -> None:
    status, _, body = infer(port, tensor([row]), outputs=[{"name": "nope"}])
    assert status == 400
    assert "nope" in body["error"]


def test_an_unknown_model_is_404(port: int, row: list[float]) -> None:
    path = "/v2/models/nobody/infer"
    assert call(port, "POST", path, {"inputs": [tensor([row])]})[0] == 404
    assert call(port, "GET", "/v2/models/nobody")[0] == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'{"inputs": [NaN]}', b'{"inputs": [1e999]}', b"[" * 200_000, b"\xff"],
    ids=["empty", "cut", "list", "nan", "infinity", "nested", "not utf-8"],
)
def test_a_body_that_is_no_request_is_400(port: int, body: bytes) -> None:
    assert call(port, "POST", INFER, body)[0] == 400


def test_a_body_over_the_cap_is_413(port: int) -> None:
    status, _, body = call(port, "POST", INFER, b" " * (16 * 1024 * 1024 + 1))
    assert status == 413
    assert "limit" in body["error"]


def test_another_method_is_405_with_allow(port: int) -> None:
    status, headers, _ = call(port, "DELETE", INFER)
    assert status == 405
    assert headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/v2/nope", "/performance/nope", "/analyze/nope", "/v2/models/"])
def test_an_unknown_api_path_is_a_json_404(port: int, path: str) -> None:
    status, headers, body = call(port, "GET", path)
    assert status == 404
    assert headers["content-type"].startswith("application/json")
    assert "error" in body


def test_a_wellformed_request_id_is_kept_and_another_replaced(port: int, row: list[float]) -> None:
    def answered(given: str) -> str:
        return call(port, "GET", "/v2", headers={"X-Request-ID": given})[1]["x-request-id"]

    assert answered("abc-123") == "abc-123"
    assert answered("a b<script>") != "a b<script>"


def test_an_identical_second_call_is_a_cache_hit_unless_refused(
    port: int, row: list[float]
) -> None:
    changed = [row[0] + 0.125, *row[1:]]
    body = {"inputs": [tensor([changed])]}
    assert call(port, "POST", INFER, body)[0] == 200
    assert call(port, "POST", INFER, body)[1]["x-cache-hit"] == "true"
    fresh = call(port, "POST", INFER, body, {"Cache-Control": "no-cache"})
    assert fresh[1]["x-cache-hit"] == "false"
