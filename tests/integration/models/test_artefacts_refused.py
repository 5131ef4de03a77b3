"""What is never opened: code without trust, whatever wraps it, and files elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from engine.config import Settings
from engine.engine import Engine
from engine.errors import ArtefactError, PyrometerError
from engine.models.backends.onnx_backend import refuse_external_data
from engine.models.plan import Candidate
from engine.models.plan_store import PlanStore, verify_files
from engine.models.repository import read_repository, read_version
from engine.models.trust import TrustFile
from engine.types import InferRequest

ROWS = np.random.default_rng(0).normal(size=(40, 3))


class Bomb:
    """Its pickle writes a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.target, "it ran")


def fitted() -> Any:
    return LogisticRegression().fit(ROWS, ROWS[:, 0] > 0)


def as_pickle(bomb: Bomb) -> bytes:
    return pickle.dumps(bomb)


def as_joblib(bomb: Bomb) -> bytes:
    content = io.BytesIO()
    joblib.dump(bomb, content, compress=3)
    return content.getvalue()


def with_arrays_of(made: Callable[[bytes], bytes], member: str) -> Callable[[Bomb], bytes]:
    """A skops file of which the arrays are replaced by what would run if numpy unpickled it."""

    def made_of(bomb: Bomb) -> bytes:
        array = io.BytesIO()
        np.save(array, np.array([bomb], dtype=object), allow_pickle=True)
        whole, changed = io.BytesIO(skops.io.dumps(fitted())), io.BytesIO()
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(changed, "w") as target:
            for name in source.namelist():
                is_target = name.endswith(member)
                target.writestr(name, made(array.getvalue()) if is_target else source.read(name))
        return changed.getvalue()

    return made_of


