"""The models that faults are tried on, and what they answer to every row.

quick    a linear regression: runs on the event loop, in the lane, in every cache
forest   a random forest's regression, 20 trees
slow     a Python file: 60 ms a row, 2 x the row; rows whose second value is 13 it refuses
buffer   a Python file that gives the same array again and again, written anew each time

What is right is asked of scikit-learn itself, or known.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.serving import Client, serving, wait_settled
from bench.wrk import body_of

FEATURES = 6
ROWS = 400
TOLERANCE = 1e-5
POISON = 13.0
SLOW_MS = 60
SLOW = f"""
import time


class Slow:
    def load(self, folder):
        pass

    def predict(self, inputs):
        x = inputs["x"]
        if (x[:, 1] == {POISON}).any():
            raise ValueError("poison")
        if len(x) == 1:
            time.sleep({SLOW_MS / 1e3})
        return {{"y": 2 * x[:, :1]}}
"""
BUFFER = """
import numpy as np


class Buffer:
    def load(self, folder):
        self.kept = {}

    def predict(self, inputs):
        x = inputs["x"]
        answer = self.kept.setdefault(len(x), np.zeros((len(x), 1)))
        answer[:] = 2 * x[:, :1]
        x[:] = -1.0
        return {"y": answer}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 2]\n'
SCRIPTS = {"slow": SLOW, "buffer": BUFFER}
INPUT = {"quick": "input", "forest": "input", "slow": "x", "buffer": "x"}


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is ready to be sent, and the first output's right data.

    status: that it is rightly answered with.
    """

    path: str
    body: bytes
    right: np.ndarray
    status: int = 200

    def is_answered_by(self, data: list[Any]) -> bool:
        """Whether an answer is the model's."""
        given = np.array(data, dtype=np.float64)
        return given.shape == self.right.shape and bool(
            np.allclose(given, self.right, rtol=TOLERANCE, atol=TOLERANCE)
        )


def question(model: str, rows: np.ndarray, right: np.ndarray) -> Question:
    """rows: (n, width). right: the first output, of these rows."""
    return Question(f"/v2/models/{model}/infer", body_of(rows, INPUT[model]), right.reshape(-1))


def slow_question(value: float, *, poison: bool = False, model: str = "slow") -> Question:
    """A row of its own for a Python file."""
    row = np.array([[value, POISON if poison else 0.0]])
    asked = question(model, row, np.array([2 * value]))
    return replace(asked, status=400) if poison else asked


class Repository:
    """Models, trained once, and their plans; each fault begins with a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(7)
        self.rows = np.round(rng.normal(size=(ROWS, FEATURES)), 4)
        self.right = _write(folder, self.rows, rng)

    def plan(self) -> None:
        """Have the plans made, so that no fault waits for them."""
        with serving(self.folder, "--audit-interval-s", "0") as (port, _):
            wait_settled(Client(port), len(INPUT))

    def copy(self, to: Path) -> Path:
        """A repository of one's own, plans and all."""
        shutil.copytree(self.folder, to)
        return to

    def questions(self, model: str, count: int = ROWS) -> list[Question]:
        """Rows of a scikit-learn model, one each, with what scikit-learn says to them."""
        right = self.right[model]
        rows = (self.rows[at : at + 1] for at in range(count))
        return [question(model, row, right[at]) for at, row in enumerate(rows)]


def _write(folder: Path, rows: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Train and write all; returns the first output of each scikit-learn model for these rows."""
    import skops.io
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    target = rows @ rng.normal(size=FEATURES) + rng.normal(size=len(rows))
    quick = make_pipeline(StandardScaler(), LinearRegression()).fit(rows, target)
    forest = RandomForestRegressor(20, random_state=0).fit(rows, target)
    right = {}
    for name, model in (("quick", quick), ("forest", forest)):
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        skops.io.dump(model, version / "model.skops")
        right[name] = model.predict(rows)
    trusted = []
    for name, source in SCRIPTS.items():
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        (version.parent / "model.toml").write_text(TOML)
        (version / "model.py").write_text(source)
        trusted.append(f"{hashlib.sha256(source.encode()).hexdigest()}  {name}/model.py\n")
    (folder / "trusted.sha256").write_text("".join(trusted))
    (folder / "trusted.sha256").chmod(0o600)
    return right


Ask = Callable[[int, int], Question]
"""What a caller asks next: its number and its step to a question."""


def in_turn(questions: list[Question]) -> Ask:
    """Each caller goes through all of them, beginning elsewhere."""
    return lambda number, step: questions[(number * 31 + step) % len(questions)]
