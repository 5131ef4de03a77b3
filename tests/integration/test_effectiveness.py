"""Drift injected into a server: the audit finds it and its alert fires; without, neither does."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.front import Front
from app.server import Server
from engine.audited import CHILD, rerun_child
from engine.config import Settings
from engine.effectiveness.child import Child, ChildFailed
from engine.engine import Engine
from engine.models.backends.onnx_backend import OnnxBackend
from engine.models.plan_store import PlanStore
from engine.models.repository import read_repository
from tests.conftest import StartServer
from tests.contract.http import call, tensor
from tests.waiting import until

FEATURES, ROWS = 6, 400
ALERTS = ("answers_differ/critical", "plan_slower/warning")
DEADLINE_S = 60
LEAST_AUDITS = 6


def write_model(root: Path, name: str, flipped: float = 0.0) -> np.ndarray:
    """A logistic regression; flipped: share of the labels it was taught wrongly. Its rows."""
    rows, labels = make_classification(ROWS, FEATURES, n_informative=4, random_state=3)
    wrong = np.random.default_rng(1).random(ROWS) < flipped
    taught = np.where(wrong, 1 - labels, labels)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, taught)
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.skops").write_bytes(skops.io.dumps(estimator))
    np.savez(root / name / "samples.npz", input=rows)
    kept: np.ndarray = rows
    return kept


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, np.ndarray]:
    """Two models of one kind, a state that holds their plans, and rows."""
    root = tmp_path_factory.mktemp("audited")
    write_model(root / "models", "honest")
    rows = write_model(root / "models", "drifting")
    write_model(root / "others", "drifting", flipped=0.3)
    for folder, state in (("models", "state"), ("others", "other_state")):
        store = PlanStore.of(Settings(models=root / folder, state=root / state))
        for entry in read_repository(root / folder).entries:
            store.make(entry, lambda child: None)
    return root, root / "state", rows


def forge(root: Path, state: Path) -> None:
    """Put another model's compiled form in place of this one's, with digests that fit."""
    places = []
    for folder, kept in (("models", state), ("others", root / "other_state")):
        store = PlanStore.of(Settings(models=root / folder, state=kept))
        entry = next(e for e in read_repository(root / folder).entries if e.name == "drifting")
        places.append(store.folder(entry))
    mine, other = places
    envelope = json.loads((mine / "plan.json").read_text())
    plan = json.loads(envelope["plan"])
    for candidate in plan["candidates"]:
        for file in candidate["files"]:
            shutil.copy(other / file, mine / file)
            digest = hashlib.sha256((mine / file).read_bytes()).hexdigest()
            candidate["files"][file] = digest
    text = json.dumps(plan)
    envelope = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "plan": text}
    (mine / "plan.json").write_text(json.dumps(envelope))


class Asked:
    """A server, asked by HTTP for rows that no cache has."""

    def __init__(self, port: int, rows: np.ndarray) -> None:
        self.port, self._rows, self._random = port, rows, np.random.default_rng(0)

    def ask(self, *models: str) -> None:
        for model in models:
            picked = self._rows[self._random.integers(ROWS, size=8)]
            noise = self._random.normal(scale=1e-3, size=picked.shape)
            body = {"inputs": [tensor((picked + noise).tolist())]}
            status, _, _ = call(self.port, "POST", f"/v2/models/{model}/infer", body)
            assert status == 200

    def until(self, condition: Callable[[], object], what: str, *models: str) -> None:
        def asked() -> object:
            self.ask(*models)
            return condition()

        until(asked, DEADLINE_S, what)

    def alerts(self) -> dict[str, dict[str, Any]]:
        told = call(self.port, "GET", "/performance/alerts")[2]["alerts"]
        return {one["key"]: one for one in told if one["key"] in ALERTS}

    def states(self) -> dict[str, str]:
        return {key: one["state"] for key, one in self.alerts().items()}

    def audit(self, model: str) -> dict[str, Any]:
        """What audits found; {} in the moment after a load."""
        told = call(self.port, "GET", "/performance/effectiveness")[2]["models"]
        found: dict[str, Any] = next(one for one in told if one["model"] == model)
        return found["audit"] or {}

    def audited(self, model: str) -> bool:
        return bool(self.audit(model).get("audits", 0) >= LEAST_AUDITS)

    def events(self) -> list[str]:
        told = call(self.port, "GET", "/performance/metrics/real-time")[2]["events"]
        return [one["text"] for one in told if one["kind"] == "audit"]


@pytest.fixture
def served(repository: tuple[Path, Path, np.ndarray]) -> Iterator[Asked]:
    """A whole server in this process, so that a test can change how a form behaves."""
    root, state, rows = repository
    settings = Settings(
        models=root / "models", state=state, port=0, audit_interval_s=0.2, history=False
    )
    engine = Engine(settings)
    server = Server(Front(engine))
    interval_s = sys.getswitchinterval()
    server.start()
    engine.start()
    until(lambda: not engine.unready(), DEADLINE_S, "ready")
    yield Asked(server.port, rows)
    engine.close()
    server.close()
    sys.setswitchinterval(interval_s)


def test_without_drift_no_alert_fires(served: Asked) -> None:
    served.until(
        lambda: served.audited("honest") and served.audited("drifting"),
        "audits",
        "honest",
        "drifting",
    )
    until(lambda: "no_data" not in served.states().values(), DEADLINE_S, "gauges")
    assert set(served.states().values()) == {"inactive"}, served.alerts()
    assert served.events() == []
    recent = served.audit("drifting")["recent"]
    assert recent["differing"] == 0
    assert recent["rows"] == 8 * recent["audits"]
    assert recent["speed_percent"] > 50


def test_a_form_that_becomes_ten_times_slower_fires_its_alert(
    served: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.until(lambda: served.audited("drifting"), "audits before the drift", "drifting")
    before = served.audit("drifting")["recent"]
    usual = OnnxBackend.run

    def slow(
        self: OnnxBackend, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        began_ns = time.thread_time_ns()
        answer = usual(self, inputs, outputs)
        until_ns = began_ns + 10 * (time.thread_time_ns() - began_ns)
        while time.thread_time_ns() < until_ns:
            pass
        return answer

    monkeypatch.setattr(OnnxBackend, "run", slow)
    served.until(lambda: served.states()[ALERTS[1]] == "firing", "the alert", "drifting")
    assert served.states()[ALERTS[0]] == "inactive"
    alert = served.alerts()[ALERTS[1]]
    assert alert["value"] < 50
    assert alert["text"] == f"Speed kept: {alert['value']:.4g} %; warning below 50 %"
    recent = served.audit("drifting")["recent"]
    assert recent["served_speedup"] < 0.7 * before["served_speedup"]
    # The child opened the form anew: there it is as fast as ever, so it is this process.
    assert recent["alone_speedup"] > 2 * recent["planned_speedup"] * alert["value"] / 100
    assert any(text.startswith("drifting 1 is slower than planned: ") for text in served.events())


def test_a_form_that_answers_wrongly_fires_its_alert(
    repository: tuple[Path, Path, np.ndarray], start_server: StartServer, tmp_path: Path
) -> None:
    root, state, rows = repository
    mine = tmp_path / "state"
    shutil.copytree(state, mine)
    forge(root, mine)
    server = start_server(root / "models", mine, "--audit-interval-s", "0.2")
    served = Asked(server.port, rows)
    models = ("honest", "drifting")
    served.until(lambda: served.states()[ALERTS[0]] == "firing", "the alert", *models)
    served.until(lambda: served.audited("honest"), "audits", *models)
    alert = served.alerts()[ALERTS[0]]
    audit = served.audit("drifting")
    assert alert["text"].startswith("Rows that differ: ")
    assert 0 < audit["recent"]["differing"] <= audit["recent"]["rows"]
    assert served.audit("honest")["recent"]["differing"] == 0
    assert 0 < len(audit["examples"]) <= 5
    assert {len(one["digest"]) for one in audit["examples"]} == {16}
    assert any("drifting 1: " in text and "differ" in text for text in served.events())
    lines = call(server.port, "GET", "/metrics")[2].decode().splitlines()
    wrong = 'pyrometer_audited_rows_total{model="drifting",result="differs",version="1"}'
    right = 'pyrometer_audited_rows_total{model="honest",result="differs",version="1"}'
    counts = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"
    }
    assert counts[wrong] > 0
    assert counts[right] == 0
    saved = 'pyrometer_time_saved_seconds_total{by="plan",model="honest"}'
    assert counts[saved] > 0
    children = psutil.Process(server.process.pid).children()
    (child,) = [one for one in children if CHILD in " ".join(one.cmdline())]
    assert child.nice() == 10
    assert server.stop() == 0
    until(lambda: not child.is_running(), 10, "the child to end with its server")


def test_audits_are_of_one_process_that_imports_what_the_server_does_not(served: Asked) -> None:
    served.until(lambda: served.audited("honest"), "audits", "honest", "drifting")
    told = call(served.port, "GET", "/performance/effectiveness")[2]["auditor"]
    assert told["child"]["starts"] == 1
    assert told["child"]["memory_mb"] > 50
    assert told["waiting"] <= told["waiting_limit"]


def test_an_idle_child_is_ended_and_the_next_job_starts_another() -> None:
    now = [0.0]
    child = rerun_child(512 * 2**20, 60.0, lambda: now[0] + time.monotonic())
    bad = {"model": "/nowhere", "version": "1", "digest": "", "folder": ""}
    assert "error" in child.ask(bad, 60)
    child.end_if_idle()
    assert child.is_alive
    now[0] = 61.0
    child.end_if_idle()
    assert not child.is_alive
    assert "error" in child.ask(bad, 60)
    assert child.starts == 2
    assert child.cpu_s > 0
    child.close()
    with pytest.raises(ChildFailed):
        child.ask(bad, 60)
    child.end()


def test_a_child_over_its_memory_is_ended_after_its_answer() -> None:
    child = rerun_child(512 * 2**20, 60.0)
    child._most_bytes = 1
    assert "error" in child.ask(
        {"model": "/nowhere", "version": "1", "digest": "", "folder": ""}, 60
    )
    assert (child.is_alive, child.too_large) == (False, 1)


def test_a_child_that_is_silent_is_ended_at_the_deadline() -> None:
    child = Child([sys.executable, "-m", "tests.silent"], 64 * 2**20, 60.0)
    with pytest.raises(ChildFailed, match="no answer in time"):
        child.ask({}, 0.5)
    assert not child.is_alive


def test_an_artefact_that_was_replaced_is_not_compared(
    repository: tuple[Path, Path, np.ndarray],
) -> None:
    root, _, _ = repository
    child = rerun_child(512 * 2**20, 60.0)
    job = {
        "model": str(root / "models/honest"),
        "version": "1",
        "digest": "0" * 64,
        "folder": "",
    }
    assert "no longer the one that is served" in child.ask(job, 60)["error"]
    child.end()