def as_skops_with_a_function(bomb: Bomb) -> bytes:
    """A schema that names pathlib's write_text, which is no type that skops trusts."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(fitted()))) as source:
        schema = json.loads(source.read("schema.json"))
    schema |= {
        "__class__": "write_text",
        "__module__": "pathlib.Path",
        "__loader__": "FunctionNode",
        "content": {"module_path": "pathlib.Path", "function": "write_text"},
    }
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as target:
        target.writestr("schema.json", json.dumps(schema))
    return changed.getvalue()


HOSTILE: dict[str, tuple[str, Callable[[Bomb], bytes]]] = {
    "pickle": ("model.pkl", as_pickle),
    "joblib": ("model.joblib", as_joblib),
    "pickle-called-skops": ("model.skops", as_pickle),
    "joblib-called-onnx": ("model.onnx", as_joblib),
    "skops-with-pickled-arrays": ("model.skops", with_arrays_of(lambda array: array, ".npy")),
    "skops-with-a-pickle-for-an-array": (
        "model.skops",
        with_arrays_of(lambda array: array[array.index(b"\x80") :], ".npy"),
    ),
    "skops-with-a-function": ("model.skops", as_skops_with_a_function),
}


@pytest.mark.parametrize("optimise", [True, False], ids=["planned", "as-it-is"])
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_what_is_not_trusted_never_runs(tmp_path: Path, kind: str, optimise: bool) -> None:
    name, content = HOSTILE[kind]
    target, folder = tmp_path / "created", tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content(Bomb(target)))
    with engine_of(tmp_path, optimise) as engine, pytest.raises(PyrometerError):
        engine.infer(InferRequest("m", {"input": ROWS}))
    assert not target.exists()


@pytest.mark.parametrize("kind", ["joblib", "pickle"])
def test_the_same_artefact_would_run_if_it_were_trusted(tmp_path: Path, kind: str) -> None:
    """Or the test above could not fail."""
    name, content = HOSTILE[kind]
    target, folder = tmp_path / "created", tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content(Bomb(target)))
    trust = TrustFile(tmp_path / "trusted.sha256")
    trust.add(folder / name)
    store = PlanStore(tmp_path / "state", 1e-5, 60, trust)
    with pytest.raises(PyrometerError):
        store.make(read_version(folder.parent, "1"), lambda child: None)
    assert target.read_text() == "it ran"


@pytest.mark.parametrize("file", ["samples.npz", "held_out.npz"])
def test_rows_beside_a_model_are_not_unpickled(tmp_path: Path, file: str) -> None:
    target, folder = tmp_path / "created", tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    skops.io.dump(fitted(), folder / "model.skops")
    np.savez(folder / file, input=np.array([Bomb(target)], dtype=object))
    entry = read_version(folder.parent, "1")
    with pytest.raises(ArtefactError, match=file):
        entry.samples() if file == "samples.npz" else entry.held_out()
    with engine_of(tmp_path, True) as engine, contextlib.suppress(PyrometerError):
        engine.infer(InferRequest("m", {"input": ROWS}))
    assert not target.exists()


@contextlib.contextmanager
def engine_of(root: Path, optimise: bool) -> Iterator[Engine]:
    settings = Settings(
        models=root / "models",
        state=root / "state",
        trust_file=root / "trusted.sha256",
        optimise=optimise,
        history=False,
        audit_interval_s=0,
        profile_hz=0,
    )
    engine = Engine(settings)
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


def test_a_trusted_pickle_that_changed_is_not_trusted_any_more(tmp_path: Path) -> None:
    folder, target = tmp_path / "models/m/1", tmp_path / "created"
    folder.mkdir(parents=True)
    trust = TrustFile(tmp_path / "trusted.sha256")
    (folder / "model.pkl").write_bytes(pickle.dumps(fitted()))
    trust.add(folder / "model.pkl")
    entry = read_version(folder.parent, "1")
    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb(target)))  # between check and opening
    store = PlanStore(tmp_path / "state", 1e-5, 60, trust)
    with pytest.raises(PyrometerError, match=r"not in|changed"):
        store.make(entry, lambda child: None)
    with pytest.raises(ArtefactError, match="changed while"):
        entry.content()
    assert not target.exists()


# links and paths that lead elsewhere


def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    skops.io.dump(fitted(), folder / "model.skops")
    np.savez(folder / "samples.npz", input=ROWS)
    (folder / "metadata.json").write_text("{}")
    (folder.parent / "model.toml").write_text("")
    return folder


@pytest.mark.parametrize(
    "linked",
    ["1/model.skops", "1/samples.npz", "1/metadata.json", "1/held_out.npz", "model.toml", "1", ""],
)
def test_a_link_out_of_the_repository_is_refused(tmp_path: Path, linked: str) -> None:
    folder = repository(tmp_path)
    np.savez(folder / "held_out.npz", input=ROWS, target=np.ones(40))
    assert not read_repository(tmp_path / "models").problems
    path = tmp_path / "models/m" / linked
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    found = read_repository(tmp_path / "models")
    assert not found.entries
    (reason,) = found.problems.values()
    assert "symbolic link" in reason


def test_metadata_that_leads_to_a_secret_is_not_shown(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    (tmp_path / "credentials.json").write_text('{"token": "hunter2"}')
    (folder / "metadata.json").unlink()
    (folder / "metadata.json").symlink_to(tmp_path / "credentials.json")
    assert "hunter2" not in repr(read_repository(tmp_path / "models"))


@pytest.mark.parametrize(
    "toml",
    [
        'encoder = "../other"',
        'encoder = "/etc/passwd"',
        'encoder = "a/../../b"',
        'encoder = "a\\u0000"',
    ],
)
def test_model_toml_names_no_path(tmp_path: Path, toml: str) -> None:
    folder = repository(tmp_path)
    (folder.parent / "model.toml").write_text(toml)
    assert not read_repository(tmp_path / "models").entries


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..", "a\x00b", "x" * 300])
def test_a_model_asked_for_by_a_path_is_unknown(tmp_path: Path, name: str) -> None:
    repository(tmp_path)
    with engine_of(tmp_path, False) as engine, pytest.raises(PyrometerError, match="unknown model"):
        engine.infer(InferRequest(name, {"input": ROWS}))


@pytest.mark.parametrize("file", ["../model.so", "/tmp/model.so", "sub/model.so"])
def test_a_plan_names_only_files_of_its_own_folder(tmp_path: Path, file: str) -> None:
    with pytest.raises(ArtefactError, match="no file of its plan"):
        verify_files(tmp_path, Candidate("tl2cgen", "fastest", "", files={file: "0" * 64}))


def test_a_compiled_form_that_is_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "model.so").symlink_to("/etc/hostname")
    with pytest.raises(ArtefactError, match="no file of its plan"):
        verify_files(tmp_path, Candidate("tl2cgen", "fastest", "", files={"model.so": "0" * 64}))


# ONNX that reads other files


def outside(name: str) -> Any:
    tensor = TensorProto(name=name, data_type=1, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return tensor


def graph_with(node: Any = None, initializer: Any = None) -> Any:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    nodes = [helper.make_node("Identity", ["x"], ["y"])] + ([node] if node is not None else [])
    return helper.make_graph(nodes, "g", [x], [x], [initializer] if initializer else [])


def sparse(name: str) -> Any:
    return onnx.SparseTensorProto(values=outside(name), dims=[1])


def with_function_default(tensor: Any) -> Any:
    model = helper.make_model(graph_with())
    function = model.functions.add(name="f", domain="d")
    function.attribute_proto.add(name="a", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    return model


def with_training(tensor: Any) -> Any:
    model = helper.make_model(graph_with())
    model.training_info.add().algorithm.initializer.append(tensor)
    return model


MODELS = {
    "initializer": lambda: helper.make_model(graph_with(initializer=outside("w"))),
    "attribute": lambda: helper.make_model(
        graph_with(helper.make_node("Constant", [], ["c"], value=outside("w")))
    ),
    "sparse-attribute": lambda: helper.make_model(
        graph_with(helper.make_node("Constant", [], ["c"], sparse_value=sparse("w")))
    ),
    "function-default": lambda: with_function_default(outside("w")),
    "training": lambda: with_training(outside("w")),
    "branch": lambda: helper.make_model(
        graph_with(
            helper.make_node(
                "If",
                ["c"],
                ["z"],
                then_branch=graph_with(initializer=outside("w")),
                else_branch=graph_with(),
            )
        )
    ),
}


@pytest.mark.parametrize("place", sorted(MODELS))
def test_data_in_other_files_is_refused_wherever_it_is_named(place: str) -> None:
    with pytest.raises(ArtefactError, match="other files"):
        refuse_external_data(MODELS[place]().SerializeToString(), "model.onnx")


def test_a_graph_that_holds_its_own_data_is_not_refused() -> None:
    whole = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    model = helper.make_model(
        graph_with(helper.make_node("Constant", [], ["c"], value=whole), initializer=whole)
    )
    refuse_external_data(model.SerializeToString(), "model.onnx")
