"""An estimator with scikit-learn's interface as it is: the oracle, and the form that serves
what nothing else can.

recipe   "frame": column names, where the estimator wants a DataFrame, else absent
         "outputs": output -> {"method", "index"?}; index picks from a list of arrays, which
         is what multi-output classifiers give
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.errors import ArtefactError
from engine.models.repository import ModelEntry
from engine.models.trust import TrustFile

OUTPUT_METHODS = ("predict", "predict_proba", "decision_function", "transform")
"""Estimator methods on offer as outputs, in the order that makes the first the default."""

NAME = "scikit-learn"

TRUSTED_TYPES = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            "ConstantKernel",
            "DotProduct",
            "Matern",
            "Product",
            "RBF",
            "RationalQuadratic",
            "Sum",
            "WhiteKernel",
        )
    ),
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
"""Types of numpy's and scikit-learn's own that skops leaves to its caller. They hold data and
run no code of the file's; a malformed one can at worst crash the child that first opens it."""


def load_estimator(entry: ModelEntry, trust: TrustFile) -> Any:
    """The estimator in an artefact of format skops, joblib or pickle, on one thread.

    Raises ArtefactError for a skops file with a type that neither skops nor TRUSTED_TYPES
    trusts, Untrusted for a pickle whose digest is not in the trust file, and whatever a
    trusted pickle raises. Imports scikit-learn (1-2 s the first time).
    """
    if entry.format == "skops":
        estimator = _load_skops(entry, trust)
    else:
        trust.require(entry)
        content = entry.content()
        if entry.format == "joblib":
            import joblib

            estimator = joblib.load(io.BytesIO(content))
        else:
            estimator = pickle.loads(content)
    _single_thread(estimator)
    return estimator


def load_skops(content: bytes) -> Any:
    """The estimator in a skops file's bytes, of trusted types only.

    Raises skops' UntrustedTypesFoundException naming the others.
    """
    import skops.io

    return skops.io.loads(content, trusted=list(TRUSTED_TYPES))


def _load_skops(entry: ModelEntry, trust: TrustFile) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    content = entry.content()
    try:
        return load_skops(content)
    except UntrustedTypesFoundException as error:
        if entry.sha256 in trust.digests():
            return skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
        raise ArtefactError(f"{entry.artefact.name}: {error}") from error


def _single_thread(estimator: Any) -> None:
    """joblib's dispatch costs more than one row's work: parallel callers bring the threads."""
    if not hasattr(estimator, "get_params"):
        return
    threads = [key for key in estimator.get_params(deep=True) if key.split("__")[-1] == "n_jobs"]
    if threads:
        estimator.set_params(**dict.fromkeys(threads, 1))


def library_of(estimator: Any) -> str:
    """The name an estimator's own form goes by: the library that made it."""
    root = type(estimator).__module__.partition(".")[0]
    return NAME if root == "sklearn" else root


class EstimatorBackend:
    """Calls an estimator's methods."""

    def __init__(self, estimator: Any, recipe: Mapping[str, Any]) -> None:
        self.estimator = estimator
        self.name = library_of(estimator)
        self._columns = recipe.get("frame")
        self._rules = {
            output: (rule["method"], rule.get("index"))
            for output, rule in recipe["outputs"].items()
        }
        self._methods: dict[str, Callable[[Any], Any]] = {
            method: getattr(estimator, method) for method, _ in self._rules.values()
        }
        self.covers = frozenset(self._rules)

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        rows = feed(inputs, self._columns)
        answers: dict[str, Any] = {}
        result = {}
        for output in outputs:
            method, index = self._rules[output]
            if method not in answers:
                answers[method] = self._methods[method](rows)
            answer = answers[method]
            result[output] = dense(answer if index is None else answer[index])
        return result


def feed(inputs: Mapping[str, np.ndarray], columns: list[str] | None) -> Any:
    """What an estimator takes: the one array, or a DataFrame with these columns."""
    if columns is None:
        (rows,) = inputs.values()
        return rows
    import pandas

    if len(inputs) == 1:
        (rows,) = inputs.values()
        if rows.ndim == 2:
            return pandas.DataFrame(rows, columns=columns)
    return pandas.DataFrame({name: inputs[name].reshape(-1) for name in columns})


def dense(answer: Any) -> np.ndarray:
    """An answer as an array, a sparse matrix filled up with its zeros."""
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
