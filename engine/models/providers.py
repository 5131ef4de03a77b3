"""ONNX Runtime's execution providers: which take part in a tournament, and whether they worked.

name      CUDA, TensorRT, OpenVINO, CoreML: as in the setting `onnx_providers`
own name  CUDAExecutionProvider, ...: as ONNX Runtime calls it, and as recipes keep it
tag       cuda, ...: as forms are called, onnxruntime-f32@cuda

Only a tournament's child asks ONNX Runtime, which takes a fifth of a second to import; the
server knows its build by the files that came with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import named_providers
from engine.errors import ProviderLost
from engine.models.backends import onnx_backend
from engine.models.backends.onnx_backend import OnnxBackend
from engine.models.forms import F32, F64, MadeForm
from engine.models.plan import ABSENT, Candidate
from engine.models.repository import ModelEntry

SUFFIX = "ExecutionProvider"
NOT_OTHERS = frozenset({"CPUExecutionProvider", "AzureExecutionProvider"})
"""The one that always takes part, and one that sends rows to somebody else's machine."""
OWN_NAMES = {
    "CUDA": "CUDAExecutionProvider",
    "TensorRT": "TensorrtExecutionProvider",
    "OpenVINO": "OpenVINOExecutionProvider",
    "CoreML": "CoreMLExecutionProvider",
}
GRAPH_FORMS = (onnx_backend.NAME, F32, F64)
GRAPH_FILE = "model-as-it-is.onnx"


@dataclass(frozen=True, slots=True)
class Provider:
    """One that takes part. present: this machine's ONNX Runtime has it."""

    name: str
    own_name: str
    present: bool = True

    @property
    def tag(self) -> str:
        return self.own_name.removesuffix(SUFFIX).lower()


def taking_part(setting: str, available: tuple[str, ...]) -> tuple[Provider, ...]:
    """What the setting asks for, in its order; all that are there where it names none.

    available: `onnxruntime.get_available_providers()`. Raises ConfigurationError.
    """
    named = named_providers(setting)
    if named is not None:
        own = ((name, OWN_NAMES[name]) for name in named)
        return tuple(Provider(name, own_name, own_name in available) for name, own_name in own)
    names = {own_name: name for name, own_name in OWN_NAMES.items()}
    return tuple(
        Provider(names.get(own_name, own_name.removesuffix(SUFFIX)), own_name)
        for own_name in available
        if own_name not in NOT_OTHERS
    )


@cache
def available() -> tuple[str, ...]:
    """What this machine's ONNX Runtime was built with, by its own names."""
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())


def bases_of(tried: Sequence[Candidate]) -> list[Candidate]:
    """The forms whose graphs other providers may run: those that agree on the CPU."""
    return [c for c in tried if c.exact and c.form in GRAPH_FORMS]


def absentees(base: str, providers: Sequence[Provider]) -> list[Candidate]:
    """One line of the plan for each provider that was named and is not there."""
    return [
        Candidate(f"{base}@{p.tag}", "out", f"{p.name} {ABSENT}")
        for p in providers
        if not p.present
    ]


def graph_on(
    base: Candidate,
    provider: Provider,
    entry: ModelEntry,
    rows: Mapping[str, np.ndarray],
    folder: Path,
) -> MadeForm:
    """The graph of a form that agrees, to be run by another provider.

    A model that is a graph itself has no file in `folder` yet; it is copied there. Raises
    ProviderLost where the provider cannot be opened or runs not one node of it.
    """
    (file,) = base.files or (GRAPH_FILE,)
    if not base.files:
        (folder / file).write_bytes(entry.content())
    recipe = {**base.recipe, "provider": provider.own_name}
    ran = nodes_run_by(folder / file, recipe, rows)
    if not ran[provider.own_name]:
        raise ProviderLost(
            f"{provider.name} takes none of its {ran.total()} nodes; all ran on the CPU"
        )
    return MadeForm(file, recipe)


def nodes_run_by(
    graph: Path, recipe: Mapping[str, Any], rows: Mapping[str, np.ndarray]
) -> Counter[str]:
    """How many nodes of a graph each provider ran when it answered `rows`, by own name.

    A session that has a provider may still give it nothing, kind of node by kind of node.
    """
    backend = OnnxBackend("traced", graph, recipe, trace=graph.with_suffix(".trace"))
    backend.run(rows, tuple(sorted(backend.covers)))
    trace = backend.end_trace()
    events = json.loads(trace.read_bytes())
    trace.unlink()
    return Counter(
        str(event["args"]["provider"])
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    )
