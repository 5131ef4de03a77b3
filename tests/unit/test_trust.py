"""The trust file: what it lists, what it refuses, and that nothing is opened before."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from engine.errors import ArtefactError, Untrusted
from engine.models.adding import add_model
from engine.models.artefacts import find_artefact
from engine.models.repository import read_repository, read_version
from engine.models.trust import TrustFile

MLMODEL = """
flavors:
  sklearn: {{pickled_model: {file}, serialization_format: {kind}}}
"""


class Bomb:
    """Its pickle writes a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.target, "it ran")


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Path, Path]:
    """(a pickle, the file that it would create)"""
    target, file = tmp_path / "created", tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(Bomb(target)))
    return file, target


def test_a_listed_digest_is_trusted_and_another_is_not(tmp_path: Path) -> None:
    trust = TrustFile(tmp_path / "trusted.sha256")
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    digest = trust.add(tmp_path / "a")
    assert trust.add(tmp_path / "a") == digest
    assert len((tmp_path / "trusted.sha256").read_text().splitlines()) == 1
    trust.require_digest(digest, tmp_path / "a")
    with pytest.raises(Untrusted, match="pyrometer models trust"):
        trust.require_digest("0" * 64, tmp_path / "b")


def test_a_trust_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    trust = TrustFile(tmp_path / "trusted.sha256")
    (tmp_path / "a").write_bytes(b"a")
    trust.add(tmp_path / "a")
    (tmp_path / "trusted.sha256").chmod(0o666)
    with pytest.raises(ArtefactError, match="written by others"):
        trust.digests()


@pytest.mark.parametrize("kind", ["pickle", "cloudpickle"])
def test_an_untrusted_mlflow_folder_is_not_added_and_never_opened(
    bomb: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    file, target = bomb
    (tmp_path / "MLmodel").write_text(MLMODEL.format(file=file.name, kind=kind))
    with pytest.raises(Untrusted):
        add_model(tmp_path, tmp_path / "models", "m", None, TrustFile(tmp_path / "none"))
    assert not target.exists()
    assert not (tmp_path / "models/m").exists()


@pytest.mark.parametrize("name", ["../model.pkl", "/etc/passwd", "", "absent.pkl"])
def test_an_mlmodel_may_only_point_to_a_file_beside_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "model.pkl").write_bytes(b"x")
    (tmp_path / "1/MLmodel").write_text(MLMODEL.format(file=f'"{name}"', kind="pickle"))
    with pytest.raises(ArtefactError, match="points to"):
        find_artefact(tmp_path / "1")


def test_adding_copies_whole_versions_and_overwrites_none(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"graph")
    models, trust = tmp_path / "models", TrustFile(tmp_path / "none")
    assert add_model(tmp_path / "net.onnx", models, "net", None, trust).version == "1"
    assert add_model(tmp_path / "net.onnx", models, "net", None, trust).version == "2"
    with pytest.raises(ArtefactError, match="never overwritten"):
        add_model(tmp_path / "net.onnx", models, "net", "2", trust)
    assert sorted(path.name for path in (models / "net").iterdir()) == ["1", "2"]
    assert read_version(models / "net", "2").format == "onnx"


def test_one_unusable_version_leaves_the_others_usable(tmp_path: Path) -> None:
    for version, name in (("1", "model.onnx"), ("2", "readme.txt")):
        (tmp_path / "m" / version).mkdir(parents=True)
        (tmp_path / "m" / version / name).write_bytes(b"x")
    found = read_repository(tmp_path)
    assert [entry.version for entry in found.entries] == ["1"]
    assert "holds 0 artefacts" in found.problems["m/2"]


def test_a_pinned_version_that_is_absent_is_a_problem_and_the_newest_serves(
    tmp_path: Path,
) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.onnx").write_bytes(b"x")
    (tmp_path / "m/model.toml").write_text("serve = 3")
    found = read_repository(tmp_path)
    assert found.entries[0].declared.serve == "newest"
    assert "pins version 3" in found.problems["m"]
