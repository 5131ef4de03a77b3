"""scikit-learn as it is: the oracle, and the form that serves what nothing else can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ArtefactError

OUTPUT_METHODS = ("predict", "predict_proba", "decision_function", "transform")
"""Estimator methods on offer as outputs, in the order that makes the first the default."""

NAME = "scikit-learn"

TRUSTED_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types of scikit-learn's own that skops leaves to its caller. They hold arrays and run no
code of the file's; a malformed one can at worst crash the child that first opens it."""


def load_estimator(artefact: Path) -> Any:
    """The estimator of a skops file.

    Raises ArtefactError for a type that neither skops nor TRUSTED_TYPES trusts.

    Imports scikit-learn (1-2 s the first time), so call it only where it is needed.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(artefact, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ArtefactError(f"{artefact.name}: {error}") from error


class SklearnBackend:
    """Calls one estimator method per output."""

    name = NAME

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.covers = frozenset(m for m in OUTPUT_METHODS if hasattr(estimator, m))
        self._single_thread()

    def _single_thread(self) -> None:
        """joblib's dispatch costs more than one row's work: parallel callers bring the threads."""
        if hasattr(self.estimator, "n_jobs"):
            self.estimator.n_jobs = None

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        (rows,) = inputs.values()
        return {name: np.asarray(getattr(self.estimator, name)(rows)) for name in outputs}


def open_sklearn(artefact: Path) -> SklearnBackend:
    """The backend of a skops file. Raises what `load_estimator` raises."""
    return SklearnBackend(load_estimator(artefact))
