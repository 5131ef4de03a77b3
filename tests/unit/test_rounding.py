"""Fewer decimals: the error is bounded, and nothing becomes zero."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.rounding import rounded, rounded_value, without_none

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(st.lists(FINITE, min_size=1, max_size=20), st.integers(0, 15))
def test_rounding_errs_by_half_a_unit_and_keeps_zeros_apart(
    values: list[float], decimals: int
) -> None:
    array = np.array(values)
    short = rounded(array, decimals)
    assert (np.abs(short - array) <= 0.51 * 10.0**-decimals + 1e-15 * np.abs(array)).all()
    assert ((short == 0) == (array == 0)).all()
    for value in values:
        one = rounded_value(value, decimals)
        assert abs(one - value) <= 0.51 * 10.0**-decimals + 1e-15 * abs(value)
        assert (one == 0) == (value == 0)


def test_other_kinds_are_left_alone() -> None:
    whole, text = np.array([1, 2]), np.array(["a"], dtype=object)
    assert rounded(whole, 0) is whole
    assert rounded(text, 0) is text
    assert np.isnan(rounded(np.array([np.nan]), 2)).all()
    assert rounded_value({"a": [1, True, "x", None, 0.126]}, 2) == {"a": [1, True, "x", None, 0.13]}


def test_absent_values_go_at_every_depth_but_lists_keep_their_places() -> None:
    value = {"a": None, "b": {"c": None, "d": [None, {"e": None, "f": 0}]}, "g": False}
    assert without_none(value) == {"b": {"d": [None, {"f": 0}]}, "g": False}
