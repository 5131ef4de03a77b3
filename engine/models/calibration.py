"""The rows on which a compiled form must agree with the model as it is.

Real sample rows where the model ships them, else rows drawn at the scale of the model;
for trees also rows exactly on a threshold and on the next float either side of it, in
both precisions, because that is where a cast changes the branch taken; then zero, minus
zero, NaN and, where the model takes them, huge values; for text, what tokenisers and
encoders disagree on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from engine.models.columns import final_step, first_steps
from engine.types import NUMPY_DTYPES, TensorSpec

MAX_THRESHOLDS = 400
MAX_SAMPLES = 512
MADE_UP_ROWS = 256
SEED = 20260101
HUGE = (1e30, -1e30)
BEYOND_FLOAT32 = (1e300, -1e300)
NASTY_TEXTS = (
    "",
    " ",
    "\n",
    "a",
    "A_b1",
    "é ü 漢字 🙂",
    "É Ü ẞ İ Σ TRANSFER",
    "x" * 5000,
    "tx . origin\r\n\ttail_",
    "\x01",
)


def number_rows(
    estimator: Any,
    features: int,
    samples: np.ndarray | None,
    *,
    beyond_float32: bool,
    takes_nan: bool = False,
) -> np.ndarray:
    """Calibration rows, float64 (n, features), the same on every run."""
    random = np.random.default_rng(SEED)
    if samples is None or len(samples) == 0:
        center, scale = center_and_scale(estimator, features)
        samples = random.normal(size=(MADE_UP_ROWS, features)) * scale + center
    base = np.asarray(samples[:MAX_SAMPLES], dtype=np.float64)
    blocks = [base, np.zeros((1, features)), np.full((1, features), -0.0)]
    blocks.extend(_threshold_rows(estimator, base, features, random))
    for value in (*HUGE, *(BEYOND_FLOAT32 if beyond_float32 else ())):
        row = base[:1].copy()
        row[0, random.integers(features)] = value
        blocks.append(row)
    if takes_nan:
        holes = base[:64].copy()
        holes[random.random(holes.shape) < 0.3] = np.nan
        blocks += [holes, np.full((1, features), np.nan)]
    return np.concatenate(blocks)


def text_rows(samples: np.ndarray | None) -> np.ndarray:
    """Calibration texts, object (n,): real ones and those that tokenisers disagree on."""
    texts = [] if samples is None else [str(text) for text in samples[:MAX_SAMPLES]]
    glued = [text.replace("\n", "\r\n") + "é" for text in texts[:16]]
    return np.array([*texts, *glued, *NASTY_TEXTS], dtype=object)


def text_matrix_rows(
    width: int, samples: np.ndarray | None, known: Mapping[int, list[str]]
) -> np.ndarray:
    """Calibration rows of text in several columns, object (n, width).

    known: values that a column's encoder knows. The last rows have one odd text each.
    """
    random = np.random.default_rng(SEED)
    if samples is not None and len(samples):
        base = np.array(samples[:MAX_SAMPLES], dtype=object)
    else:
        words = [np.array(known.get(c) or NASTY_TEXTS, dtype=object) for c in range(width)]
        base = np.column_stack([random.choice(column, MADE_UP_ROWS) for column in words])
    odd = np.repeat(base[:1], len(NASTY_TEXTS), axis=0)
    for place, text in enumerate(NASTY_TEXTS):
        odd[place, random.integers(width)] = text
    return np.concatenate([base, odd])


def mixed_rows(
    specs: tuple[TensorSpec, ...],
    samples: Mapping[str, np.ndarray],
    known: Mapping[str, list[str]],
    nan_inputs: frozenset[str] = frozenset(),
) -> dict[str, np.ndarray]:
    """Calibration rows for inputs of several kinds, each array with the same rows.

    known: values that a text input's encoder knows. After the ordinary rows come rows with
    one input at a time set to something odd.
    """
    random = np.random.default_rng(SEED)
    base = {spec.name: _base_of(spec, samples, known, random) for spec in specs}
    rows = min(len(array) for array in base.values())
    base = {name: array[:rows] for name, array in base.items()}
    blocks = [base]
    for spec in specs:
        odd = _odd_values(spec, base[spec.name], nan_inputs)
        if len(odd):
            pick = np.arange(len(odd)) % rows
            blocks.append({name: array[pick] for name, array in base.items()} | {spec.name: odd})
    return {spec.name: np.concatenate([block[spec.name] for block in blocks]) for spec in specs}


def _base_of(
    spec: TensorSpec,
    samples: Mapping[str, np.ndarray],
    known: Mapping[str, list[str]],
    random: np.random.Generator,
) -> np.ndarray:
    given = samples.get(spec.name)
    dtype = NUMPY_DTYPES[spec.datatype]
    if given is not None and len(given):
        given = given[:MAX_SAMPLES]
        return given.reshape(-1) if given.ndim == 2 and len(spec.shape) == 1 else given
    shape = tuple(size if size > 0 else 1 for size in spec.shape[1:])
    if spec.datatype == "BYTES":
        words = np.array(known.get(spec.name) or list(NASTY_TEXTS), dtype=object)
        return random.choice(words, size=(MADE_UP_ROWS, *shape))
    if dtype.kind == "f":
        return random.normal(size=(MADE_UP_ROWS, *shape)).astype(dtype)
    return random.integers(0, 2, size=(MADE_UP_ROWS, *shape)).astype(dtype)


def _odd_values(spec: TensorSpec, base: np.ndarray, nan_inputs: frozenset[str]) -> np.ndarray:
    """Values of one input that conversions get wrong, in its own shape."""
    if spec.datatype == "BYTES":
        odd: list[Any] = [*NASTY_TEXTS]
    elif NUMPY_DTYPES[spec.datatype].kind == "f":
        odd = [0.0, -0.0, *(HUGE if spec.datatype == "FP64" else ())]
        odd += [np.nan] if spec.name in nan_inputs else []
    else:
        odd = [0]
    rows = np.empty((len(odd), *base.shape[1:]), dtype=base.dtype)
    for place, value in enumerate(odd):
        rows[place] = value
    return rows


def _threshold_rows(
    estimator: Any, base: np.ndarray, features: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Rows on and beside the thresholds of trees, also of trees behind an invertible step."""
    trees, before = final_step(estimator), _steps_before(estimator)
    pairs = list(thresholds_of(trees))
    if not pairs:
        return
    if before:
        if not all(hasattr(step, "inverse_transform") for step in before):
            return
        seen = base
        for step in before:
            seen = np.asarray(step.transform(seen))
    else:
        seen = base
    if max(feature for feature, _ in pairs) >= seen.shape[1]:
        return
    chosen = random.choice(len(pairs), size=min(MAX_THRESHOLDS, len(pairs)), replace=False)
    for feature, threshold in (pairs[index] for index in chosen):
        rows = np.array(seen[random.integers(len(seen), size=5)], dtype=np.float64)
        single = np.float32(threshold)
        rows[:, feature] = (
            threshold,
            np.nextafter(threshold, -np.inf),
            np.nextafter(threshold, np.inf),
            np.nextafter(single, np.float32(-np.inf)),
            np.nextafter(single, np.float32(np.inf)),
        )
        for step in reversed(before):
            rows = np.asarray(step.inverse_transform(rows))
        if rows.shape[1] == features:
            yield rows


