"""The forms a model may take: how each is made from an estimator and opened from files.

form                 make, in the tournament's child          open, anywhere
onnxruntime-f32      skl2onnx, float inputs                   OnnxBackend
onnxruntime-f64      skl2onnx, double inputs                  OnnxBackend
onnxruntime-int8     the f32 graph, weights in 8 bits         OnnxBackend
treelite             treelite's importer of tree ensembles    TreeliteBackend
tl2cgen              that, compiled by the C compiler         Tl2cgenBackend
scikit-learn-trees   nothing: the artefact's own trees        TreeWalkBackend

onnxruntime-f32@cuda and the like are the same graph on another execution provider
(providers.py); onnxruntime@cuda is one of a model that is a graph itself.
A cut of an ensemble (smaller.py) is named after a slash: onnxruntime-f32/half-trees. It and
int8 are inexact, and take part only under an accuracy budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.models.backends import Backend, tl2cgen_backend, tree_walk_backend, treelite_backend
from engine.models.backends.estimator_backend import dense, feed
from engine.models.backends.onnx_backend import OnnxBackend
from engine.models.calibration import trees_of
from engine.models.columns import final_step
from engine.models.oracle import Oracle
from engine.models.signature import Signature

F32, F64, INT8 = "onnxruntime-f32", "onnxruntime-f64", "onnxruntime-int8"
INEXACT = (INT8,)


@dataclass(frozen=True, slots=True)
class MadeForm:
    """What a maker left in the plan's folder ("" for nothing), and how to open it."""

    file: str
    recipe: Mapping[str, Any]


def forms_for(estimator: Any, signature: Signature) -> tuple[str, ...]:
    """The exact forms worth trying for an estimator; none for a graph or a Python file."""
    if estimator is None:
        return ()
    forms = [F32]
    if any(spec.datatype == "FP64" for spec in signature.inputs):
        forms.append(F64)
    if is_tree_ensemble(estimator):
        forms.append(treelite_backend.NAME)
        if tl2cgen_backend.available():
            forms.append(tl2cgen_backend.NAME)
    if tree_walk_backend.can_walk(final_step(estimator)):
        forms.append(tree_walk_backend.NAME)
    return tuple(forms)


def is_tree_ensemble(estimator: Any) -> bool:
    """True for what treelite can import: scikit-learn's ensembles, not a pipeline of one."""
    if type(estimator).__name__.startswith("HistGradientBoosting"):
        return True
    return hasattr(estimator, "estimators_") and any(True for _ in trees_of(estimator))


def make_form(
    form: str,
    estimator: Any,
    signature: Signature,
    recipe: Mapping[str, Any],
    expected: Mapping[str, np.ndarray],
    folder: Path,
) -> MadeForm:
    """Compile an estimator. Raises whatever the converter raises.

    recipe: how the oracle is fed. expected: its answers, which give each output's dtype and
    rank.
    """
    base, _, cut = form.partition("/")
    if base == tree_walk_backend.NAME:
        return MadeForm("", {"frame": recipe.get("frame")})
    if base == treelite_backend.NAME:
        file = f"{cut}{'-' if cut else ''}{treelite_backend.FILE}"
        treelite_backend.import_ensemble(estimator).serialize(str(folder / file))
        return MadeForm(file, treelite_backend.output_rules(estimator))
    if base == tl2cgen_backend.NAME:
        tl2cgen_backend.compile_library(estimator, folder / tl2cgen_backend.FILE)
        return MadeForm(tl2cgen_backend.FILE, treelite_backend.output_rules(estimator))
    from engine.models.onnx_convert import convert, quantise

    file = f"model-{form.removeprefix('onnxruntime-').replace('/', '-')}.onnx"
    precision = "f64" if base == F64 else "f32"
    made = convert(estimator, precision, signature, recipe, expected, folder / file)
    if base == INT8:
        quantise(folder / file)
    return MadeForm(file, made)


def open_form(form: str, path: Path, recipe: Mapping[str, Any]) -> Backend:
    """The backend of a compiled form. Raises whatever its library raises for a bad file."""
    base = form.partition("/")[0]
    if base == treelite_backend.NAME:
        return treelite_backend.TreeliteBackend(path, recipe)
    if base == tl2cgen_backend.NAME:
        return tl2cgen_backend.Tl2cgenBackend(path, recipe)
    return OnnxBackend(form, path, recipe)


def walked(estimator: Any, recipe: Mapping[str, Any]) -> Backend:
    """An estimator whose trees are walked; the steps before them run as they are."""
    steps = [] if not hasattr(estimator, "steps") else [s for _, s in estimator.steps[:-1]]
    trees = tree_walk_backend.TreeWalkBackend(final_step(estimator))
    before = [step.transform for step in steps if step not in (None, "passthrough")]
    return SteppedTrees(before, trees, recipe.get("frame")) if before else trees


class SteppedTrees:
    """A pipeline that ends in trees: its own transformers, then the walk."""

    name = tree_walk_backend.NAME

    def __init__(
        self,
        before: Sequence[Callable[[Any], Any]],
        trees: tree_walk_backend.TreeWalkBackend,
        columns: list[str] | None,
    ) -> None:
        self._before, self._trees, self._columns = before, trees, columns
        self.covers = trees.covers

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        rows = feed(inputs, self._columns)
        for transform in self._before:
            rows = transform(rows)
        matrix = np.ascontiguousarray(dense(rows), dtype=np.float64)
        return self._trees.run({"input": matrix}, outputs)


def open_any(
    form: str,
    files: Mapping[str, str],
    recipe: Mapping[str, Any],
    folder: Path,
    oracle: Callable[[], Oracle],
) -> Backend:
    """A form of a plan: from its file, or, where it has none, from the oracle itself."""
    if files:
        (file,) = files
        return open_form(form, folder / file, recipe)
    if form == tree_walk_backend.NAME:
        return walked(oracle().estimator, recipe)
    return oracle().backend
