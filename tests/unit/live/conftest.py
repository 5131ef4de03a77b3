"""Engines within the test's process over Python files of known answers, planned once.

times     y = version x the row's sum; version 3 takes other tensors
enc       two numbers to three: x0, x1, x0 + x1
head      encoder = enc; y = the sum of what it gives, so 2 x (x0 + x1)
orphan    its encoder is absent
nested    its encoder has one itself
flaky     refuses rows that begin with 13
broken    cannot be loaded
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import Settings
from engine.engine import Engine
from engine.models.trust import TrustFile

TWO = '[[inputs]]\nname = "x"\nshape = [-1, 2]\n'
CODE = """
class Model:
    def load(self, folder):
        {load}
    def predict(self, inputs):
        {predict}
"""
FILES = {
    "times/1": (TWO, "pass", 'return {"y": inputs["x"].sum(axis=1)}'),
    "times/2": (TWO, "pass", 'return {"y": 2 * inputs["x"].sum(axis=1)}'),
    "times/3": (TWO, "pass", 'return {"z": inputs["x"][:, :1]}'),
    "enc/1": (
        TWO,
        "import numpy; self.join = numpy.column_stack",
        'x = inputs["x"]; return {"v": self.join([x, x.sum(axis=1)])}',
    ),
    "head/1": (
        'encoder = "enc"\n[[inputs]]\nname = "v"\nshape = [-1, 3]\n',
        "pass",
        'return {"y": inputs["v"].sum(axis=1)}',
    ),
    "orphan/1": (f'encoder = "nobody"\n{TWO}', "pass", 'return inputs["x"].sum(axis=1)'),
    "nested/1": (f'encoder = "head"\n{TWO}', "pass", 'return inputs["x"].sum(axis=1)'),
    "flaky/1": (
        TWO,
        "pass",
        'if 13 in inputs["x"][:, 0]: raise ValueError("13")\n        return inputs["x"][:, 0]',
    ),
    "broken/1": (TWO, 'raise OSError("its weights are gone")', "pass"),
}
KEPT = ("broken", "orphan", "nested")
"""Not preloaded: an engine is ready without them."""


def write(root: Path, name: str, trust: TrustFile) -> None:
    """One of FILES."""
    toml, load, predict = FILES[name]
    folder = root / name
    folder.mkdir(parents=True)
    own = folder.parent / "model.toml"
    preload = "preload = false\n" if folder.parent.name in KEPT else ""
    own.write_text(preload + toml)
    (folder / "model.py").write_text(CODE.format(load=load, predict=predict))
    trust.add(folder / "model.py")


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `models`, `trusted.sha256` and the plans of all that can be planned."""
    home = tmp_path_factory.mktemp("live")
    trust = TrustFile(home / "trusted.sha256")
    for name in FILES:
        write(home / "models", name, trust)
    (home / "models/times/model.toml").write_text(f"serve = 1\n{TWO}")
    engine = Engine(settings_of(home, home / "state"))
    for slot in engine.registry.slots():
        if slot.entry.name != "broken":
            engine.registry.load(slot).result(120)
    engine.close()
    return home


def settings_of(home: Path, state: Path) -> Settings:
    return Settings(
        models=home / "models",
        state=state,
        trust_file=home / "trusted.sha256",
        history=False,
        reload_interval_s=0.0,
        profile_hz=0.0,
        audit_interval_s=0.0,
    )


Open = Callable[..., Engine]


@pytest.fixture
def home(planned: Path, tmp_path: Path) -> Path:
    """Models and a state with their plans, of the test's own."""
    shutil.copytree(planned, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def opened(home: Path) -> Iterator[Open]:
    """Opens engines over `home` with settings changed as named; all are closed at the end."""
    made: list[Engine] = []

    def open_(**changed: object) -> Engine:
        settings = replace(settings_of(home, home / "state"), **changed)  # type: ignore[arg-type]
        made.append(Engine(settings))
        return made[-1]

    yield open_
    for engine in made:
        engine.close()


@pytest.fixture
def engine(opened: Open) -> Engine:
    return opened()
