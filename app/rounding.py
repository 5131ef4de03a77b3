"""Fewer decimals in answers, by request or by model: never a zero where there was none."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_DECIMALS = 15
WHOLE_FROM = 2.0**52


def rounded(array: np.ndarray, decimals: int) -> np.ndarray:
    """Float values to so many decimals; one that would become 0 keeps its first digits."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        short = np.round(array, decimals)
    # A large value has no decimals to lose, and rounding it would pass through infinity.
    large = ~(np.abs(array) < WHOLE_FROM)
    short[large] = array[large]
    lost = (short == 0) & (array != 0)
    if lost.any():
        digits = f"%.{max(0, decimals - 1)}e"
        short[lost] = [float(digits % value) for value in array[lost].tolist()]
    return short


def rounded_value(value: Any, decimals: int) -> Any:
    """`rounded` for every float in a JSON value, at every depth."""
    if isinstance(value, float):
        short = round(value, decimals)
        return short if short or not value else float(f"{value:.{max(0, decimals - 1)}e}")
    if isinstance(value, dict):
        return {key: rounded_value(item, decimals) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded_value(item, decimals) for item in value]
    return value


def without_none(value: Any) -> Any:
    """A JSON value without the keys whose value is None, at every depth; lists keep theirs."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value
