"""Finding a version's artefact: one file that holds the model, in one of five formats.

format   file                              opening it runs code
skops    model.skops                       no, closed list of types
onnx     model.onnx                        no
joblib   model.joblib                      yes: trusted by digest only
pickle   model.pkl                         yes: trusted by digest only
python   model.py                          yes: trusted by digest only

An MLflow folder (MLmodel, scikit-learn or onnx flavour) points to such a file, and is
served as that file's format. Nothing here opens an artefact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ArtefactError

MLMODEL = "MLmodel"
FORMATS = {
    "model.skops": "skops",
    "model.onnx": "onnx",
    "model.joblib": "joblib",
    "model.pkl": "pickle",
    "model.py": "python",
}
RUNS_CODE = frozenset({"joblib", "pickle", "python"})
MLFLOW_SKLEARN_FORMATS = {"pickle": "pickle", "cloudpickle": "pickle", "skops": "skops"}
MAX_MLMODEL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Artefact:
    """The file to open and its format. from_mlflow: an MLmodel file pointed to it."""

    path: Path
    format: str
    from_mlflow: bool = False

    @property
    def runs_code(self) -> bool:
        return self.format in RUNS_CODE


def has_artefact(folder: Path) -> bool:
    """Whether a folder holds one or more of the files that `find_artefact` looks for."""
    return any((folder / name).is_file() for name in (*FORMATS, MLMODEL))


def find_artefact(folder: Path) -> Artefact:
    """The one artefact of a version's folder. Raises ArtefactError for none, two or a link."""
    found = [folder / name for name in (*FORMATS, MLMODEL) if (folder / name).is_file()]
    mlmodel = folder / MLMODEL
    if mlmodel in found:
        # Its model file may have one of our own names; MLmodel says what it is.
        artefact = _from_mlmodel(mlmodel)
        if any(path not in (mlmodel, artefact.path) for path in found):
            raise ArtefactError(f"{_shown(folder)} holds an MLmodel and another artefact")
        return _no_links(artefact, folder)
    if len(found) != 1:
        raise ArtefactError(
            f"{_shown(folder)} holds {len(found)} artefacts; "
            f"it needs one of {', '.join((*FORMATS, MLMODEL))}"
        )
    return _no_links(Artefact(found[0], FORMATS[found[0].name]), folder)


def artefact_at(path: Path) -> Artefact:
    """The artefact that a path given by a person means: a file by its suffix, or a folder.

    Raises ArtefactError naming what would be taken.
    """
    if path.is_dir():
        return find_artefact(path)
    by_suffix = {Path(name).suffix: kind for name, kind in FORMATS.items()}
    by_suffix[".pickle"] = "pickle"
    if not path.is_file() or path.suffix not in by_suffix:
        raise ArtefactError(
            f"{path} is no model; give a file ending in {', '.join(sorted(by_suffix))}, "
            f"or a folder with an {MLMODEL} file"
        )
    return Artefact(path, by_suffix[path.suffix])


def _from_mlmodel(path: Path) -> Artefact:
    flavours = _read_mlmodel(path).get("flavors")
    if not isinstance(flavours, dict):
        raise ArtefactError(f"{_shown(path)} names no flavors")
    if isinstance(sklearn := flavours.get("sklearn"), dict):
        stored_as = sklearn.get("serialization_format", "pickle")
        if stored_as not in MLFLOW_SKLEARN_FORMATS:
            raise ArtefactError(f"{_shown(path)}: serialization_format {stored_as!r} is unknown")
        file = _inside(path, sklearn.get("pickled_model") or sklearn.get("model_path"))
        return Artefact(file, MLFLOW_SKLEARN_FORMATS[stored_as], from_mlflow=True)
    if isinstance(onnx := flavours.get("onnx"), dict):
        return Artefact(_inside(path, onnx.get("data")), "onnx", from_mlflow=True)
    raise ArtefactError(
        f"{_shown(path)} has flavors {', '.join(map(str, flavours))}; it needs sklearn or onnx"
    )


def _read_mlmodel(path: Path) -> dict[str, Any]:
    import yaml

    if path.stat().st_size > MAX_MLMODEL_BYTES:
        raise ArtefactError(f"{_shown(path)} is over {MAX_MLMODEL_BYTES} bytes")
    try:
        content = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise ArtefactError(f"{_shown(path)}: {error}") from error
    return content if isinstance(content, dict) else {}


def _inside(mlmodel: Path, name: Any) -> Path:
    """The model file beside MLmodel; a path that leads elsewhere is refused."""
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ArtefactError(f"{_shown(mlmodel)} points to {str(name)[:80]!r}, not to a file here")
    file = mlmodel.parent / name
    if not file.is_file():
        raise ArtefactError(f"{_shown(mlmodel)} points to {name[:80]!r}, which is absent")
    return file


def _no_links(artefact: Artefact, folder: Path) -> Artefact:
    if artefact.path.is_symlink() or folder.is_symlink() or (folder / MLMODEL).is_symlink():
        raise ArtefactError(f"{_shown(folder)} is reached by a symbolic link; that is refused")
    return artefact


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
