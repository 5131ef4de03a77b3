"""Callers' tensors against a signature: what is bound, and what each refusal says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.models.signature import (
    Signature,
    holds_nan,
    rows_with_nan,
    signature_from_dict,
)
from engine.types import TensorSpec

OUT = (TensorSpec("predict", "FP64", (-1,)), TensorSpec("predict_proba", "FP64", (-1, 2)))
MATRIX = Signature((TensorSpec("input", "FP64", (-1, 3)),), OUT)
NAMED = Signature((TensorSpec("input", "FP64", (-1, 2)),), OUT, columns=("amount", "age"))
MIXED = Signature(
    (TensorSpec("amount", "FP64", (-1,)), TensorSpec("country", "BYTES", (-1,))),
    OUT,
    nan_inputs=frozenset({"amount"}),
    categories={"country": frozenset({"de", "fr", "it", "nl", "pl", "se"})},
)
GRAPH = Signature(
    (TensorSpec("a", "INT8", (-1, 2)), TensorSpec("b", "FP32", (-1,))), OUT, as_declared=True
)


def text(*words: str) -> np.ndarray:
    return np.array(words, dtype=object)


def refusal(signature: Signature, **tensors: np.ndarray) -> str:
    with pytest.raises(InvalidInput) as raised:
        signature.bind(tensors)
    return str(raised.value)


def test_usual_rows_are_bound_without_a_copy() -> None:
    rows = np.ones((4, 3))
    assert MATRIX.bind({"input": rows})["input"] is rows


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((2, 3), dtype=np.int64),
        np.ones((2, 3), dtype=np.float32),
        np.asfortranarray(np.ones((2, 3))),
        np.full((2, 3), 1e200),
    ],
    ids=["integers", "float32", "by columns", "large"],
)
def test_other_numbers_become_rows_of_float64(rows: np.ndarray) -> None:
    bound = MATRIX.bind({"input": rows})["input"]
    assert (bound.dtype, bound.flags.c_contiguous) == (np.dtype(np.float64), True)
    assert np.array_equal(bound, rows)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.ones((2, 2)), "input 'input' has shape [2, 2]; the model takes [-1, 3]"),
        (np.ones(3), "input 'input' has shape [3]; the model takes [-1, 3]"),
        (np.ones((0, 3)), "input 'input' has 0 rows; at least 1 is needed"),
        (np.full((1, 3), np.nan), "input 'input' holds NaN, infinity or a value beyond 1.8e+308"),
        (np.full((1, 3), -np.inf), "input 'input' holds NaN, infinity"),
        (np.full((1, 3), "x", dtype=object), "input 'input' is BYTES; it takes numbers"),
    ],
)
def test_rows_that_do_not_fit_are_named(rows: np.ndarray, said: str) -> None:
    assert refusal(MATRIX, input=rows).startswith(said)


def test_trees_refuse_what_float32_cannot_carry() -> None:
    trees = Signature(MATRIX.inputs, OUT, finite_float32=True)
    trees.bind({"input": np.full((1, 3), 3.4e38)})
    assert "beyond 3.4e+38 in size" in refusal(trees, input=np.full((1, 3), 3.5e38))


def test_who_takes_nan_still_refuses_infinity() -> None:
    taking = Signature(MATRIX.inputs, OUT, nan_inputs=frozenset({"input"}))
    assert np.isnan(taking.bind({"input": np.full((1, 3), np.nan)})["input"]).all()
    said = refusal(taking, input=np.array([[np.nan, np.inf, 0.0]]))
    assert said == "input 'input' holds infinity or a value beyond 1.8e+308 in size"


def test_columns_may_come_one_by_one_in_any_order() -> None:
    bound = NAMED.bind({"age": np.array([[30], [40]]), "amount": np.array([1.5, 2.5])})
    assert bound["input"].tolist() == [[1.5, 30.0], [2.5, 40.0]]
    assert NAMED.bind({"input": np.ones((1, 2))})["input"].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"amount": np.ones(1)}, "missing input 'age'"),
        (
            {"amount": np.ones(1), "age": np.ones(1), "x": np.ones(1)},
            "unexpected input 'x'",
        ),
        ({"amount": np.ones((2, 2)), "age": np.ones(2)}, "a column has [rows] or [rows, 1]"),
        ({"amount": np.ones(2), "age": np.ones(3)}, "columns differ in rows"),
        ({"amount": np.array([np.nan]), "age": np.ones(1)}, "input 'amount' holds NaN"),
        ({"amount": text("1"), "age": np.ones(1)}, "input 'amount' is BYTES"),
    ],
)
def test_columns_that_do_not_fit_are_named(tensors: dict[str, np.ndarray], said: str) -> None:
    assert said in refusal(NAMED, **tensors)


def test_names_missing_and_unknown_are_both_told_and_cut_short() -> None:
    many = Signature(tuple(TensorSpec(f"i{n}", "FP64", (-1,)) for n in range(6)), OUT)
    said = refusal(many, i0=np.ones(1), **{"z" * 200: np.ones(1)})
    assert said == f"missing input 'i1', 'i2', 'i3' and 2 more; unexpected input {'z' * 80!r}"


def test_inputs_of_one_request_have_the_same_rows() -> None:
    bound = MIXED.bind({"amount": np.array([[1.0], [np.nan]]), "country": text("de", "fr")})
    assert bound["amount"].shape == (2,)
    said = refusal(MIXED, amount=np.ones(3), country=text("de"))
    assert said == "inputs differ in rows: amount has 3, country has 1"


def test_an_unknown_text_is_refused_where_the_model_knows_a_closed_list() -> None:
    said = refusal(MIXED, amount=np.ones(1), country=text("xx"))
    assert said == "input 'country' is 'xx'; it takes 'de', 'fr', 'it', 'nl', 'pl' and 1 more"
    assert "is FP64; it takes BYTES" in refusal(MIXED, amount=np.ones(1), country=np.ones(1))


def test_graphs_get_their_own_datatypes() -> None:
    bound = GRAPH.bind({"a": np.array([[1.0, -128.0]]), "b": np.array([0.1])})
    assert (bound["a"].dtype, bound["b"].dtype) == (np.dtype(np.int8), np.dtype(np.float32))
    same = np.ones((1, 2), dtype=np.int8)
    assert GRAPH.bind({"a": same, "b": np.ones(1, np.float32)})["a"] is same


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.array([[1.5, 0.0]]), np.ones(1), "input 'a' holds a value that INT8 cannot carry"),
        (np.array([[300, 0]]), np.ones(1), "input 'a' holds a value that INT8 cannot carry"),
        (np.zeros((1, 2)), np.array([1e300]), "input 'b' holds a value that FP32 cannot carry"),
        (np.zeros((1, 2), dtype=bool), np.ones(1), "input 'a' is BOOL; it takes INT8"),
        (np.zeros((1, 2)), text("x"), "input 'b' is BYTES; it takes FP32"),
    ],
)
def test_what_a_graphs_datatype_cannot_carry_is_named(
    a: np.ndarray, b: np.ndarray, said: str
) -> None:
    assert refusal(GRAPH, a=a, b=b) == said


def test_infinity_is_carried_by_graphs_as_it_is() -> None:
    bound = GRAPH.bind({"a": np.zeros((1, 2)), "b": np.array([np.inf])})
    assert np.isinf(bound["b"]).all()


def test_outputs_asked_for_must_be_known() -> None:
    assert MATRIX.check_outputs(()) == ("predict",)
    assert MATRIX.check_outputs(("predict_proba", "predict")) == ("predict_proba", "predict")
    with pytest.raises(InvalidInput, match="output 'odds' is unknown; it has predict, predict_pr"):
        MATRIX.check_outputs(("odds",))


def test_only_a_graph_has_a_fixed_number_of_rows() -> None:
    fixed = Signature((TensorSpec("a", "FP32", (4, 2)),), OUT, as_declared=True)
    assert (fixed.fixed_rows, GRAPH.fixed_rows, MATRIX.fixed_rows) == (4, 0, 0)


@pytest.mark.parametrize("signature", [MATRIX, NAMED, MIXED, GRAPH])
def test_a_stored_signature_is_the_same_one(signature: Signature) -> None:
    stored = json.loads(json.dumps(signature.as_dict()))
    assert signature_from_dict(stored) == signature
    stored["inputs"][0]["datatype"] = "FP128"
    with pytest.raises(TypeError, match="FP128"):
        signature_from_dict(stored)


def test_nan_is_found_in_rows_and_in_whole_arrays() -> None:
    rows = {"a": np.array([[1.0, np.nan], [1.0, 2.0]]), "t": text("x", "y")}
    assert rows_with_nan(rows).tolist() == [True, False]
    assert holds_nan(rows["a"])
    assert not holds_nan(np.array([1e200, -1e200]))  # its product overflows to infinity, not NaN
