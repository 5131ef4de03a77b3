"""Plans, compiled forms and caches: the owner's alone, and safe to delete at any time."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from engine.config import Settings
from engine.engine import Engine
from engine.models.files import close_to_others
from engine.models.plan_store import PlanStore
from engine.models.repository import read_version
from engine.models.trust import TrustFile
from engine.types import InferRequest
from tests.conftest import StartServer
from tests.contract.http import call, tensor
from tests.waiting import until

FEATURES = 6
CALLERS = 4
DELETIONS = 2
ESTIMATORS = {
    "forest": lambda: RandomForestClassifier(15, random_state=0),
    "line": LogisticRegression,
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A repository of small models, and the models."""
    root = tmp_path_factory.mktemp("artefacts") / "models"
    rows, labels = make_classification(300, FEATURES, random_state=0)
    made = {name: build().fit(rows, labels) for name, build in ESTIMATORS.items()}
    for name, estimator in made.items():
        (root / name / "1").mkdir(parents=True)
        skops.io.dump(estimator, root / name / "1/model.skops")
    return root, made


@pytest.fixture
def engine(fitted: tuple[Path, dict[str, Any]], tmp_path: Path) -> Iterator[Engine]:
    settings = Settings(
        models=fitted[0], state=tmp_path / "state", history=False, audit_interval_s=0, profile_hz=0
    )
    made = Engine(settings)
    made.start()
    yield made
    made.close()


class Callers:
    """Threads that ask all models all the time, and hold each answer against scikit-learn's."""

    def __init__(self, engine: Engine, estimators: dict[str, Any]) -> None:
        self.answers = 0
        self.problems: list[str] = []
        self._engine, self._estimators = engine, estimators
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(seed,), daemon=True) for seed in range(CALLERS)
        ]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _ask(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        while not self._ended.is_set():
            for name, estimator in self._estimators.items():
                rows = random.normal(size=(int(random.integers(1, 5)), FEATURES))
                try:
                    result = self._engine.infer(
                        InferRequest(name, {"input": rows}, outputs=("predict_proba",))
                    )
                except Exception as error:
                    self.problems.append(f"{name}: {type(error).__name__}: {error}")
                    continue
                expected = estimator.predict_proba(rows)
                given = result.outputs["predict_proba"]
                if not np.allclose(given, expected, atol=1e-5):
                    self.problems.append(f"{name}: wrong by {np.abs(given - expected).max()}")
                self.answers += 1


def test_deleting_plans_and_caches_under_load_fails_no_request(
    engine: Engine, fitted: tuple[Path, dict[str, Any]]
) -> None:
    state = engine.settings.state
    with Callers(engine, fitted[1]) as callers:
        until(lambda: callers.answers > 50, 120, "the models answer")
        for _ in range(DELETIONS):
            for part in ("plans", "cache"):
                shutil.rmtree(state / part, ignore_errors=True)
            engine.registry.evict_idle()  # the next request needs a plan that is not there
            before = callers.answers
            until(lambda before=before: callers.answers > before + 50, 120, "they answer again")
    assert callers.problems == []
    assert callers.answers > 50 * DELETIONS


def test_a_plan_deleted_while_it_is_made_is_made_again(
    fitted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    store = PlanStore(tmp_path / "state", 1e-5, 120, TrustFile(tmp_path / "none"))
    entry = read_version(fitted[0] / "line", "1")
    started = []

    def delete_once(child: object) -> None:
        if not started:
            shutil.rmtree(tmp_path / "state/plans")
        started.append(child)

    assert store.make(entry, delete_once) == store.read(entry)
    assert len(started) == 2


def test_every_change_of_a_compiled_form_is_seen(
    fitted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    store = PlanStore(tmp_path / "state", 1e-5, 120, TrustFile(tmp_path / "none"))
    entry = read_version(fitted[0] / "line", "1")
    plan = store.make(entry, lambda child: None)
    served = {file for _, form in plan.ranges for file in plan.candidate(form).files}
    for path in [store.folder(entry) / file for file in (*served, "plan.json")]:
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 50)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            found = store.read(entry)
            assert found is None or found == plan  # a space in the envelope changes nothing
            path.write_bytes(whole[:place])
            assert store.read(entry) is None
        path.write_bytes(whole)
        assert store.read(entry) == plan


def test_what_the_server_keeps_is_its_owners_alone(
    start_server: StartServer, fitted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Of folders that an earlier version left open to others too."""
    state = tmp_path / "state"
    (state / "runs").mkdir(parents=True, mode=0o755)
    (state / "runs/old.json").write_text("{}")
    (state / "runs/old.json").chmod(0o644)
    server = start_server(fitted[0], state)
    for name in fitted[1]:
        body = {"inputs": [tensor([[0.0] * FEATURES])]}
        assert call(server.port, "POST", f"/v2/models/{name}/infer", body)[0] == 200
    until(lambda: (state / "history.sqlite").exists(), 30, "the first row of history")
    server.stop()
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in state.rglob("*")}
    assert any(path.name == "history.sqlite" for path in found)
    assert any(path.parent.parent.name == "plans" for path in found)
    assert any(path.parent.name == "cache" for path in found)
    for path, mode in found.items():
        assert not mode & 0o077, f"{path.relative_to(state)} has mode {mode:04o}"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_links_and_others_files_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o644)
    state = tmp_path / "state"
    state.mkdir()
    (state / "link").symlink_to(outside)
    close_to_others(state)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert os.path.islink(state / "link")
