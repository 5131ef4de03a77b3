"""scikit-learn's own trees, walked without its per-call dispatch.

For one row, a forest of 100 trees spends milliseconds on validation, joblib and a Python
wrapper a tree, and microseconds on its trees. Here one call of scikit-learn's own C walks
them all, and what is done around it is done as scikit-learn does it, in the same order, so
the answers are the same bit for bit. (With `n_jobs` above 1 a forest adds its trees in the
order in which threads end, and differs from itself in the last bits from call to call.)

    rows (n, features) -> scores, n first -> outputs, each read off the same scores
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.models.backends.tree_copies import TreeCopies, as_float32

NAME = "scikit-learn-trees"

WALKS_PER_CALL = 2**15
"""Most rows times trees in one call of C, which keeps the interpreter's lock: about 3 ms.

Giving the lock back after each tree, as `Tree.apply` does, is slower where it is contended:
the walk then waits for it once a tree.
"""

Step = Callable[[np.ndarray], np.ndarray]
Walk = tuple[Step, Mapping[str, Step]]
"""Rows -> scores, and scores -> output by the output's name."""


def can_walk(estimator: Any) -> bool:
    """True for a fitted tree or ensemble of scikit-learn's own classes with one target.

    Gradient boosting may start from zero or from a constant, not from a model.
    """
    kind = type(estimator)
    if not kind.__module__.startswith("sklearn.") or kind.__name__ not in _WALKS:
        return False
    if _WALKS[kind.__name__] is _boosted_trees and not _starts_constant(estimator):
        return False
    is_fitted = hasattr(estimator, "tree_") or hasattr(estimator, "estimators_")
    return is_fitted and getattr(estimator, "n_outputs_", 1) == 1


def _starts_constant(estimator: Any) -> bool:
    start: Any = getattr(estimator, "init_", None)
    if type(start).__module__ == "sklearn.dummy":
        return start.strategy not in ("stratified", "uniform")
    return isinstance(start, str) and start == "zero"


