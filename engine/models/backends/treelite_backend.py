"""Treelite's own interpreter for tree ensembles (GTIL), on one thread.

It takes double thresholds and leaves from scikit-learn as they are, so its answers differ
from scikit-learn's by rounding of the sum at most.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NAME = "treelite"
FILE = "model.treelite"


class TreeliteBackend:
    """Runs one serialised ensemble.

    outputs: output -> {"rule", "labels", "dtype", "casts"}, see `output_rules`.
    """

    name = NAME

    def __init__(self, path: Path, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        import treelite

        self._predict = treelite.gtil.predict
        self._model = treelite.Model.deserialize(str(path))
        self._casts = all(rule["casts"] for rule in outputs.values())
        self._rules = {
            name: (str(rule["rule"]), np.array(rule["labels"], dtype=rule["dtype"]))
            for name, rule in outputs.items()
        }
        self.covers = frozenset(outputs)

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        (rows,) = inputs.values()
        if self._casts:
            rows = rows.astype(np.float32).astype(np.float64)
        raw = self._predict(self._model, rows, nthread=1).reshape(len(rows), -1)
        return {name: answer_by_rule(raw, *self._rules[name]) for name in outputs}


def answer_by_rule(raw: np.ndarray, rule: str, labels: np.ndarray) -> np.ndarray:
    """One output, read off the ensemble's raw answer (n, numbers); see `output_rules`."""
    if rule == "value":
        return raw[:, 0]
    if rule == "probabilities":
        return raw if raw.shape[1] > 1 else np.column_stack([1 - raw[:, 0], raw[:, 0]])
    if raw.shape[1] == 1:
        # Gradient boosting answers the second class from a score of 0, histogram gradient
        # boosting only above it.
        second = raw[:, 0] >= 0.5 if rule == "label_from_half" else raw[:, 0] > 0.5
        chosen: np.ndarray = labels[second.astype(np.int64)]
        return chosen
    best: np.ndarray = labels[raw.argmax(axis=1)]
    return best


def import_ensemble(estimator: Any) -> Any:
    """The ensemble as a treelite model. Raises what treelite raises for what it cannot take."""
    import treelite

    members = getattr(estimator, "estimators_", None)
    if members is not None and len(members) != estimator.n_estimators:
        # Treelite 4.8 reads `n_estimators` trees, past the end of the arrays when boosting
        # stopped early, and takes the process down.
        estimator = copy.copy(estimator)
        estimator.n_estimators = len(members)
    return treelite.sklearn.import_model(estimator)


def output_rules(estimator: Any) -> dict[str, dict[str, Any]]:
    """How each output is read off the ensemble's raw answer.

    value: the number itself. probabilities: one column a class. label_*: the class, with
    the estimator's own rule at a tie. casts: the estimator reads its rows as float32, as
    scikit-learn's own trees do, and histogram gradient boosting does not.
    """
    family = type(estimator).__name__
    casts = not family.startswith("HistGradientBoosting")
    classes = getattr(estimator, "classes_", None)
    number = {"labels": [], "dtype": "<f8", "casts": casts}
    if classes is None:
        return {"predict": {"rule": "value", **number}}
    from_half = family == "GradientBoostingClassifier"
    dtype = "O" if classes.dtype.kind in "OUS" else classes.dtype.str
    rule = "label_from_half" if from_half else "label_above_half"
    return {
        "predict": {"rule": rule, "labels": classes.tolist(), "dtype": dtype, "casts": casts},
        "predict_proba": {"rule": "probabilities", **number},
    }
