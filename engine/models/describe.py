"""What a model is, found out from the model itself: its inputs, outputs and odd rows.

Description
  signature   inputs and outputs, what values it takes
  rows        calibration rows the model answers, by input
  refused     rows that bind but that the model itself refuses (at most MAX_REFUSED)
  recipe      how the model as it is, the oracle, is fed and read
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import ArtefactError, InvalidInput
from engine.models import calibration
from engine.models.backends import Backend
from engine.models.backends.estimator_backend import OUTPUT_METHODS, EstimatorBackend, dense, feed
from engine.models.columns import ColumnKinds, column_kinds
from engine.models.repository import ModelEntry
from engine.models.signature import Signature
from engine.types import TensorSpec, datatype_of

MAX_REFUSED = 8
Rows = dict[str, np.ndarray]
Answer = Callable[[Rows], object]


@dataclass(frozen=True, slots=True)
class Description:
    """See the module's docstring."""

    signature: Signature
    rows: Rows
    refused: tuple[Rows, ...]
    recipe: Mapping[str, Any]

    @property
    def example(self) -> dict[str, Any]:
        """One row that the model answers, as JSON has it: None for NaN."""
        count = self.signature.fixed_rows or 1
        bound = self.signature.bind(_first(self.rows, count))
        return {name: _as_json(array.tolist()) for name, array in bound.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return None if value != value else value


def describe_estimator(entry: ModelEntry, estimator: Any) -> Description:
    """The description of an estimator. Raises ArtefactError when its inputs cannot be told."""
    kinds = column_kinds(estimator)
    samples = entry.samples()
    specs, columns = _inputs_of(entry, estimator, kinds, samples)
    frame = _frame_columns(specs, columns, kinds)
    names = [spec.name for spec in specs]
    known = {names[i]: texts for i, texts in kinds.known.items() if len(names) > 1}
    closed = {names[i]: frozenset(kinds.known[i]) for i in kinds.closed if len(names) > 1}
    method = next((m for m in OUTPUT_METHODS if hasattr(estimator, m)), None)
    if method is None:
        raise ArtefactError(f"{entry.name} has none of the methods {', '.join(OUTPUT_METHODS)}")

    def answer(rows: Rows) -> object:
        return getattr(estimator, method)(feed(rows, frame))

    plain = Signature(inputs=specs, outputs=(), columns=columns, categories=closed)
    signature, rows = _calibrated(plain, estimator, samples, known, kinds.known, answer)
    taken, refused = _answered(signature, rows, answer)
    rules = _output_rules(estimator, feed(_first(taken, 3), frame))
    recipe = {"frame": frame, "outputs": rules}
    backend = EstimatorBackend(estimator, recipe)
    described = _with_outputs(signature, backend, tuple(rules), taken, estimator)
    return Description(described, taken, refused, recipe)


def describe_backend(
    entry: ModelEntry,
    specs: tuple[TensorSpec, ...],
    backend: Backend,
    recipe: Mapping[str, Any],
) -> Description:
    """The description of a graph or a Python file, which keep their declared dtypes."""
    floats = frozenset(spec.name for spec in specs if spec.datatype.startswith("FP"))
    signature = Signature(inputs=specs, outputs=(), as_declared=True, nan_inputs=floats)
    rows = calibration.mixed_rows(specs, entry.samples(), {}, floats)
    if any(spec.shape[0] > 0 for spec in specs):
        rows = _first(rows, max(spec.shape[0] for spec in specs))

    def answer(some: Rows) -> object:
        return backend.run(some, tuple(sorted(backend.covers)))

    taken, refused = _answered(signature, rows, answer)
    described = _with_outputs(signature, backend, tuple(recipe["outputs"]), taken, None)
    return Description(described, taken, refused, recipe)


def _inputs_of(
    entry: ModelEntry, estimator: Any, kinds: ColumnKinds, samples: Mapping[str, np.ndarray]
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The inputs, and the feature names of a matrix: declared, else told by the estimator."""
    declared = entry.declared.inputs
    trained = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    features = int(getattr(estimator, "n_features_in_", 0))
    if len(declared) > 1:
        return tuple(item.spec for item in declared), ()
    if len(declared) == 1:
        spec = declared[0].spec
        if spec.datatype != "BYTES":
            size = spec.shape[1] if len(spec.shape) == 2 and spec.shape[1] > 0 else features
            spec = TensorSpec(spec.name, spec.datatype, (-1, size))
        return (spec,), declared[0].columns or trained
    if kinds.raw_text:
        return (TensorSpec("input", "BYTES", (-1,)),), ()
    if not features:
        raise ArtefactError(
            f"{entry.name}: the number of its inputs cannot be told; declare them in model.toml"
        )
    if not kinds.text:
        return (TensorSpec("input", "FP64", (-1, features)),), trained
    if len(kinds.text) == features and not trained:
        return (TensorSpec("input", "BYTES", (-1, features)),), ()
    names = trained or tuple(f"x{place}" for place in range(features))
    return tuple(
        TensorSpec(name, "BYTES" if place in kinds.text else "FP64", (-1,))
        for place, name in enumerate(names)
    ), ()


def _frame_columns(
    specs: tuple[TensorSpec, ...], columns: tuple[str, ...], kinds: ColumnKinds
) -> list[str] | None:
    """Column names where the estimator must be fed a DataFrame; None for a plain array."""
    if len(specs) > 1:
        return [spec.name for spec in specs]
    if kinds.by_name:
        return list(columns) or [specs[0].name]
    return None


def _calibrated(
    signature: Signature,
    estimator: Any,
    samples: Mapping[str, np.ndarray],
    known: Mapping[str, list[str]],
    positions: Mapping[int, list[str]],
    answer: Answer,
) -> tuple[Signature, Rows]:
    """The signature with what values the model takes, and rows to try it on.

    known, positions: values that encoders know, by input and by column of a text matrix.
    """
    specs = signature.inputs
    (first, *more) = specs
    if more:
        base = _first(calibration.mixed_rows(specs, samples, known), 1)
        takers = [
            spec.name
            for spec in specs
            if spec.datatype == "FP64" and _takes(answer, base | {spec.name: np.array([np.nan])})
        ]
        signature = replace(signature, nan_inputs=frozenset(takers))
        return signature, calibration.mixed_rows(specs, samples, known, signature.nan_inputs)
    given = samples.get(first.name)
    if first.datatype == "BYTES":
        if len(first.shape) == 1:
            return signature, {first.name: calibration.text_rows(given)}
        width = first.shape[1]
        return signature, {first.name: calibration.text_matrix_rows(width, given, positions)}
    features = first.shape[1]
    huge, holes = np.zeros((1, features)), np.full((1, features), np.nan)
    huge[0, 0] = 1e300
    limited = not _takes(answer, {first.name: huge})
    takes_nan = _takes(answer, {first.name: holes})
    rows = calibration.number_rows(
        estimator, features, given, beyond_float32=not limited, takes_nan=takes_nan
    )
    nan_inputs = frozenset({first.name} if takes_nan else ())
    return replace(signature, finite_float32=limited, nan_inputs=nan_inputs), {first.name: rows}


def _takes(answer: Answer, rows: Rows) -> bool:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            answer(rows)
    except Exception:
        # Whatever a model raises on a probe means that it does not take it.
        return False
    return True


def _answered(signature: Signature, rows: Rows, answer: Answer) -> tuple[Rows, tuple[Rows, ...]]:
    """Rows that bind and that the model answers, and a few that bind and that it refuses."""
    if _binds(signature, rows) and _takes(answer, rows):
        return rows, ()
    total = len(next(iter(rows.values())))
    singles = [{n: a[place : place + 1] for n, a in rows.items()} for place in range(total)]
    bound = [(place, row) for place, row in enumerate(singles) if _binds(signature, row)]
    taken = [place for place, row in bound if _takes(answer, row)]
    refused = tuple(row for place, row in bound if place not in set(taken))
    if not taken:
        raise ArtefactError("the model answers none of its calibration rows")
    return {name: array[taken] for name, array in rows.items()}, refused[:MAX_REFUSED]


def _binds(signature: Signature, rows: Rows) -> bool:
    try:
        signature.bind(rows)
    except InvalidInput:
        return False
    return True


def _output_rules(estimator: Any, rows: Any) -> dict[str, dict[str, Any]]:
    """How each output is called; a method that fails on good rows is not on offer."""
    rules: dict[str, dict[str, Any]] = {}
    for method in OUTPUT_METHODS:
        if not hasattr(estimator, method):
            continue
        try:
            answer = getattr(estimator, method)(rows)
        except Exception:
            # Nearest neighbours without novelty, say: the attribute is there, the answer not.
            continue
        if isinstance(answer, list):
            for place in range(len(answer)):
                rules[f"{method}_{place}"] = {"method": method, "index": place}
        elif len(dense(answer)) == len(rows):
            rules[method] = {"method": method}
    if not rules:
        raise ArtefactError(f"no method among {', '.join(OUTPUT_METHODS)} answers its own rows")
    return rules


def _with_outputs(
    signature: Signature, backend: Backend, names: tuple[str, ...], rows: Rows, estimator: Any
) -> Signature:
    bound = signature.bind(_first(rows, 3))
    answers = backend.run(bound, names)
    rows_given = len(next(iter(bound.values())))
    for name, answer in answers.items():
        if answer.ndim == 0 or len(answer) != rows_given:
            raise ArtefactError(
                f"output {name!r} has shape {list(answer.shape)} for {rows_given} rows"
            )
    return replace(
        signature,
        outputs=tuple(
            TensorSpec(name, datatype_of(answer), (-1, *answer.shape[1:]))
            for name, answer in answers.items()
        ),
        classes=_classes(estimator),
    )


def _classes(estimator: Any) -> tuple[str, ...]:
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list):  # one array an output: no single list of classes
        return ()
    return tuple(str(c) for c in np.ravel(np.asarray(classes, dtype=object)))


def _first(rows: Rows, count: int) -> Rows:
    return {name: array[:count] for name, array in rows.items()}
