"""A Python file that serves a model: a class with `load` and `predict`.

    class Model:
        def load(self, folder: pathlib.Path) -> None: ...
        def predict(self, inputs: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]: ...

`load` is called once, with the version's folder; `predict` gets the declared inputs and
gives an array (the output `predict`) or arrays by name, each with the inputs' rows first.
It is called from several threads at once.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.errors import ArtefactError
from engine.models.repository import ModelEntry
from engine.models.trust import TrustFile

NAME = "python"


class PythonBackend:
    """One loaded object of the file's class. covers: set from its first answer."""

    name = NAME

    def __init__(self, model: Any, covers: frozenset[str]) -> None:
        self._predict = model.predict
        self.covers = covers

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        # Copies both ways: a file may write into what it is given, and keep what it gives.
        answers = named_answers(self._predict({name: inputs[name].copy() for name in inputs}))
        return {name: answers[name].copy() for name in outputs}


def named_answers(answer: Any) -> dict[str, np.ndarray]:
    """What `predict` gave as arrays by name; text becomes object arrays."""
    named = answer if isinstance(answer, Mapping) else {"predict": answer}
    return {str(name): np.asarray(values) for name, values in named.items()}


def load_python(entry: ModelEntry, trust: TrustFile) -> Any:
    """The loaded object of a model.py. Raises Untrusted, ArtefactError, or what it raises."""
    trust.require(entry)
    module = types.ModuleType(f"pyrometer_model_{entry.digest[:16]}")
    module.__file__ = str(entry.artefact)
    # Dataclasses and pickles of the file's own look their module up by name.
    sys.modules[module.__name__] = module
    exec(compile(entry.content(), str(entry.artefact), "exec"), module.__dict__)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and callable(getattr(value, "load", None))
        and callable(getattr(value, "predict", None))
    ]
    if len(classes) != 1:
        raise ArtefactError(
            f"{entry.artefact.name} has {len(classes)} classes with load and predict; it needs one"
        )
    model = classes[0]()
    model.load(entry.folder)
    return model
