"""The model repository on disk, read without importing any model library.

    models/
      fraud_detector/
        model.toml          optional: description, task, preload, inputs, cache
        1/model.skops       or model.onnx
        1/samples.npz       optional: one array per input, real rows for parity and warm-up
        1/metadata.json     optional: held-out quality, training medians

A version is a sub-folder named by a positive integer that holds one artefact.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ArtefactError
from engine.types import NUMPY_DTYPES, TensorSpec

ARTEFACTS = ("model.skops",)
NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")
MODEL_TOML_KEYS = frozenset({"description", "task", "preload", "inputs", "cache"})
INPUT_KEYS = frozenset({"name", "datatype", "shape", "columns"})


@dataclass(frozen=True, slots=True)
class InputDeclaration:
    """One `[[inputs]]` table; columns name the features of a matrix input."""

    spec: TensorSpec
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One version of one model as found on disk; nothing is loaded yet.

    digest: SHA-256 of the artefact and of model.toml, hex.
    """

    name: str
    version: str
    artefact: Path
    digest: str
    description: str = ""
    task: str = ""
    preload: bool = True
    cache_results: bool = True
    inputs: tuple[InputDeclaration, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.artefact.parent

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.version

    def samples(self) -> dict[str, np.ndarray]:
        """Real rows by input name; empty where the model ships none.

        Raises ArtefactError for a file that numpy cannot read without pickle.
        """
        path = self.folder / "samples.npz"
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: _tensor(archive[name]) for name in archive.files}
        except (OSError, ValueError, EOFError) as error:
            raise ArtefactError(f"{self.name}/{self.version}/samples.npz: {error}") from error


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
            entries.extend(read_model(folder))
        except (ArtefactError, OSError, ValueError) as error:
            problems[folder.name] = str(error)
    return Repository(tuple(entries), problems)


def read_model(folder: Path) -> list[ModelEntry]:
    """The versions of one model's folder, ascending. Raises ArtefactError, OSError, ValueError."""
    if not NAME_PATTERN.fullmatch(folder.name):
        raise ArtefactError(f"{folder.name!r} is no model name; use letters, digits, '_', '.', '-'")
    if folder.is_symlink():
        raise ArtefactError(
            f"{folder.name} is a symbolic link; links out of the repository are refused"
        )
    toml_path = folder / "model.toml"
    toml_bytes = toml_path.read_bytes() if toml_path.is_file() else b""
    declared = _parse_model_toml(toml_bytes)
    versions = [d for d in folder.iterdir() if d.is_dir() and VERSION_PATTERN.fullmatch(d.name)]
    if not versions:
        raise ArtefactError(f"{folder.name} has no version folder such as {folder.name}/1/")
    return [
        _read_version(folder.name, version, toml_bytes, declared)
        for version in sorted(versions, key=lambda d: int(d.name))
    ]


def _read_version(
    name: str, folder: Path, toml_bytes: bytes, declared: dict[str, Any]
) -> ModelEntry:
    found = [folder / artefact for artefact in ARTEFACTS if (folder / artefact).is_file()]
    if len(found) != 1:
        raise ArtefactError(
            f"{name}/{folder.name} holds {len(found)} artefacts; "
            f"it needs one of {', '.join(ARTEFACTS)}"
        )
    if found[0].is_symlink() or folder.is_symlink():
        raise ArtefactError(f"{name}/{folder.name} is reached by a symbolic link; that is refused")
    metadata_path = folder / "metadata.json"
    metadata = json.loads(metadata_path.read_bytes()) if metadata_path.is_file() else {}
    if not isinstance(metadata, dict):
        raise ArtefactError(f"{name}/{folder.name}/metadata.json is no JSON object")
    return ModelEntry(
        name=name,
        version=folder.name,
        artefact=found[0],
        digest=_digest(found[0], toml_bytes),
        metadata=metadata,
        **declared,
    )


def _digest(artefact: Path, toml_bytes: bytes) -> str:
    with artefact.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(hashlib.sha256(toml_bytes).digest())
    return digest.hexdigest()


def _parse_model_toml(content: bytes) -> dict[str, Any]:
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"model.toml: {error}") from error
    if unknown := table.keys() - MODEL_TOML_KEYS:
        raise ArtefactError(
            f"model.toml: unknown key {sorted(unknown)[0]!r}; "
            f"known: {', '.join(sorted(MODEL_TOML_KEYS))}"
        )
    cache = _typed(table, "cache", dict, {})
    return {
        "description": _typed(table, "description", str, ""),
        "task": _typed(table, "task", str, ""),
        "preload": _typed(table, "preload", bool, True),
        "cache_results": _typed(cache, "results", bool, True),
        "inputs": tuple(_parse_input(item) for item in _typed(table, "inputs", list, [])),
    }


def _parse_input(item: Any) -> InputDeclaration:
    if not isinstance(item, dict) or item.keys() - INPUT_KEYS or "name" not in item:
        raise ArtefactError(f"model.toml: [[inputs]] takes {', '.join(sorted(INPUT_KEYS))}")
    datatype = _typed(item, "datatype", str, "FP64")
    if datatype not in NUMPY_DTYPES:
        raise ArtefactError(f"model.toml: inputs.{item['name']}: unknown datatype {datatype!r}")
    shape = tuple(int(size) for size in _typed(item, "shape", list, [-1]))
    columns = tuple(str(column) for column in _typed(item, "columns", list, []))
    if columns and (len(shape) != 2 or shape[1] not in (-1, len(columns))):
        raise ArtefactError(
            f"model.toml: inputs.{item['name']}: "
            f"{len(columns)} columns do not fit shape {list(shape)}"
        )
    if len(set(columns)) != len(columns):
        raise ArtefactError(f"model.toml: inputs.{item['name']}: a column is named twice")
    return InputDeclaration(TensorSpec(str(item["name"]), datatype, shape), columns)


def _typed(table: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind):
        raise ArtefactError(f"model.toml: {key} is {value!r}; it must be {kind.__name__}")
    return value
