"""Putting a model into the repository: `pyrometer models add`. Nothing is opened."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from engine.errors import ArtefactError
from engine.models.artefacts import FORMATS, Artefact, artefact_at
from engine.models.files import sha256_of
from engine.models.model_toml import NAME_PATTERN
from engine.models.repository import VERSION_PATTERN, ModelEntry, read_version
from engine.models.trust import TrustFile

BESIDE = ("samples.npz", "held_out.npz", "metadata.json", "model.toml")


def add_model(
    path: Path, models: Path, name: str, version: str | None, trust: TrustFile
) -> ModelEntry:
    """Copy a file or an MLflow folder into `models` as a new version; returns its entry.

    version: None takes the number after the newest. A model.toml beside the file becomes
    the model's own where it has none yet. What would run code must be trusted already.
    The version appears whole or not at all.
    Raises ArtefactError naming what is wrong, Untrusted for a digest that is not listed.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise ArtefactError(f"{name[:80]!r} is no model name; use letters, digits, '_', '.', '-'")
    artefact = artefact_at(path)
    digest = sha256_of(artefact.path)
    if artefact.runs_code:
        trust.require_digest(digest, artefact.path)
    folder = models / name
    number = version or _next_version(folder)
    if not VERSION_PATTERN.fullmatch(number):
        raise ArtefactError(f"version is {number[:20]!r}; it must be a whole number from 1")
    target = folder / number
    if target.exists():
        raise ArtefactError(f"{name}/{number} exists; versions are never overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{number}-", dir=folder))
    try:
        scratch.chmod(0o755)
        copied = _copy(artefact, scratch)
        if sha256_of(copied) != digest:
            raise ArtefactError(f"{artefact.path} changed while it was being copied")
        beside = scratch / "model.toml"
        if beside.is_file():
            own = folder / "model.toml"
            if own.exists():
                beside.unlink()
            else:
                os.rename(beside, own)
        os.rename(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        return read_version(folder, number)
    except (ArtefactError, OSError, ValueError):
        shutil.rmtree(target, ignore_errors=True)
        raise


def _next_version(folder: Path) -> str:
    taken = [int(d.name) for d in folder.glob("*") if VERSION_PATTERN.fullmatch(d.name)]
    return str(max(taken, default=0) + 1)


def _copy(artefact: Artefact, scratch: Path) -> Path:
    """Copy the artefact and the files of ours beside it; returns the copy of the artefact."""
    source = artefact.path.parent
    name = next(file for file, kind in FORMATS.items() if kind == artefact.format)
    if artefact.from_mlflow:
        shutil.copyfile(source / "MLmodel", scratch / "MLmodel")
        name = artefact.path.name
    shutil.copyfile(artefact.path, scratch / name)
    for extra in BESIDE:
        file = source / extra
        if file.is_file() and not file.is_symlink():
            shutil.copyfile(file, scratch / extra)
    return scratch / name
