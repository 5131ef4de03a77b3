"""Treelite's tree ensembles compiled to C by TL2cgen, where it and a C compiler exist.

The sum runs over the trees in their order in double precision, from double thresholds and
leaves, so answers differ from scikit-learn's by rounding at most.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from engine.models.backends.treelite_backend import answer_by_rule, import_ensemble

NAME = "tl2cgen"
FILE = "model.so"

MAX_STATEMENTS = 300_000
"""Nodes, and numbers on leaves of several classes. About 8,000 compile a second here."""

COMPILERS = ("gcc", "clang")
SOURCE_FILES = 16
"""A file's compile time grows faster than its size."""

OPTIONS = ("-O1",)
"""TL2cgen's own -O3 takes three times as long to compile and answers no faster."""

_LOW_WORD = 0xFFFF_FFFF


def available() -> bool:
    """True where TL2cgen can be imported and a compiler it knows is on the PATH."""
    return importlib.util.find_spec("tl2cgen") is not None and _compiler() is not None


def _compiler() -> str | None:
    return next((name for name in COMPILERS if shutil.which(name)), None)


def compile_library(estimator: Any, path: Path) -> None:
    """Write the estimator's ensemble to `path` as a shared library.

    Raises ValueError for an ensemble that would take minutes, or that the compiled code
    would misread, and whatever Treelite and TL2cgen raise. Takes seconds; their notes on
    standard error cannot be turned off.
    """
    import tl2cgen

    model = import_ensemble(estimator)
    _refuse_unfit(model)
    # TL2cgen prints, whatever its `verbose` says.
    with contextlib.redirect_stdout(None):
        tl2cgen.export_lib(
            model,
            toolchain=_compiler() or COMPILERS[0],
            libpath=path,
            params={"parallel_comp": min(SOURCE_FILES, model.num_tree)},
            options=list(OPTIONS),
        )


def _refuse_unfit(model: Any) -> None:
    statements = 0
    for place in range(model.num_tree):
        tree = model.get_tree_accessor(place)
        statements += int(tree.get_field("num_nodes")[0]) + tree.get_field("leaf_vector").size
        thresholds = np.asarray(tree.get_field("threshold"), dtype=np.float64)
        if (thresholds.view(np.int64) & _LOW_WORD >= _LOW_WORD - 1).any():
            raise ValueError("a threshold lies where TL2cgen's mark of a missing value does")
    if statements > MAX_STATEMENTS:
        raise ValueError(
            f"its trees take {statements:,} statements of C; at most {MAX_STATEMENTS:,} "
            "are compiled, as more take minutes"
        )


class Tl2cgenBackend:
    """Runs one compiled ensemble. The file must be trusted: opening it runs its code.

    outputs: output -> {"rule", "labels", "dtype", "casts"}, see
    `treelite_backend.output_rules`.
    """

    name = NAME

    def __init__(self, path: Path, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        import tl2cgen

        self._matrix = tl2cgen.DMatrix
        # TL2cgen allows one caller at a time on a predictor. All are opened at once, so that
        # they share one mapping of the file that was verified.
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(os.cpu_count() or 1):
            self._idle.put(tl2cgen.Predictor(path, nthread=1))
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
            rows = rows.astype(np.float32).astype(np.float64, order="C")
        else:
            rows = _without_mark(np.ascontiguousarray(rows))
        matrix = self._matrix(rows, dtype="float64")
        predictor = self._idle.get()
        try:
            raw = predictor.predict(matrix).reshape(len(rows), -1)
        finally:
            self._idle.put(predictor)
        return {name: answer_by_rule(raw, *self._rules[name]) for name in outputs}


def _without_mark(rows: np.ndarray) -> np.ndarray:
    """Rows in which no number looks missing.

    The compiled code takes a double whose low 32 bits are all set for a missing value: it
    shares its bytes with the mark, an int of -1 (`union Entry`). The next double below 1.5
    is one. Such a number is moved by its last bit, past no threshold: `compile_library`
    refuses those on either side.
    """
    bits = rows.view(np.int64)
    moved: np.ndarray = bits - (bits & _LOW_WORD == _LOW_WORD)
    return moved.view(np.float64)
