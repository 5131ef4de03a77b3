"""Does a compiled form give scikit-learn's answers?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Parity:
    """The comparison of one form with the oracle over all calibration rows.

    unequal_labels: rows whose discrete answer differs. max_difference: largest
    |form - oracle| / max(1, |oracle|) over all real-valued answers (0 where none).
    """

    rows: int
    unequal_labels: int
    max_difference: float

    def agrees(self, tolerance: float) -> bool:
        return self.unequal_labels == 0 and self.max_difference <= tolerance

    def as_dict(self) -> dict[str, object]:
        return {
            "rows": self.rows,
            "unequal_labels": self.unequal_labels,
            "max_difference": self.max_difference,
        }


def compare(oracle: Mapping[str, np.ndarray], form: Mapping[str, np.ndarray]) -> Parity:
    """Compare the outputs that `form` has; shapes must match the oracle's.

    Discrete outputs (integers, booleans, text) must be equal; real ones are measured.
    A NaN counts as an infinite difference unless both have it.
    """
    rows = len(next(iter(oracle.values())))
    unequal = np.zeros(rows, dtype=bool)
    largest = 0.0
    for name, answer in form.items():
        expected = oracle[name]
        if expected.shape != answer.shape:
            return Parity(rows, rows, float("inf"))
        if expected.dtype.kind == "f":
            largest = max(largest, _largest_difference(expected, answer))
        else:
            unequal |= (expected != answer).reshape(rows, -1).any(axis=1)
    return Parity(rows, int(unequal.sum()), largest)


def differences(
    oracle: Mapping[str, np.ndarray], form: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """By output, each row's largest difference, float64 (n,); unequal labels are infinite.

    An output of another shape than the oracle's differs in all its rows.
    """
    found = {}
    for name, answer in form.items():
        expected, rows = oracle[name], len(answer)
        if expected.shape != answer.shape:
            found[name] = np.full(rows, np.inf)
        elif expected.dtype.kind == "f":
            each = _differences(expected, answer).reshape(rows, -1)
            found[name] = each.max(axis=1, initial=0.0)
        else:
            unequal = (expected != answer).reshape(rows, -1).any(axis=1)
            found[name] = np.where(unequal, np.inf, 0.0)
    return found


def _largest_difference(expected: np.ndarray, answer: np.ndarray) -> float:
    return float(_differences(expected, answer).max(initial=0.0))


def _differences(expected: np.ndarray, answer: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        difference: np.ndarray = np.abs(answer - expected) / np.maximum(1.0, np.abs(expected))
    difference[(answer == expected) | (np.isnan(answer) & np.isnan(expected))] = 0.0
    difference[np.isnan(difference)] = np.inf
    return difference
