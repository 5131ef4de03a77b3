"""The forms a model may take: how each is made from an estimator and opened from files.

form                make, in the tournament's child          open, anywhere
onnxruntime-f32     skl2onnx, float inputs                   OnnxBackend
onnxruntime-f64     skl2onnx, double inputs                  OnnxBackend
onnxruntime-text    skl2onnx, string inputs                  OnnxBackend
treelite            treelite's importer of tree ensembles    TreeliteBackend
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.models.backends import Backend
from engine.models.backends import treelite_backend as treelite_form
from engine.models.backends.onnx_backend import OnnxBackend, OnnxOutput
from engine.models.calibration import trees_of

ONNX_PREFIX = "onnxruntime-"


@dataclass(frozen=True, slots=True)
class MadeForm:
    """What a maker left in the plan's folder, and what opening it needs besides."""

    file: str
    outputs: Mapping[str, Mapping[str, Any]]


def forms_for(estimator: Any, rows: np.ndarray) -> tuple[str, ...]:
    """The compiled forms worth trying for an estimator with these calibration rows."""
    if rows.dtype == object:
        return (f"{ONNX_PREFIX}text",)
    forms = (f"{ONNX_PREFIX}f32", f"{ONNX_PREFIX}f64")
    is_ensemble = hasattr(estimator, "estimators_") and any(True for _ in trees_of(estimator))
    is_histogram = type(estimator).__name__.startswith("HistGradientBoosting")
    return (*forms, treelite_form.NAME) if is_ensemble or is_histogram else forms


def make_form(
    form: str, estimator: Any, expected: Mapping[str, np.ndarray], folder: Path
) -> MadeForm:
    """Compile an estimator. Raises whatever the converter raises.

    expected: the oracle's answers, which give each output's dtype and rank.
    """
    if form == treelite_form.NAME:
        import treelite

        model = treelite.sklearn.import_model(estimator)
        model.serialize(str(folder / treelite_form.FILE))
        return MadeForm(treelite_form.FILE, treelite_form.output_rules(estimator))
    from engine.models.onnx_convert import convert

    precision = form.removeprefix(ONNX_PREFIX)
    file = f"model-{precision}.onnx"
    graph_names = convert(estimator, precision, folder / file)
    return MadeForm(
        file,
        {
            output: {
                "graph_name": graph_name,
                "dtype": expected[output].dtype.str,
                "rank": expected[output].ndim,
            }
            for output, graph_name in graph_names.items()
        },
    )


def open_form(form: str, path: Path, outputs: Mapping[str, Mapping[str, Any]]) -> Backend:
    """The backend of a compiled form. Raises whatever its library raises for a bad file."""
    if form == treelite_form.NAME:
        return treelite_form.TreeliteBackend(path, outputs)
    found = {
        name: OnnxOutput(o["graph_name"], o["dtype"], o["rank"]) for name, o in outputs.items()
    }
    return OnnxBackend(path, form.removeprefix(ONNX_PREFIX), found)
