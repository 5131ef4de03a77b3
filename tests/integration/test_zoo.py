"""A part of the zoo, through the same code as `make zoo`: equal answers over HTTP."""

from __future__ import annotations

import pytest

from bench.zoo import Result, run_zoo

NAMES = (
    "count_nb",
    "hist_with_missing",
    "isolation_forest",
    "lightgbm",
    "multi_output_forest",
    "one_hot_strings",
    "onnx_file",
    "python_file",
    "scaled_forest",
    "table_logistic",
    "xgboost",
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    results = run_zoo(tmp_path_factory.mktemp("zoo"), NAMES)
    return {result.name: result for result in results}


@pytest.mark.parametrize("name", NAMES)
def test_answers_over_http_equal_the_models_own(zoo: dict[str, Result], name: str) -> None:
    result = zoo[name]
    assert result.failure == ""
    assert result.rows >= 1000
    assert result.outputs
    assert result.passed, result