class TreeWalkBackend:
    """Walks one estimator's trees over rows that the estimator itself would take."""

    name = NAME

    def __init__(self, estimator: Any) -> None:
        """Raises ValueError for an estimator that `can_walk` refuses."""
        family = type(estimator).__name__
        if not can_walk(estimator):
            raise ValueError(f"{family} cannot be walked as scikit-learn's own trees")
        self._scores, self._outputs = _WALKS[family](estimator)
        trees = np.size(getattr(estimator, "estimators_", 1))
        self._most_rows = max(1, WALKS_PER_CALL // trees)
        self.covers = frozenset(self._outputs)

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        (rows,) = inputs.values()
        most = self._most_rows
        if len(rows) <= most:
            scores = self._scores(rows)
        else:
            parts = [self._scores(rows[at : at + most]) for at in range(0, len(rows), most)]
            scores = np.concatenate(parts)
        return {name: self._outputs[name](scores) for name in outputs}


def _single_tree(estimator: Any) -> Walk:
    values = estimator.tree_.predict
    if not hasattr(estimator, "classes_"):
        return lambda rows: values(as_float32(rows))[:, 0], {"predict": _as_it_is}
    return lambda rows: values(as_float32(rows)), _class_outputs(estimator.classes_)


def _forest_regressor(estimator: Any) -> Walk:
    trees = [member.tree_ for member in estimator.estimators_]
    count = len(trees)
    copies = TreeCopies(trees, [tree.value for tree in trees], estimator.n_features_in_)
    return lambda rows: copies.sums(rows) / count, {"predict": _as_it_is}


def _forest_classifier(estimator: Any) -> Walk:
    trees = [member.tree_ for member in estimator.estimators_]
    count = len(trees)
    # A leaf of a copy holds its line in one table of class shares.
    is_leaf = [tree.children_left < 0 for tree in trees]
    table = np.concatenate([t.value[leaf, 0] for t, leaf in zip(trees, is_leaf, strict=True)])
    lines = np.cumsum(np.concatenate(is_leaf)) - 1.0
    ends = np.cumsum([tree.node_count for tree in trees])
    copies = TreeCopies(trees, np.split(lines, ends[:-1]), estimator.n_features_in_)

    def shares(rows: np.ndarray) -> np.ndarray:
        by_tree = table.take(copies.each(rows).astype(np.intp), axis=0)
        # numpy sums by pairs along the fastest axis only; along this one term by term.
        sums: np.ndarray = np.add.reduce(by_tree, axis=0)
        sums /= count
        return sums

    return shares, _class_outputs(estimator.classes_)


def _isolation_forest(estimator: Any) -> Walk:
    from sklearn.ensemble._iforest import _average_path_length

    trees = [member.tree_ for member in estimator.estimators_]
    count, features = len(trees), estimator.n_features_in_
    columns = estimator.estimators_features_ if estimator._max_features != features else None
    depths = [
        path + unsplit - 1.0
        for path, unsplit in zip(
            estimator._decision_path_lengths, estimator._average_path_length_per_tree, strict=True
        )
    ]
    copies = TreeCopies(trees, depths, features, columns)
    (usual_depth,) = count * _average_path_length([estimator._max_samples])
    offset = estimator.offset_

    def decision(rows: np.ndarray) -> np.ndarray:
        depth = copies.sums(rows)
        # A forest fitted on one row has no depth; scikit-learn puts 1 for the ratio.
        ratio = depth / usual_depth if usual_depth else np.ones_like(depth)
        return np.asarray(-(2 ** (-ratio)) - offset)

    return decision, {
        "predict": lambda scores: np.where(scores < 0, -1, 1),
        "decision_function": _as_it_is,
    }


def _boosted_trees(estimator: Any) -> Walk:
    from sklearn.ensemble._gradient_boosting import predict_stages

    # Gradient boosting takes no NaN: its trees are walked as they are.
    stages, rate = estimator.estimators_, estimator.learning_rate
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))
    is_single = start.shape[1] == 1

    def raw(rows: np.ndarray) -> np.ndarray:
        sums: np.ndarray = start.repeat(len(rows), axis=0)
        predict_stages(stages, as_float32(rows), rate, sums)
        return sums.ravel() if is_single else sums

    if not hasattr(estimator, "classes_"):
        return raw, {"predict": _as_it_is}
    classes, shares = estimator.classes_, estimator._loss.predict_proba

    def label(scores: np.ndarray) -> np.ndarray:
        # A score of 0 is the second class.
        chosen = (scores >= 0).astype(np.intp) if is_single else scores.argmax(axis=1)
        return np.asarray(classes[chosen])

    return raw, {"predict": label, "predict_proba": shares, "decision_function": _as_it_is}


def _class_outputs(classes: np.ndarray) -> Mapping[str, Step]:
    def label(shares: np.ndarray) -> np.ndarray:
        return np.asarray(classes.take(shares.argmax(axis=1), axis=0))

    return {"predict": label, "predict_proba": _as_it_is}


def _as_it_is(scores: np.ndarray) -> np.ndarray:
    return scores


_WALKS: Mapping[str, Callable[[Any], Walk]] = {
    **dict.fromkeys(("DecisionTreeClassifier", "ExtraTreeClassifier"), _single_tree),
    **dict.fromkeys(("DecisionTreeRegressor", "ExtraTreeRegressor"), _single_tree),
    **dict.fromkeys(("ExtraTreesClassifier", "RandomForestClassifier"), _forest_classifier),
    **dict.fromkeys(("ExtraTreesRegressor", "RandomForestRegressor"), _forest_regressor),
    "GradientBoostingClassifier": _boosted_trees,
    "GradientBoostingRegressor": _boosted_trees,
    "IsolationForest": _isolation_forest,
}
