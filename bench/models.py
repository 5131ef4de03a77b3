"""The repository that the benchmark serves, and the same models for the peers.

breast_cancer   the bundled random forest, 100 trees, 30 features
logistic        a scaled logistic regression on the same data
slow            200 ms of Python that never lets go of the interpreter
slow_c          200 ms of compiled code that does
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 30
SLOW_SOURCE = """
import time


class Slow:
    def load(self, folder):
        began = time.perf_counter()
        self.turn(1_000_000)
        self.turns = int(1_000_000 * 0.2 / (time.perf_counter() - began))

    @staticmethod
    def turn(count):
        total = 0
        for value in range(count):
            total += value & 7
        return total

    def predict(self, inputs):
        self.turn(self.turns)
        return {"y": inputs["x"] * 2}
"""
SLOW_C_SOURCE = """
import time

import numpy as np


class Slow:
    def load(self, folder):
        self.matrix = np.random.default_rng(0).normal(size=400_000)
        began = time.perf_counter()
        np.sort(self.matrix.copy())
        self.turns = max(1, round(0.2 / (time.perf_counter() - began)))

    def predict(self, inputs):
        for _ in range(self.turns):
            np.sort(self.matrix.copy())
        return {"y": inputs["x"] * 2}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 1]\n[cache]\nresults = false\n'


def rows_of(models: Path) -> np.ndarray:
    """500 different rows of the forest's data, float64 (500, 30)."""
    with np.load(models / "breast_cancer/1/samples.npz") as samples:
        rows = np.asarray(samples["input"], dtype=np.float64)
    return np.concatenate([rows, rows * 1.001])[:500]


def logistic(rows: np.ndarray, labels: np.ndarray) -> Any:
    """A usual pipeline, fitted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)


def write_repository(bundled: Path, folder: Path) -> Path:
    """The benchmark's own repository; returns its models folder."""
    import skops.io

    models = folder / "models"
    shutil.copytree(bundled / "breast_cancer", models / "breast_cancer")
    forest = skops.io.load(
        models / "breast_cancer/1/model.skops",
        trusted=skops.io.get_untrusted_types(file=models / "breast_cancer/1/model.skops"),
    )
    rows = rows_of(bundled)
    (models / "logistic/1").mkdir(parents=True)
    skops.io.dump(logistic(rows, forest.predict(rows)), models / "logistic/1/model.skops")
    trusted = []
    for name, source in (("slow", SLOW_SOURCE), ("slow_c", SLOW_C_SOURCE)):
        version = models / name / "1"
        version.mkdir(parents=True)
        (version.parent / "model.toml").write_text(TOML)
        (version / "model.py").write_text(source)
        trusted.append(f"{hashlib.sha256(source.encode()).hexdigest()}  model.py\n")
    (folder / "trusted.sha256").write_text("".join(trusted))
    return models


def write_for_peers(models: Path, name: str, folder: Path, width: int = FEATURES) -> Path:
    """A model as joblib and as the ONNX graph that Pyrometer would serve; returns its folder."""
    import joblib
    import skops.io
    from skl2onnx import to_onnx

    path = models / name / "1/model.skops"
    estimator = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(estimator, folder / "model.joblib")
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    graph = to_onnx(
        estimator,
        np.zeros((1, width), dtype=np.float32),
        options={id(final): {"zipmap": False}},
    )
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder
