"""Folders of models: what is found, what is refused, and what adding one may not do."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ArtefactError
from engine.models.adding import add_model
from engine.models.artefacts import MAX_MLMODEL_BYTES, artefact_at, find_artefact
from engine.models.repository import read_repository, read_version
from engine.models.trust import MAX_FILE_BYTES, TrustFile

CONTENT = b"not opened here"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def put(root: Path, name: str = "m", version: str = "1", file: str = "model.onnx") -> Path:
    folder = root / name / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(CONTENT)
    return folder


def problem(root: Path, key: str) -> str:
    found = read_repository(root)
    assert key not in {f"{e.name}/{e.version}" for e in found.entries}
    return found.problems[key]


def test_versions_are_found_in_the_order_of_their_numbers(root: Path) -> None:
    for version in ("10", "9", "1"):
        put(root, version=version)
    put(root, name="a")
    (root / ".hidden").mkdir()
    (root / "notes.txt").write_text("no folder")
    (root / "m/0").mkdir()
    (root / "m/draft").mkdir()
    found = read_repository(root)
    assert [e.key for e in found.entries] == [("a", "1"), ("m", "1"), ("m", "9"), ("m", "10")]
    assert found.problems == {}


def test_one_artefact_in_a_model_s_own_folder_is_its_first_version(root: Path) -> None:
    (root / "flat").mkdir(parents=True)
    (root / "flat/model.onnx").write_bytes(CONTENT)
    (root / "flat/model.toml").write_text("preload = false")
    (entry,) = read_repository(root).entries
    assert (entry.key, entry.home, entry.folder) == (("flat", "1"), root / "flat", root / "flat")
    assert not entry.declared.preload
    assert read_version(entry.home, "1") == entry
    put(root, name="flat", version="2")
    first, second = read_repository(root).entries
    assert (first.key, second.key) == (("flat", "1"), ("flat", "2"))
    assert (first, second) == (read_version(entry.home, "1"), read_version(entry.home, "2"))
    (root / "flat/1").mkdir()
    found = read_repository(root)
    assert [entry.key for entry in found.entries] == [("flat", "2")]
    assert "flat/1" in found.problems, "a folder 1 is version 1, whatever is in it"


def test_a_model_named_as_its_version_or_its_repository_is_found(root: Path) -> None:
    put(root, name="1")
    (root / "models").mkdir()
    (root / "models/model.onnx").write_bytes(CONTENT)
    found = {entry.key: entry for entry in read_repository(root).entries}
    assert {key: entry.home for key, entry in found.items()} == {
        ("1", "1"): root / "1",
        ("models", "1"): root / "models",
    }


def test_no_folder_holds_no_models(root: Path) -> None:
    assert read_repository(root).entries == ()


def test_what_a_version_says_of_itself_is_read(root: Path) -> None:
    folder = put(root)
    (folder / "metadata.json").write_text('{"accuracy": 0.9}')
    np.savez(folder / "samples.npz", x=np.eye(2), words=np.array(["a", "b"]))
    (entry,) = read_repository(root).entries
    assert entry.metadata == {"accuracy": 0.9}
    samples = entry.samples()
    assert samples["x"].tolist() == [[1, 0], [0, 1]]
    assert samples["words"].dtype == object
    assert entry.held_out() == {}
    assert entry.content() == CONTENT


def test_content_that_changed_since_it_was_read_is_refused(root: Path) -> None:
    put(root)
    (entry,) = read_repository(root).entries
    entry.artefact.write_bytes(b"another model")
    with pytest.raises(ArtefactError, match="m/1 changed while it was being loaded"):
        entry.content()


@pytest.mark.parametrize("content", [b"no archive", b"", b"PK\3\4 cut"])
def test_samples_that_cannot_be_read_are_named(root: Path, content: bytes) -> None:
    (put(root) / "samples.npz").write_bytes(content)
    (entry,) = read_repository(root).entries
    with pytest.raises(ArtefactError, match=r"m/1/samples\.npz: "):
        entry.samples()


def test_samples_that_are_cut_or_scribbled_over_are_named(root: Path) -> None:
    """Cut anywhere, or a byte changed anywhere: an error of ours, or arrays all the same."""
    file = put(root) / "samples.npz"
    np.savez_compressed(file, x=np.arange(50.0))
    whole = file.read_bytes()
    (entry,) = read_repository(root).entries
    for at in range(0, len(whole), 3):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            file.write_bytes(damaged)
            with contextlib.suppress(ArtefactError):
                assert all(len(array) for array in entry.samples().values())


def test_samples_that_would_run_code_are_refused(root: Path) -> None:
    folder = put(root)
    np.savez(folder / "samples.npz", x=np.array([{"a": 1}], dtype=object))
    (entry,) = read_repository(root).entries
    with pytest.raises(ArtefactError, match="allow_pickle"):
        entry.samples()


def test_a_budget_depends_on_the_held_out_rows(root: Path) -> None:
    folder = put(root)
    (root / "m/model.toml").write_text('[accuracy_budget]\nmetric = "r2"\nlargest_loss = 0.1')
    before = read_version(root / "m", "1").digest
    np.savez(folder / "held_out.npz", x=np.eye(2), target=np.ones(2))
    assert read_version(root / "m", "1").digest != before


@pytest.mark.parametrize("file", ["samples.npz", "held_out.npz", "metadata.json"])
def test_a_link_beside_the_artefact_is_refused(root: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / "secret").write_text("{}")
    (put(root) / file).symlink_to(tmp_path / "secret")
    assert problem(root, "m/1") == f"1/{file} is a symbolic link; links are refused"


def test_links_to_models_and_their_declarations_are_refused(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere")
    root.mkdir()
    (root / "m").symlink_to(tmp_path / "elsewhere/m")
    assert "links out of the repository are refused" in problem(root, "m")
    put(root, name="n")
    (root / "n/model.toml").symlink_to(tmp_path / "elsewhere/m/1/model.onnx")
    assert problem(root, "n") == "n/model.toml is a symbolic link; links are refused"
    put(root, name="o", version="2").rename(root / "o/kept")
    (root / "o/1").symlink_to(root / "o/kept")
    assert "is reached by a symbolic link" in problem(root, "o/1")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [("[1]", "m/1/metadata.json is no JSON object"), ("{", "Expecting property name")],
)
def test_metadata_that_is_none_is_a_problem(root: Path, metadata: str, said: str) -> None:
    (put(root) / "metadata.json").write_text(metadata)
    assert said in problem(root, "m/1")


def test_a_folder_without_a_version_and_a_name_that_is_none_are_problems(root: Path) -> None:
    (root / "m").mkdir(parents=True)
    (root / "a b").mkdir()
    found = read_repository(root).problems
    assert found["m"] == "m has no version folder such as m/1/, and no artefact"
    assert found["a b"].startswith("'a b' is no model name")


def test_a_version_that_is_not_there_cannot_be_read(root: Path) -> None:
    put(root)
    with pytest.raises(ArtefactError, match="m has no version 2"):
        read_version(root / "m", "2")


def test_a_folder_needs_exactly_one_artefact(root: Path) -> None:
    folder = put(root)
    (folder / "model.skops").write_bytes(CONTENT)
    assert problem(root, "m/1").startswith("m/1 holds 2 artefacts; it needs one of model.skops")
    put(root, name="n", file="readme.txt")
    assert problem(root, "n/1").startswith("n/1 holds 0 artefacts")


# MLflow


def mlmodel(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("flavour", "file", "kind"),
    [
        ("sklearn: {pickled_model: model.pkl}", "model.pkl", "pickle"),
        ("sklearn: {model_path: x.skops, serialization_format: skops}", "x.skops", "skops"),
        ("sklearn: {pickled_model: m.p, serialization_format: cloudpickle}", "m.p", "pickle"),
        ("onnx: {data: model.onnx}", "model.onnx", "onnx"),
    ],
)
def test_an_mlflow_folder_points_to_its_model(
    tmp_path: Path, flavour: str, file: str, kind: str
) -> None:
    folder = mlmodel(tmp_path / "m/1", f"flavors: {{{flavour}}}")
    (folder / file).write_bytes(CONTENT)
    artefact = find_artefact(folder)
    assert (artefact.path, artefact.format) == (folder / file, kind)
    assert artefact.from_mlflow
    assert artefact.runs_code == (kind == "pickle")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flavors: 3", "names no flavors"),
        ("- a list", "names no flavors"),
        ("flavors: {pytorch: {}}", "has flavors pytorch; it needs sklearn or onnx"),
        ("flavors: {sklearn: {serialization_format: dill}}", "serialization_format 'dill'"),
        ("flavors: {onnx: {data: ../x}}", "points to '../x', not to a file here"),
        ("flavors: {onnx: {}}", "points to 'None', not to a file here"),
        ("flavors: {onnx: {data: gone.onnx}}", "points to 'gone.onnx', which is absent"),
        ("flavors: {", "1/MLmodel: while parsing"),
        ("x" * (MAX_MLMODEL_BYTES + 1), f"is over {MAX_MLMODEL_BYTES} bytes"),
    ],
    ids=lambda text: text[:30],
)
def test_an_mlmodel_that_names_no_model_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ArtefactError) as raised:
        find_artefact(mlmodel(tmp_path / "m/1", text))
    assert said in str(raised.value)


def test_an_mlmodel_beside_another_artefact_is_refused(tmp_path: Path) -> None:
    folder = mlmodel(tmp_path / "m/1", "flavors: {onnx: {data: own.onnx}}")
    (folder / "own.onnx").write_bytes(CONTENT)
    assert find_artefact(folder).path.name == "own.onnx"
    (folder / "model.skops").write_bytes(CONTENT)
    with pytest.raises(ArtefactError, match="holds an MLmodel and another artefact"):
        find_artefact(folder)


def test_a_file_is_known_by_its_ending(tmp_path: Path) -> None:
    for name, kind in (("a.skops", "skops"), ("b.pickle", "pickle"), ("c.py", "python")):
        (tmp_path / name).write_bytes(CONTENT)
        assert artefact_at(tmp_path / name).format == kind
    (tmp_path / "d.h5").write_bytes(CONTENT)
    for path in (tmp_path / "d.h5", tmp_path / "absent.onnx"):
        with pytest.raises(ArtefactError, match="is no model; give a file ending in"):
            artefact_at(path)


# Adding


@pytest.fixture
def trust(tmp_path: Path) -> TrustFile:
    return TrustFile(tmp_path / "trusted.sha256")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given/any.onnx"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def test_an_added_model_has_its_files_beside_it(root: Path, file: Path, trust: TrustFile) -> None:
    (file.parent / "metadata.json").write_text(json.dumps({"by": "ada"}))
    (file.parent / "model.toml").write_text('description = "first"')
    entry = add_model(file, root, "m", None, trust)
    assert (entry.key, entry.metadata) == (("m", "1"), {"by": "ada"})
    assert entry.declared.description == "first"
    assert entry.artefact == root / "m/1/model.onnx"
    assert entry.content() == CONTENT


def test_the_models_own_declaration_stays(root: Path, file: Path, trust: TrustFile) -> None:
    put(root, version="4")
    (root / "m/model.toml").write_text('description = "own"')
    (file.parent / "model.toml").write_text('description = "other"')
    entry = add_model(file, root, "m", None, trust)
    assert entry.key == ("m", "5")
    assert entry.declared.description == "own"
    assert sorted(path.name for path in entry.folder.iterdir()) == ["model.onnx"]


def test_an_mlflow_folder_is_added_whole(root: Path, tmp_path: Path, trust: TrustFile) -> None:
    folder = mlmodel(tmp_path / "run", "flavors: {onnx: {data: own.onnx}}")
    (folder / "own.onnx").write_bytes(CONTENT)
    entry = add_model(folder, root, "m", "7", trust)
    assert entry.artefact == root / "m/7/own.onnx"
    assert entry.format == "onnx"


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("../m", None, "'../m' is no model name"),
        ("m", "0", "version is '0'; it must be a whole number from 1"),
        ("m", "../../x", "version is '../../x'"),
        ("m", "4", "m/4 exists; versions are never overwritten"),
    ],
)
def test_names_and_versions_that_are_none_are_refused(
    root: Path, file: Path, trust: TrustFile, name: str, version: str | None, said: str
) -> None:
    put(root, version="4")
    with pytest.raises(ArtefactError) as raised:
        add_model(file, root, name, version, trust)
    assert said in str(raised.value)
    assert [path.name for path in (root / "m").iterdir()] == ["4"]


def test_a_version_that_cannot_be_served_is_not_left_behind(
    root: Path, file: Path, trust: TrustFile
) -> None:
    (file.parent / "metadata.json").write_text("[]")
    with pytest.raises(ArtefactError, match="is no JSON object"):
        add_model(file, root, "m", None, trust)
    assert list((root / "m").iterdir()) == []


def test_links_beside_what_is_added_are_left_out(
    root: Path, file: Path, trust: TrustFile, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("{}")
    (file.parent / "metadata.json").symlink_to(tmp_path / "secret")
    assert add_model(file, root, "m", None, trust).metadata == {}


# The trust file


def test_a_trust_file_that_is_too_large_or_no_text_is_refused(trust: TrustFile) -> None:
    trust.path.write_bytes(b"\n" * (MAX_FILE_BYTES + 1))
    trust.path.chmod(0o600)
    with pytest.raises(ArtefactError, match=f"is over {MAX_FILE_BYTES} bytes"):
        trust.digests()
    trust.path.write_bytes(b"\xff\xfe")
    with pytest.raises(ArtefactError, match=r"trust file .*: 'utf-8' codec"):
        trust.digests()


def test_only_files_are_trusted(trust: TrustFile, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is no file"):
        trust.add(tmp_path)


def test_lines_that_are_no_digest_trust_nothing(trust: TrustFile) -> None:
    digest = "ab" * 32
    trust.path.write_text(f"# {digest}\n{digest}x\n{digest.upper()}\n\n  {digest}  a name\n")
    trust.path.chmod(0o600)
    assert trust.digests() == {digest}
