"""Smaller, inexact cuts of ensembles, and the quality that decides whether one may serve.

cut              what is left
half-trees       the first half of the trees
quarter-trees    the first quarter
pruned           every tree cut back by minimal cost-complexity to about half its nodes
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.models.backends import Backend

TREE_CUTS = {"half-trees": 2, "quarter-trees": 4}
FORESTS = ("RandomForest", "ExtraTrees")


@dataclass(frozen=True, slots=True)
class Quality:
    """A form's held-out figure beside the model's own. rows: of the held-out data."""

    metric: str
    before: float
    after: float
    rows: int
    largest_loss: float

    @property
    def holds(self) -> bool:
        # A figure is a mean over rows: a loss of exactly the budget must not fail by rounding.
        return self.before - self.after <= self.largest_loss + 1e-12


def cuts_of(estimator: Any) -> dict[str, Any]:
    """Smaller copies of an ensemble by the name of their cut; none for other estimators."""
    cuts = {}
    for name, divisor in TREE_CUTS.items():
        cut = _first_trees(estimator, divisor)
        if cut is not None:
            cuts[name] = cut
    if type(estimator).__name__.startswith(FORESTS):
        cuts["pruned"] = _pruned(estimator)
    return cuts


def _first_trees(estimator: Any, divisor: int) -> Any:
    cut = copy.copy(estimator)
    if type(estimator).__name__.startswith("HistGradientBoosting"):
        keep = len(estimator._predictors) // divisor
        cut._predictors = estimator._predictors[:keep]
    elif type(estimator).__name__.startswith((*FORESTS, "GradientBoosting")):
        keep = len(estimator.estimators_) // divisor
        cut.estimators_ = estimator.estimators_[:keep]
        cut.n_estimators = keep
    else:
        return None
    return cut if keep else None


def _pruned(forest: Any) -> Any:
    """A forest whose every tree is cut back at the median of its own pruning path."""
    from sklearn.tree._tree import ccp_pruning_path

    cut = copy.copy(forest)
    cut.estimators_ = [copy.copy(tree) for tree in forest.estimators_]
    for tree in cut.estimators_:
        if tree.tree_.node_count > 3:
            alphas = ccp_pruning_path(tree.tree_)["ccp_alphas"]
            tree.ccp_alpha = float(np.median(alphas))
            tree._prune_tree()
    return cut


def score(
    metric: str, backend: Backend, inputs: Mapping[str, np.ndarray], target: np.ndarray
) -> float:
    """A form's figure on held-out rows. Raises KeyError where it lacks the output needed."""
    return _SCORES[metric](backend, inputs, target)


def _labels(backend: Backend, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return backend.run(inputs, ("predict",))["predict"]


def _accuracy(backend: Backend, inputs: Mapping[str, np.ndarray], target: np.ndarray) -> float:
    return float(np.mean(_labels(backend, inputs) == target))


def _f1_macro(backend: Backend, inputs: Mapping[str, np.ndarray], target: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(target, _labels(backend, inputs), average="macro"))


def _r2(backend: Backend, inputs: Mapping[str, np.ndarray], target: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(target, _labels(backend, inputs)))


def _roc_auc(backend: Backend, inputs: Mapping[str, np.ndarray], target: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    chances = backend.run(inputs, ("predict_proba",))["predict_proba"]
    if chances.shape[1] == 2:
        return float(roc_auc_score(target, chances[:, 1]))
    return float(
        roc_auc_score(target, chances / chances.sum(axis=1, keepdims=True), multi_class="ovr")
    )


_SCORES: Mapping[str, Callable[[Backend, Mapping[str, np.ndarray], np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1_macro": _f1_macro,
    "r2": _r2,
    "roc_auc": _roc_auc,
}