def _steps_before(estimator: Any) -> list[Any]:
    if not hasattr(estimator, "steps"):
        return []
    return [step for _, step in estimator.steps[:-1] if step not in (None, "passthrough")]


def thresholds_of(estimator: Any) -> Iterator[tuple[int, float]]:
    """(feature, threshold) of every inner node of an ensemble of either kind."""
    for tree in trees_of(estimator):
        inner = tree.feature >= 0
        yield from zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True)
    predictors = getattr(estimator, "_predictors", [])
    for predictor in (one for iteration in predictors for one in iteration):
        nodes = predictor.nodes[(predictor.nodes["is_leaf"] == 0)]
        nodes = nodes[nodes["is_categorical"] == 0]
        finite = nodes[np.isfinite(nodes["num_threshold"])]
        yield from zip(
            finite["feature_idx"].tolist(), finite["num_threshold"].tolist(), strict=True
        )


def trees_of(estimator: Any) -> Iterator[Any]:
    """Every fitted tree structure inside an ensemble that reads the caller's columns."""
    if hasattr(estimator, "tree_"):
        yield estimator.tree_
    members = getattr(estimator, "estimators_", None)
    if members is not None:
        for member in np.asarray(members, dtype=object).ravel():
            yield from trees_of(member)


def center_and_scale(estimator: Any, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the model's rows lie: a scaler's own figures, else the trees' thresholds, else 0, 1."""
    center, scale = np.zeros(features), np.ones(features)
    for first in first_steps(estimator)[:1]:
        mean, spread = getattr(first, "mean_", None), getattr(first, "scale_", None)
        if mean is not None and spread is not None and len(mean) == len(spread) == features:
            return np.asarray(mean, dtype=float), np.asarray(spread, dtype=float)
        low, high = getattr(first, "data_min_", None), getattr(first, "data_max_", None)
        if low is not None and high is not None and len(low) == features:
            return (low + high) / 2, np.maximum(high - low, 1e-9) / 2
    for tree in trees_of(estimator):
        inner = tree.feature >= 0
        if inner.any() and tree.feature.max() < features:
            np.maximum.at(scale, tree.feature[inner], np.abs(tree.threshold[inner]))
    return center, scale
