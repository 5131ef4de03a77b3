"""What a fitted estimator says of itself: its inputs, what values it takes, its outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from engine.errors import ArtefactError
from engine.models.describe import Description, describe_estimator
from engine.models.model_toml import Declaration, parse_model_toml
from engine.models.repository import ModelEntry
from engine.types import TensorSpec

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
COLOURS = np.array([["red", "s"], ["blue", "m"], ["red", "l"], ["blue", "s"]], dtype=object)


def described(tmp_path: Path, estimator: Any, toml: str = "") -> Description:
    declared = parse_model_toml(toml.encode()) if toml else Declaration()
    (tmp_path / "1").mkdir()
    entry = ModelEntry("m", "1", tmp_path / "1/model.skops", "", declared=declared)
    return describe_estimator(entry, estimator)


def test_numbers_are_one_matrix_with_the_names_it_was_trained_on(tmp_path: Path) -> None:
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    found = described(tmp_path, LogisticRegression().fit(table, Y))
    assert found.signature.inputs == (TensorSpec("input", "FP64", (-1, 3)),)
    assert found.signature.columns == ("a", "b", "c")
    assert [spec.name for spec in found.signature.outputs][:2] == ["predict", "predict_proba"]
    assert found.signature.outputs[1].shape == (-1, 2)
    assert found.signature.classes == ("0", "1")
    assert found.signature.nan_inputs == frozenset()
    assert not found.signature.finite_float32


def test_trees_refuse_what_is_beyond_float32(tmp_path: Path) -> None:
    found = described(tmp_path, RandomForestClassifier(3, random_state=0).fit(X, Y))
    assert found.signature.finite_float32


def test_who_takes_nan_is_found_to(tmp_path: Path) -> None:
    found = described(tmp_path, HistGradientBoostingClassifier(max_iter=2).fit(X, Y))
    assert found.signature.nan_inputs == {"input"}
    assert np.isnan(found.rows["input"]).any()


def test_raw_text_is_one_input_of_texts(tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        ["one two", "three four"], [0, 1]
    )
    found = described(tmp_path, model)
    assert found.signature.inputs == (TensorSpec("input", "BYTES", (-1,)),)
    assert "" in found.rows["input"].tolist()


def test_columns_that_all_hold_text_are_one_matrix_of_it(tmp_path: Path) -> None:
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline(encoder, LogisticRegression()).fit(COLOURS, [0, 1, 0, 1])
    found = described(tmp_path, model)
    assert found.signature.inputs == (TensorSpec("input", "BYTES", (-1, 2)),)


def test_columns_of_both_kinds_are_inputs_by_name_and_know_their_texts(tmp_path: Path) -> None:
    table = pandas.DataFrame({"colour": ["red", "blue", "red", "blue"], "size": [1.0, 2, 3, 4]})
    parts = ColumnTransformer([("codes", OneHotEncoder(), ["colour"])], remainder="passthrough")
    model = make_pipeline(parts, LogisticRegression()).fit(table, [0, 1, 0, 1])
    found = described(tmp_path, model)
    assert found.signature.inputs == (
        TensorSpec("colour", "BYTES", (-1,)),
        TensorSpec("size", "FP64", (-1,)),
    )
    assert found.signature.categories == {"colour": frozenset({"red", "blue"})}
    assert found.recipe["frame"] == ["colour", "size"]
    assert set(found.rows["colour"].tolist()) == {"red", "blue"}  # no other binds
    assert found.example["colour"][0] in ("red", "blue")


def test_columns_without_names_that_hold_both_are_numbered(tmp_path: Path) -> None:
    table = np.array([["red", 1.0], ["blue", 2.0], ["red", 3.0]], dtype=object)
    parts = ColumnTransformer([("codes", OneHotEncoder(), [0])], remainder="passthrough")
    model = make_pipeline(parts, LinearRegression()).fit(table, [1.0, 2.0, 3.0])
    names = [spec.name for spec in described(tmp_path, model).signature.inputs]
    assert names == ["x0", "x1"]


def test_one_declared_input_has_its_name_and_the_estimators_width(tmp_path: Path) -> None:
    toml = '[[inputs]]\nname = "amounts"\nshape = [-1, -1]\n'
    found = described(tmp_path, LinearRegression().fit(X, Y), toml)
    assert found.signature.inputs == (TensorSpec("amounts", "FP64", (-1, 3)),)


def test_several_declared_inputs_are_taken_as_they_are(tmp_path: Path) -> None:
    table = pandas.DataFrame({"a": [1.0, 2, 3], "b": [3.0, 2, 1]})
    toml = '[[inputs]]\nname = "a"\n[[inputs]]\nname = "b"\n'
    found = described(tmp_path, LinearRegression().fit(table, [1.0, 2.0, 3.0]), toml)
    assert [spec.name for spec in found.signature.inputs] == ["a", "b"]
    assert found.recipe["frame"] == ["a", "b"]


def test_several_targets_give_an_output_each_where_they_are_told_apart(tmp_path: Path) -> None:
    targets = np.column_stack([Y, 1 - Y])
    found = described(tmp_path, RandomForestClassifier(2, random_state=0).fit(X, targets))
    names = [spec.name for spec in found.signature.outputs]
    assert names == ["predict", "predict_proba_0", "predict_proba_1"]
    assert found.signature.classes == ()


def test_a_method_that_is_there_and_does_not_answer_is_not_on_offer(tmp_path: Path) -> None:
    class Half(LinearRegression):  # type: ignore[misc]
        def predict_proba(self, rows: Any) -> Any:
            raise RuntimeError("not on this one")

    found = described(tmp_path, Half().fit(X, Y))
    assert [spec.name for spec in found.signature.outputs] == ["predict"]


class Silent(BaseEstimator):  # type: ignore[misc]
    """Has inputs, and no method that answers."""

    n_features_in_ = 2


class Refusing(Silent):
    def predict(self, rows: Any) -> Any:
        raise ValueError("never")


class Picky(Silent):
    """Answers rows below ten only."""

    def predict(self, rows: Any) -> Any:
        if (np.abs(rows) > 10).any() or np.isnan(rows).any():
            raise ValueError("too large")
        return rows[:, 0]


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (Silent(), "m has none of the methods predict"),
        (BaseEstimator(), "m: the number of its inputs cannot be told; declare them in model.toml"),
        (Refusing(), "the model answers none of its calibration rows"),
    ],
)
def test_what_cannot_be_told_is_said(tmp_path: Path, estimator: Any, said: str) -> None:
    with pytest.raises(ArtefactError, match=said):
        described(tmp_path, estimator)


def test_rows_that_a_model_refuses_are_kept_apart(tmp_path: Path) -> None:
    found = described(tmp_path, Picky())
    assert np.abs(found.rows["input"]).max() <= 10
    assert found.refused
    assert all(np.abs(row["input"]).max() > 10 for row in found.refused)


def test_an_outlier_detector_without_novelty_has_no_output(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError):
        described(tmp_path, LocalOutlierFactor(n_neighbors=3).fit(X))


def test_nan_in_an_example_is_null(tmp_path: Path) -> None:
    found = described(tmp_path, HistGradientBoostingClassifier(max_iter=2).fit(X, Y))
    object.__setattr__(found, "rows", {"input": np.array([[1.0, np.nan, 2.0]])})
    assert found.example == {"input": [[1.0, None, 2.0]]}
