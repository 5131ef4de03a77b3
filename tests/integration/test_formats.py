"""Every format through a whole engine: answers equal the model's own, untrusted code never runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.cli import main
from engine.config import Settings
from engine.engine import Engine
from engine.errors import InvalidInput, PyrometerError
from engine.types import InferRequest
from tests.unit.test_trust import MLMODEL, Bomb

ROWS = np.random.default_rng(3).normal(size=(300, 4))
LABELS = np.array(["no", "yes"])[(ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)]

PYTHON_MODEL = """
import numpy as np

class Doubler:
    def load(self, folder):
        self.factor = float((folder / "factor.txt").read_text())

    def predict(self, inputs):
        return {"doubled": inputs["x"] * self.factor, "words": np.array(["a"] * len(inputs["x"]))}
"""

Start = Callable[..., Engine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an engine over tmp_path/models; all are closed at the end."""
    started: list[Engine] = []

    def begin(**settings: Any) -> Engine:
        defaults: dict[str, Any] = {
            "models": tmp_path / "models",
            "state": tmp_path / "state",
            "trust_file": tmp_path / "trusted.sha256",
            "reload_interval_s": 0.0,
        }
        engine = Engine(Settings(**(defaults | settings)))
        started.append(engine)
        return engine

    yield begin
    for engine in started:
        engine.close()


def version(tmp_path: Path, name: str = "m", toml: str = "") -> Path:
    folder = tmp_path / "models" / name / "1"
    folder.mkdir(parents=True)
    (folder.parent / "model.toml").write_text(toml)
    return folder


def command(tmp_path: Path, *words: str) -> int:
    settings = ("models", "state", "trust-file")
    places = ("models", "state", "trusted.sha256")
    flags = [
        part
        for flag, place in zip(settings, places, strict=True)
        for part in (f"--{flag}", str(tmp_path / place))
    ]
    return main(["models", *words, *flags])


@pytest.mark.parametrize("kind", ["joblib", "pkl"])
def test_a_pickle_answers_once_it_is_trusted(tmp_path: Path, start: Start, kind: str) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    file = version(tmp_path) / f"model.{kind}"
    joblib.dump(model, file) if kind == "joblib" else file.write_bytes(pickle.dumps(model))
    engine = start()
    with pytest.raises(PyrometerError, match="models trust"):
        engine.infer(InferRequest("m", {"input": ROWS}))
    assert command(tmp_path, "trust", str(file)) == 0
    for loading in engine.reload():  # what the watcher calls once the trust file has changed
        loading.result(60)
    result = engine.infer(InferRequest("m", {"input": ROWS}))
    np.testing.assert_array_equal(result.outputs["predict"], model.predict(ROWS))


@pytest.mark.parametrize("optimise", [True, False])
@pytest.mark.parametrize("place", ["repository", "mlflow"])
def test_an_untrusted_pickle_is_never_opened(
    tmp_path: Path, start: Start, place: str, optimise: bool
) -> None:
    created = tmp_path / "created"
    folder = version(tmp_path)
    (folder / "model.pkl").write_bytes(pickle.dumps(Bomb(created)))
    if place == "mlflow":
        (folder / "MLmodel").write_text(MLMODEL.format(file="model.pkl", kind="cloudpickle"))
    engine = start(optimise=optimise)
    with pytest.raises(PyrometerError, match="models trust"):
        engine.infer(InferRequest("m", {"input": ROWS}))
    assert "failed" in engine.unready()[0]
    assert not created.exists()


def test_models_add_refuses_an_untrusted_pickle_and_never_opens_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    created, file = tmp_path / "created", tmp_path / "bomb.joblib"
    file.write_bytes(pickle.dumps(Bomb(created)))
    assert command(tmp_path, "add", str(file), "--name", "m") == 1
    assert "pyrometer models trust" in capsys.readouterr().err
    assert not created.exists()
    assert not (tmp_path / "models").exists()


def test_an_added_model_serves(tmp_path: Path, start: Start) -> None:
    model = RandomForestClassifier(10, random_state=0).fit(ROWS, LABELS)
    skops.io.dump(model, tmp_path / "mine.skops")
    assert command(tmp_path, "add", str(tmp_path / "mine.skops"), "--name", "mine") == 0
    result = start().infer(InferRequest("mine", {"input": ROWS}, outputs=("predict",)))
    np.testing.assert_array_equal(result.outputs["predict"], model.predict(ROWS))


def test_an_onnx_file_serves_under_its_own_names(tmp_path: Path, start: Start) -> None:
    from skl2onnx import to_onnx

    model = LinearRegression().fit(ROWS, ROWS @ [[1.0, 2.0], [0.0, 1.0], [3.0, 0.0], [1.0, 1.0]])
    graph = to_onnx(model, ROWS[:1].astype(np.float32))
    (version(tmp_path) / "model.onnx").write_bytes(graph.SerializeToString())
    engine = start()
    result = engine.infer(InferRequest("m", {"X": ROWS}))
    assert result.backend == "onnxruntime"
    np.testing.assert_allclose(result.outputs["variable"], model.predict(ROWS), atol=1e-5)
    with pytest.raises(InvalidInput, match="'X'"):
        engine.infer(InferRequest("m", {"X": ROWS[:, :3]}))


