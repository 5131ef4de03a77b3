"""Copies of scikit-learn's trees that one call of its own C walks together.

The call is `predict_stages`, made for gradient boosting. It sends every NaN right, so the
copies read widened rows:

    row    x0 x1 .. xF-1, then the same with NaN as -inf
    node   reads the first half if it sends NaN right, the second if it sends NaN left
    leaf   holds the number that is added to a row's sum
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

_MISSING = np.float32(-np.inf)


def as_float32(rows: np.ndarray) -> np.ndarray:
    """Rows as scikit-learn's trees read them: C order, infinite beyond float32's range."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)


class TreeCopies:
    """The copies of one ensemble's trees; nothing of the ensemble itself is kept."""

    def __init__(
        self,
        trees: Sequence[Any],
        leaf_values: Sequence[np.ndarray],
        features: int,
        columns: Sequence[np.ndarray] | None = None,
    ) -> None:
        """leaf_values: a number a node, of which only the leaves' count, by tree.

        features: columns of the rows. columns: those that each tree was given, if not all.
        """
        from sklearn.ensemble._gradient_boosting import predict_stages

        self._predict_stages = predict_stages
        self._features = features
        copies = [
            _copy(tree, values, features, columns[place] if columns is not None else None)
            for place, (tree, values) in enumerate(zip(trees, leaf_values, strict=True))
        ]
        # The call wants stages of estimators, of which it reads `tree_` alone: one stage
        # with a column a tree, or stages that share one column.
        self._stage = np.empty((1, len(copies)), dtype=object)
        self._stage[0] = [SimpleNamespace(tree_=copy) for copy in copies]
        self._stages = self._stage.T

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """The leaves' numbers added in the order of the trees, from 0: float64 (n,)."""
        sums = np.zeros((len(rows), 1))
        self._predict_stages(self._stages, self._widened(rows), 1.0, sums)
        return sums.ravel()

    def each(self, rows: np.ndarray) -> np.ndarray:
        """Every tree's number for every row: float64 (trees, n)."""
        numbers = np.zeros((self._stage.size, len(rows)))
        self._predict_stages(self._stage, self._widened(rows), 1.0, numbers.T)
        return numbers

    def _widened(self, rows: np.ndarray) -> np.ndarray:
        features = self._features
        cells = np.empty((len(rows), 2 * features), dtype=np.float32)
        with np.errstate(over="ignore"):
            cells[:, :features] = rows
        np.fmax(cells[:, :features], _MISSING, out=cells[:, features:])
        return cells


def _copy(tree: Any, values: np.ndarray, features: int, columns: np.ndarray | None) -> Any:
    make, _, state = tree.__reduce__()
    nodes = state["nodes"].copy()
    inner = nodes["left_child"] >= 0
    read = nodes["feature"]
    if columns is not None:
        read[inner] = columns[read[inner]]
    read[inner & (nodes["missing_go_to_left"] == 1)] += features
    copy = make(2 * features, np.ones(1, dtype=np.intp), 1)
    numbers = np.ascontiguousarray(values, dtype=np.float64).reshape(-1, 1, 1)
    copy.__setstate__({**state, "nodes": nodes, "values": numbers})
    return copy
