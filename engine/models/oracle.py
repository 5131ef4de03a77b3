"""The model as it is, whatever its format: the oracle of the tournament.

format                   opened with
skops, joblib, pickle    EstimatorBackend
onnx                     OnnxBackend, the graph under its own names
python                   PythonBackend, inputs declared in model.toml
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ArtefactError
from engine.models import calibration
from engine.models.backends import Backend, onnx_backend, python_backend
from engine.models.backends.estimator_backend import EstimatorBackend, load_estimator
from engine.models.backends.onnx_backend import OnnxBackend
from engine.models.backends.python_backend import PythonBackend
from engine.models.describe import Description, describe_backend, describe_estimator
from engine.models.repository import ModelEntry
from engine.models.signature import Signature
from engine.models.trust import TrustFile
from engine.types import TensorSpec


@dataclass(frozen=True, slots=True)
class Oracle:
    """The model as it is. estimator: the fitted object behind it; None for a graph or file."""

    backend: Backend
    estimator: Any = None


def open_oracle(
    entry: ModelEntry, trust: TrustFile, signature: Signature, recipe: Mapping[str, Any]
) -> Oracle:
    """Open a model that was described before.

    Raises Untrusted, ArtefactError, or what a trusted file raises.
    """
    if entry.format == "onnx":
        content = entry.content()
        onnx_backend.refuse_external_data(content, entry.artefact.name)
        return Oracle(OnnxBackend(onnx_backend.NAME, content, recipe))
    if entry.format == "python":
        covers = frozenset(spec.name for spec in signature.outputs)
        return Oracle(PythonBackend(python_backend.load_python(entry, trust), covers))
    estimator = load_estimator(entry, trust)
    return Oracle(EstimatorBackend(estimator, recipe), estimator)


def describe(entry: ModelEntry, trust: TrustFile) -> tuple[Oracle, Description]:
    """Open a model for the first time and find out what it is. Raises as `open_oracle`."""
    if entry.format == "onnx":
        return _describe_graph(entry)
    if entry.format == "python":
        return _describe_python(entry, trust)
    estimator = load_estimator(entry, trust)
    described = describe_estimator(entry, estimator)
    return Oracle(EstimatorBackend(estimator, described.recipe), estimator), described


def _describe_graph(entry: ModelEntry) -> tuple[Oracle, Description]:
    content = entry.content()
    onnx_backend.refuse_external_data(content, entry.artefact.name)
    found, recipe = onnx_backend.graph_recipe(content, entry.artefact.name)
    specs = tuple(TensorSpec(*spec) for spec in found)
    backend = OnnxBackend(onnx_backend.NAME, content, recipe)
    return Oracle(backend), describe_backend(entry, specs, backend, recipe)


def _describe_python(entry: ModelEntry, trust: TrustFile) -> tuple[Oracle, Description]:
    specs = tuple(item.spec for item in entry.declared.inputs)
    if not specs:
        raise ArtefactError(f"{entry.name}: a model.py needs its [[inputs]] in model.toml")
    model = python_backend.load_python(entry, trust)
    rows = calibration.mixed_rows(specs, entry.samples(), {})
    answers = python_backend.named_answers(
        model.predict({name: array[:1] for name, array in rows.items()})
    )
    recipe: dict[str, Any] = {"outputs": {name: {} for name in answers}}
    backend = PythonBackend(model, frozenset(answers))
    return Oracle(backend), describe_backend(entry, specs, backend, recipe)
