"""The rows that forms are compared on: real ones, on thresholds, and odd ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from engine.models.calibration import (
    BEYOND_FLOAT32,
    HUGE,
    MADE_UP_ROWS,
    NASTY_TEXTS,
    center_and_scale,
    mixed_rows,
    number_rows,
    text_matrix_rows,
    text_rows,
    thresholds_of,
)
from engine.models.columns import column_kinds, final_step, first_steps, parts_of
from engine.types import TensorSpec

RNG = np.random.default_rng(3)
X = RNG.normal(size=(80, 3)) * [1, 10, 100] + [0, 5, -50]
Y = (X[:, 0] + X[:, 1] / 10 > 0.5).astype(int)


def test_rows_lie_on_and_beside_every_threshold_in_both_precisions() -> None:
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, Y)
    rows = number_rows(tree, 3, X, beyond_float32=False)
    pairs = list(thresholds_of(tree))
    assert len(pairs) == int((tree.tree_.feature >= 0).sum()) > 1
    for feature, threshold in pairs:
        single = np.float32(threshold)
        for wanted in (
            threshold,
            np.nextafter(threshold, -np.inf),
            np.nextafter(threshold, np.inf),
            float(np.nextafter(single, np.float32(-np.inf))),
            float(np.nextafter(single, np.float32(np.inf))),
        ):
            assert wanted in rows[:, feature]


def test_thresholds_behind_a_scaler_are_brought_back_to_the_callers_columns() -> None:
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=2)).fit(X, Y)
    rows = number_rows(model, 3, X, beyond_float32=False)
    scaled = model[0].transform(rows)
    for feature, threshold in thresholds_of(model[-1]):
        assert np.abs(scaled[:, feature] - threshold).min() < 1e-9


def test_a_step_that_cannot_be_undone_has_no_rows_on_thresholds() -> None:
    model = make_pipeline(Normalizer(), DecisionTreeClassifier(max_depth=2)).fit(X, Y)
    plain = number_rows(LinearRegression().fit(X, Y), 3, X, beyond_float32=False)
    assert len(number_rows(model, 3, X, beyond_float32=False)) == len(plain)


def test_boosted_trees_have_thresholds_too() -> None:
    model = HistGradientBoostingRegressor(max_iter=3, random_state=0).fit(X, Y)
    pairs = list(thresholds_of(model))
    assert pairs
    assert {feature for feature, _ in pairs} <= {0, 1, 2}
    assert np.isfinite([threshold for _, threshold in pairs]).all()


@pytest.mark.parametrize(("beyond", "takes_nan"), [(False, False), (True, True)])
def test_odd_numbers_are_among_the_rows(beyond: bool, takes_nan: bool) -> None:
    rows = number_rows(
        LinearRegression().fit(X, Y), 3, X, beyond_float32=beyond, takes_nan=takes_nan
    )
    assert all(value in rows for value in HUGE)
    assert all((value in rows) == beyond for value in BEYOND_FLOAT32)
    assert (rows == 0).all(axis=1).sum() == 2  # zero, and minus zero
    assert np.signbit(rows[(rows == 0).all(axis=1)]).all(axis=1).tolist() == [False, True]
    assert np.isnan(rows).any() == takes_nan
    assert np.isnan(rows).all(axis=1).any() == takes_nan


def test_rows_are_the_same_on_every_run_and_made_up_where_there_are_no_samples() -> None:
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    one, other = (number_rows(forest, 3, None, beyond_float32=False) for _ in range(2))
    assert np.array_equal(one, other)
    assert len(one) > MADE_UP_ROWS


@pytest.mark.parametrize(
    ("scaler", "center", "scale"),
    [
        (StandardScaler(), lambda s: s.mean_, lambda s: s.scale_),
        (
            MinMaxScaler(),
            lambda s: (s.data_min_ + s.data_max_) / 2,
            lambda s: (s.data_max_ - s.data_min_) / 2,
        ),
    ],
)
def test_made_up_rows_lie_where_the_models_scaler_says(
    scaler: Any, center: Any, scale: Any
) -> None:
    model = make_pipeline(scaler, LinearRegression()).fit(X, Y)
    found = center_and_scale(model, 3)
    assert np.allclose(found[0], center(model[0]))
    assert np.allclose(found[1], scale(model[0]))


def test_made_up_rows_of_trees_reach_their_thresholds() -> None:
    tree = DecisionTreeClassifier(random_state=0).fit(X, Y)
    center, scale = center_and_scale(tree, 3)
    assert center.tolist() == [0, 0, 0]
    for feature, threshold in thresholds_of(tree):
        assert scale[feature] >= abs(threshold)


def test_texts_are_real_ones_and_those_that_tokenisers_disagree_on() -> None:
    texts = text_rows(np.array(["a\nb", "c"], dtype=object)).tolist()
    assert texts[:4] == ["a\nb", "c", "a\r\nbé", "cé"]
    assert set(NASTY_TEXTS) <= set(texts)
    assert text_rows(None).tolist() == list(NASTY_TEXTS)


def test_columns_of_text_take_what_their_encoder_knows_and_one_odd_text_each() -> None:
    rows = text_matrix_rows(2, None, {0: ["red", "blue"]})
    assert set(rows[:MADE_UP_ROWS, 0]) == {"red", "blue"}
    odd = rows[MADE_UP_ROWS:]
    assert len(odd) == len(NASTY_TEXTS)
    assert all(text in row for text, row in zip(NASTY_TEXTS, odd.tolist(), strict=True))
    given = np.array([["x", "y"]], dtype=object)
    assert text_matrix_rows(2, given, {})[0].tolist() == ["x", "y"]


def test_inputs_of_several_kinds_are_odd_one_at_a_time() -> None:
    specs = (
        TensorSpec("amount", "FP64", (-1,)),
        TensorSpec("country", "BYTES", (-1,)),
        TensorSpec("flag", "INT64", (-1,)),
        TensorSpec("small", "FP32", (-1, 2)),
    )
    samples = {"amount": np.array([[1.0], [2.0], [3.0]]), "flag": np.array([1, 0])}
    known = {"country": ["de", "fr"]}
    rows = mixed_rows(specs, samples, known, frozenset({"amount"}))
    assert len({len(array) for array in rows.values()}) == 1
    assert rows["amount"][:2].tolist() == [1.0, 2.0]  # as many as the input with the fewest
    assert rows["small"].shape[1:] == (2,)
    odd_amounts = ~np.isin(rows["amount"], [1.0, 2.0])
    odd_texts = ~np.isin(rows["country"].astype(str), ["de", "fr"])
    assert np.isnan(rows["amount"][odd_amounts]).sum() == 1
    assert {1e30, -1e30, 0.0} <= set(rows["amount"][odd_amounts].tolist())
    assert set(rows["country"][odd_texts]) == set(NASTY_TEXTS)
    assert not (odd_amounts & odd_texts).any()


# Which columns hold text


def test_an_encoders_columns_hold_text_that_it_knows() -> None:
    table = np.array([["red", 1], ["blue", 2], ["red", 3]], dtype=object)
    kinds = column_kinds(OneHotEncoder().fit(table))
    assert kinds.text == {0}
    assert sorted(kinds.known[0]) == ["blue", "red"]
    assert kinds.closed == {0}
    assert column_kinds(OneHotEncoder(handle_unknown="ignore").fit(table)).closed == set()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [([1], {1}), (slice(1, 2), {1}), ([False, True, False], {1}), (slice(1, None), {1, 2})],
)
def test_a_column_transformer_is_followed_into_its_parts(chosen: Any, expected: set[int]) -> None:
    table = np.array([["a", "x", "p"], ["b", "y", "q"]], dtype=object)
    model = ColumnTransformer([("codes", OneHotEncoder(), chosen)], remainder="drop").fit(table)
    kinds = column_kinds(make_pipeline(model, LinearRegression()).fit(table, [0, 1]))
    assert kinds.text == expected
    assert not kinds.by_name


@pytest.mark.parametrize("chosen", [["b"], slice("b", "b")])
def test_columns_chosen_by_name_need_their_names(chosen: Any) -> None:
    import pandas

    table = pandas.DataFrame({"a": ["x", "y"], "b": ["p", "q"]})
    kinds = column_kinds(ColumnTransformer([("codes", OneHotEncoder(), chosen)]).fit(table))
    assert (kinds.text, kinds.by_name) == ({1}, True)


def test_an_imputer_of_text_shows_which_columns_hold_it() -> None:
    table = np.array([["a", 1.0], ["a", 2.0], ["b", 2.0]], dtype=object)
    kinds = column_kinds(SimpleImputer(strategy="most_frequent").fit(table))
    assert kinds.text == {0}


def test_a_vectoriser_takes_raw_text_alone_or_in_a_union() -> None:
    texts = ["a word", "two words"]
    for model in (
        make_pipeline(CountVectorizer(), LinearRegression()),
        make_pipeline(FeatureUnion([("one", CountVectorizer())]), LinearRegression()),
    ):
        assert column_kinds(model.fit(texts, [0, 1])).raw_text


def test_steps_are_found_whatever_they_are_wrapped_in() -> None:
    scaler, linear = StandardScaler(), LinearRegression()
    model = make_pipeline("passthrough", make_pipeline(scaler, linear))
    assert first_steps(model) == [scaler]
    assert final_step(model) is linear
    assert first_steps(make_pipeline("passthrough")) == []
    union = make_pipeline(FeatureUnion([("one", scaler), ("none", "passthrough")]), linear)
    assert {scaler, linear} <= set(parts_of(union))
