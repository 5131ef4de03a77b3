"""The model repository on disk, read without importing any model library.

    models/
      fraud_detector/
        model.toml          optional, see model_toml.py
        1/model.skops       or another artefact, see artefacts.py
        1/samples.npz       optional: one array per input, real rows for parity and warm-up
        1/held_out.npz      optional: rows and `target`, needed for an accuracy budget
        1/metadata.json     optional: held-out quality, training medians

A version is a sub-folder named by a positive integer that holds one artefact. One in the
model's own folder, fraud_detector/model.skops, is version 1 where there is no fraud_detector/1/.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ArtefactError, without_folders
from engine.models.artefacts import find_artefact, has_artefact
from engine.models.files import sha256_of
from engine.models.model_toml import NAME_PATTERN, NEWEST, Declaration, parse_model_toml

VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")
FLAT = "1"
"""The version of a model whose artefact lies in the model's own folder."""
SAMPLES, HELD_OUT = "samples.npz", "held_out.npz"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One version of one model as found on disk; nothing is loaded yet.

    artefact: the file to open. sha256: of that file, hex. digest: of all that its answers
    depend on (the file and the meaningful part of model.toml), hex. flat: its artefact
    lies in the model's own folder.
    """

    name: str
    version: str
    artefact: Path
    digest: str
    format: str = "skops"
    sha256: str = ""
    declared: Declaration = field(default_factory=Declaration)
    metadata: dict[str, Any] = field(default_factory=dict)
    flat: bool = False

    @property
    def home(self) -> Path:
        """The model's folder, as `read_version` takes it."""
        return self.folder if self.flat else self.folder.parent

    @property
    def folder(self) -> Path:
        return self.artefact.parent

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.version

    def content(self) -> bytes:
        """The artefact's bytes, those whose digest is known: what is checked is what is opened.

        Raises ArtefactError when the file has changed since it was read.
        """
        content = self.artefact.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ArtefactError(f"{self.name}/{self.version} changed while it was being loaded")
        return content

    def samples(self) -> dict[str, np.ndarray]:
        """Real rows by input name; empty where the model ships none.

        Raises ArtefactError for a file that numpy cannot read without pickle.
        """
        return self._arrays(SAMPLES)

    def held_out(self) -> dict[str, np.ndarray]:
        """Held-out rows by input name, and their true answers as `target`; or empty."""
        return self._arrays(HELD_OUT)

    def _arrays(self, file: str) -> dict[str, np.ndarray]:
        path = self.folder / file
        if not path.is_file():
            return {}
        refuse_link(path)
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: _tensor(archive[name]) for name in archive.files}
        except Exception as error:
            # Archives that are cut or damaged raise what zipfile, zlib and numpy's headers like.
            raise ArtefactError(f"{self.name}/{self.version}/{file}: {error}") from error


def _tensor(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind in "US" else array


@dataclass(frozen=True, slots=True)
class Repository:
    """A reading of the repository: what was found, and what could not be used and why."""

    entries: tuple[ModelEntry, ...]
    problems: dict[str, str]


def read_repository(root: Path) -> Repository:
    """Every model version under root, names sorted, versions ascending.

    A folder that cannot be used becomes a problem (folder name -> reason), never an
    exception: one bad model must not stop the others.
    """
    entries: list[ModelEntry] = []
    problems: dict[str, str] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            declared, versions = _model_folder(folder)
        except (ArtefactError, OSError, ValueError) as error:
            problems[folder.name] = without_folders(str(error))
            continue
        if declared.serve != NEWEST and declared.serve not in versions:
            problems[folder.name] = f"model.toml pins version {declared.serve}, which is absent"
            declared = replace(declared, serve=NEWEST)
        for version, place in versions.items():
            try:
                entries.append(_read_version(folder, version, place, declared))
            except (ArtefactError, OSError, ValueError) as error:
                problems[f"{folder.name}/{version}"] = without_folders(str(error))
    return Repository(tuple(entries), problems)


def read_version(folder: Path, version: str) -> ModelEntry:
    """One version in a model's folder. Raises ArtefactError, OSError or ValueError."""
    declared, versions = _model_folder(folder)
    if version not in versions:
        raise ArtefactError(f"{folder.name} has no version {version}")
    return _read_version(folder, version, versions[version], declared)


def refuse_link(path: Path) -> None:
    """Raises ArtefactError for a symbolic link: it may lead out of the repository."""
    if path.is_symlink():
        raise ArtefactError(f"{path.parent.name}/{path.name} is a symbolic link; links are refused")


def _model_folder(folder: Path) -> tuple[Declaration, dict[str, Path]]:
    """What model.toml says, and the folder of each version, ascending."""
    if not NAME_PATTERN.fullmatch(folder.name):
        raise ArtefactError(f"{folder.name!r} is no model name; use letters, digits, '_', '.', '-'")
    if folder.is_symlink():
        raise ArtefactError(
            f"{folder.name} is a symbolic link; links out of the repository are refused"
        )
    toml_path = folder / "model.toml"
    refuse_link(toml_path)
    declared = parse_model_toml(toml_path.read_bytes() if toml_path.is_file() else b"")
    versions = [d for d in folder.iterdir() if d.is_dir() and VERSION_PATTERN.fullmatch(d.name)]
    found = {d.name: d for d in sorted(versions, key=lambda d: int(d.name))}
    if FLAT not in found and has_artefact(folder):
        found = {FLAT: folder} | found
    if not found:
        raise ArtefactError(
            f"{folder.name} has no version folder such as {folder.name}/1/, and no artefact"
        )
    return declared, found


def _read_version(home: Path, version: str, folder: Path, declared: Declaration) -> ModelEntry:
    name, artefact = home.name, find_artefact(folder)
    metadata_path = folder / "metadata.json"
    for beside in (metadata_path, folder / SAMPLES, folder / HELD_OUT):
        refuse_link(beside)
    metadata = json.loads(metadata_path.read_bytes()) if metadata_path.is_file() else {}
    if not isinstance(metadata, dict):
        raise ArtefactError(f"{name}/{version}/metadata.json is no JSON object")
    content = digest_of(artefact.path)
    digest = hashlib.sha256(content.encode() + declared.semantics())
    held_out = folder / HELD_OUT
    if declared.budget is not None and held_out.is_file():
        digest.update(digest_of(held_out).encode())
    return ModelEntry(
        name=name,
        version=version,
        artefact=artefact.path,
        digest=digest.hexdigest(),
        format=artefact.format,
        sha256=content,
        declared=declared,
        metadata=metadata,
        flat=folder == home,
    )


def digest_of(path: Path) -> str:
    """SHA-256 of a file, remembered while its inode, size and times stay the same."""
    status = os.stat(path)
    identity = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _digest_of(path, identity)


@lru_cache(maxsize=4096)
def _digest_of(path: Path, identity: tuple[int, ...]) -> str:
    return sha256_of(path)