def test_an_onnx_file_that_reads_other_files_is_refused(tmp_path: Path, start: Start) -> None:
    import onnx
    from skl2onnx import to_onnx

    graph = to_onnx(StandardScaler().fit(ROWS), ROWS[:1].astype(np.float32))
    tensor = graph.graph.initializer[0] if graph.graph.initializer else None
    if tensor is None:
        tensor = graph.graph.initializer.add(name="w", data_type=1, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    (version(tmp_path) / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(PyrometerError, match="other files"):
        start().infer(InferRequest("m", {"X": ROWS}))


def test_a_python_file_serves_once_it_is_trusted(tmp_path: Path, start: Start) -> None:
    toml = '[[inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [-1, 2]\n'
    folder = version(tmp_path, toml=toml)
    (folder / "model.py").write_text(PYTHON_MODEL)
    (folder / "factor.txt").write_text("2")
    assert command(tmp_path, "trust", str(folder / "model.py")) == 0
    x = ROWS[:, :2].astype(np.float32)
    result = start().infer(InferRequest("m", {"x": x}, outputs=("doubled", "words")))
    np.testing.assert_array_equal(result.outputs["doubled"], x * 2)
    assert result.outputs["doubled"].dtype == np.float32
    assert list(result.outputs["words"][:2]) == ["a", "a"]


@pytest.mark.parametrize("optimise", [True, False])
def test_named_string_columns_are_inputs_of_their_own(
    tmp_path: Path, start: Start, optimise: bool
) -> None:
    table = pd.DataFrame(
        {
            "age": np.where(ROWS[:, 0] > 1, np.nan, ROWS[:, 0]),
            "city": np.array(["Rome", "Oslo", "Bern"], dtype=object)[(ROWS[:, 1] > 0) * 1],
            "income": ROWS[:, 2] * 1000,
        }
    )
    prepare = ColumnTransformer(
        [
            ("text", OneHotEncoder(), ["city"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        ]
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(table, LABELS)
    skops.io.dump(model, version(tmp_path) / "model.skops")
    engine = start(optimise=optimise)
    tensors = {
        "age": table["age"].to_numpy(),
        "city": table["city"].to_numpy(dtype=object),
        "income": table["income"].to_numpy(),
    }
    result = engine.infer(InferRequest("m", tensors, outputs=("predict", "predict_proba")))
    np.testing.assert_array_equal(result.outputs["predict"], model.predict(table))
    expected = model.predict_proba(table)
    np.testing.assert_allclose(result.outputs["predict_proba"], expected, atol=1e-5)
    elsewhere = tensors | {"city": np.array(["Paris"] * 300, dtype=object)}
    with pytest.raises(InvalidInput, match="'city' is 'Paris'; it takes 'Oslo', 'Rome'"):
        engine.infer(InferRequest("m", elsewhere))
    with pytest.raises(InvalidInput, match="'income' holds infinity"):
        engine.infer(InferRequest("m", tensors | {"income": np.full(300, np.inf)}))


def test_a_multi_output_classifier_gives_one_probability_table_an_output(
    tmp_path: Path, start: Start
) -> None:
    targets = np.column_stack([LABELS, np.where(ROWS[:, 2] > 0, "a", "b")])
    model = RandomForestClassifier(5, random_state=0).fit(ROWS, targets)
    skops.io.dump(model, version(tmp_path) / "model.skops")
    wanted = ("predict", "predict_proba_0", "predict_proba_1")
    result = start().infer(InferRequest("m", {"input": ROWS}, outputs=wanted))
    np.testing.assert_array_equal(result.outputs["predict"], model.predict(ROWS))
    for place, expected in enumerate(model.predict_proba(ROWS)):
        np.testing.assert_allclose(result.outputs[f"predict_proba_{place}"], expected)


def test_a_pinned_version_serves_until_the_pin_moves(tmp_path: Path, start: Start) -> None:
    for number in (1, 2):
        folder = tmp_path / f"models/m/{number}"
        folder.mkdir(parents=True)
        model = LinearRegression().fit(ROWS, np.full(300, float(number)))
        skops.io.dump(model, folder / "model.skops")
    toml = tmp_path / "models/m/model.toml"
    toml.write_text("serve = 1")
    engine = start()
    assert engine.infer(InferRequest("m", {"input": ROWS[:1]})).version == "1"
    toml.write_text('serve = "newest"')
    engine.reload()
    toml.write_text("serve = 2")
    for loading in engine.reload():
        loading.result(60)
    assert engine.infer(InferRequest("m", {"input": ROWS[:1]})).version == "2"
