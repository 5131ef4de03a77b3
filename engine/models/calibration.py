"""The rows on which a compiled form must agree with scikit-learn.

Real sample rows where the model ships them, else rows drawn at the scale of the model;
for trees also rows exactly on a threshold and on the next float either side of it, in
both precisions, because that is where a cast changes the branch taken; then zero, minus
zero and, where the model takes them, huge values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

MAX_THRESHOLDS = 400
MAX_SAMPLES = 512
HUGE = (1e30, -1e30)
BEYOND_FLOAT32 = (1e300, -1e300)
NASTY_TEXTS = (
    "",
    " ",
    "\n",
    "a",
    "A_b1",
    "é ü 漢字 🙂",
    "x" * 5000,
    "tx . origin\r\n\ttail_",
    "\x01",
)


def number_rows(
    estimator: Any, features: int, samples: np.ndarray | None, *, beyond_float32: bool
) -> np.ndarray:
    """Calibration rows, float64 (n, features), the same on every run."""
    random = np.random.default_rng(20260101)
    if samples is None or len(samples) == 0:
        samples = random.normal(size=(256, features)) * _scale(estimator, features)
    base = np.asarray(samples[:MAX_SAMPLES], dtype=np.float64)
    blocks = [base, np.zeros((1, features)), np.full((1, features), -0.0)]
    blocks.extend(_threshold_rows(estimator, base, features, random))
    for value in (*HUGE, *(BEYOND_FLOAT32 if beyond_float32 else ())):
        row = base[:1].copy()
        row[0, random.integers(features)] = value
        blocks.append(row)
    return np.concatenate(blocks)


def text_rows(samples: np.ndarray | None) -> np.ndarray:
    """Calibration texts, object (n,): real ones and those that tokenisers disagree on."""
    texts = [] if samples is None else [str(text) for text in samples[:MAX_SAMPLES]]
    glued = [text.replace("\n", "\r\n") + "é" for text in texts[:16]]
    return np.array([*texts, *glued, *NASTY_TEXTS], dtype=object)


def _threshold_rows(
    estimator: Any, base: np.ndarray, features: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    pairs = list(thresholds_of(estimator))
    if not pairs or max(feature for feature, _ in pairs) >= features:
        return
    chosen = random.choice(len(pairs), size=min(MAX_THRESHOLDS, len(pairs)), replace=False)
    for feature, threshold in (pairs[index] for index in chosen):
        rows = base[random.integers(len(base), size=5)].copy()
        single = np.float32(threshold)
        rows[:, feature] = (
            threshold,
            np.nextafter(threshold, -np.inf),
            np.nextafter(threshold, np.inf),
            np.nextafter(single, np.float32(-np.inf)),
            np.nextafter(single, np.float32(np.inf)),
        )
        yield rows


def thresholds_of(estimator: Any) -> Iterator[tuple[int, float]]:
    """(feature, threshold) of every inner node of an ensemble of either kind."""
    for tree in trees_of(estimator):
        inner = tree.feature >= 0
        yield from zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True)
    for predictor in np.ravel(np.array(getattr(estimator, "_predictors", []), dtype=object)):
        nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
        yield from zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)


def trees_of(estimator: Any) -> Iterator[Any]:
    """Every fitted tree structure inside an ensemble that reads the caller's columns."""
    if hasattr(estimator, "tree_"):
        yield estimator.tree_
    members = getattr(estimator, "estimators_", None)
    if members is not None:
        for member in np.asarray(members, dtype=object).ravel():
            yield from trees_of(member)


def _scale(estimator: Any, features: int) -> np.ndarray:
    """Size of each feature as the model has seen it: its largest threshold, else 1."""
    scale = np.ones(features)
    for tree in trees_of(estimator):
        inner = tree.feature >= 0
        if inner.any() and tree.feature.max() < features:
            np.maximum.at(scale, tree.feature[inner], np.abs(tree.threshold[inner]))
    return scale
