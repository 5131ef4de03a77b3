"""One trained model on its way into a repository, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BUILDER = 4
"""Raised when a build gives other models than before, so that old folders are rebuilt."""


@dataclass(frozen=True)
class BuiltModel:
    """A fitted estimator and all that is written beside it.

    samples: held-out rows by input name. metadata: quality, medians, classes, seed.
    """

    name: str
    description: str
    task: str
    input_name: str
    datatype: str
    shape: tuple[int, ...]
    estimator: Any
    samples: np.ndarray
    metadata: dict[str, Any]
    columns: tuple[str, ...] = ()
    preload: bool = True
    extra: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def is_built(models: Path, name: str) -> bool:
    """True when the model's folder is whole and by this builder."""
    folder = models / name
    try:
        metadata = json.loads((folder / "1/metadata.json").read_bytes())
        return metadata["builder"] == BUILDER and all(
            (folder / file).is_file() for file in ("model.toml", *metadata["files"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_model(models: Path, built: BuiltModel) -> None:
    """Write a model folder beside its place, then move it there in one step.

    An older folder of that name is moved aside first and then deleted, so that a stop at
    any point leaves a whole folder or none.
    """
    import skops.io

    models.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{built.name}-", dir=models))
    try:
        scratch.chmod(0o755)
        version = scratch / "1"
        version.mkdir()
        (scratch / "model.toml").write_text(_toml(built))
        skops.io.dump(built.estimator, version / "model.skops")
        _write_arrays(version / "samples.npz", {built.input_name: built.samples})
        for file, arrays in built.extra.items():
            _write_arrays(version / file, arrays)
        files = sorted(f"1/{path.name}" for path in version.iterdir())
        metadata = {"builder": BUILDER, "files": files} | built.metadata
        (version / "metadata.json").write_text(json.dumps(metadata, indent=1))
        _replace(scratch, models / built.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(new: Path, place: Path) -> None:
    old = new.with_name(f"{new.name}-old")
    if place.exists():
        os.rename(place, old)
    os.rename(new, place)
    shutil.rmtree(old, ignore_errors=True)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    # The stubs take every keyword for one of savez's own.
    write: Any = np.savez_compressed
    write(path, allow_pickle=False, **arrays)


def _toml(built: BuiltModel) -> str:
    # JSON's strings, numbers and lists are TOML's too.
    lines = [
        f"description = {json.dumps(built.description)}",
        f"task = {json.dumps(built.task)}",
        f"preload = {json.dumps(built.preload)}",
        "",
        "[[inputs]]",
        f"name = {json.dumps(built.input_name)}",
        f"datatype = {json.dumps(built.datatype)}",
        f"shape = {json.dumps(list(built.shape))}",
    ]
    if built.columns:
        lines.append(f"columns = {json.dumps(list(built.columns))}")
    return "\n".join(lines) + "\n"
