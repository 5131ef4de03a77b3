"""What an engine does by itself: trims when an alert asks for it, keeps pins, ends its children."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from engine.engine import Engine
from engine.errors import ArtefactError, ModelFailed
from engine.models.made import write_made
from engine.models.trust import TrustFile
from engine.types import InferRequest
from tests.unit.live.conftest import Open
from tests.waiting import until

TRIM = """
[[rule]]
name = "memory"
metric = "memory_mb"
reduce = "last"
critical = 1
window = "1s"
action = "trim"
"""


def ask(engine: Engine, x: float = 1.0, model: str = "times") -> float:
    found = engine.infer(InferRequest(model, {"x": np.array([[x, x]])}))
    return float(next(iter(found.outputs.values()))[0])


def test_an_alert_with_an_action_trims_the_caches(opened: Open, home: Path) -> None:
    (home / "state/alerts.toml").write_text(TRIM)
    engine = opened()
    for x in range(10):
        ask(engine, float(x))
    assert engine.results is not None
    held = engine.results.items
    for _ in range(3):
        engine.ticker.tick()
    until(lambda: any(e["kind"] == "clean-up" for e in engine.ticker.events()), 20, "a clean-up")
    assert engine.results.items < held == 10

    def noted() -> bool:
        return any(e["state"] == "cleaned up" for e in engine.monitoring.alert_history(0.0))

    until(noted, 20, "noted with the alert")


def test_a_pinned_model_stays_whatever_is_flushed(engine: Engine) -> None:
    ask(engine)
    slot = engine.registry.slot("times")
    engine.registry.pin(slot, True)
    assert engine.clear_cache("models")["items"] == 0
    assert slot.state == "warm"
    engine.registry.pin(slot, False)
    assert engine.clear_cache("models")["items"] == 1


def test_an_unloaded_model_waits_until_it_is_asked_for_by_an_operator(engine: Engine) -> None:
    ask(engine)
    slot = engine.registry.slot("times")
    lease = engine.registry.lease("times", None, 0.0)
    assert engine.registry.unload(slot) is False  # in use
    lease.give_back()
    assert engine.registry.unload(slot) is True
    assert slot.state == "cold"
    engine.registry.load(slot).result(60)
    assert ask(engine, 2.0) == 4.0


def test_versions_come_and_go_by_their_pin(engine: Engine, home: Path) -> None:
    """serve names another version: it is loaded, and serves from then on."""
    ask(engine)
    declared = home / "models/times/model.toml"
    declared.write_text(declared.read_text().replace("serve = 1", "serve = 2"))
    for load in engine.reload():
        load.result(60)
    until(lambda: ask(engine, 1.0) == 4.0, 60, "version 2 serves")
    assert engine.registry.declared_version("times") == "2"
    declared.write_text(declared.read_text().replace("serve = 2", "serve = 1"))
    engine.reload()
    assert ask(engine, 1.0) == 2.0  # it is warm: at once


def test_changed_content_is_loaded_beside_what_serves(engine: Engine, home: Path) -> None:
    assert ask(engine) == 2.0
    code = home / "models/times/1/model.py"
    code.write_text(code.read_text().replace('{"y": inputs', '{"y": 7 * inputs'))
    engine.trust.add(code)
    (load,) = engine.reload()
    assert load.result(120).version == "1"
    assert ask(engine) == 14.0


def test_changed_content_that_is_not_trusted_leaves_what_serves(engine: Engine, home: Path) -> None:
    assert ask(engine) == 2.0
    code = home / "models/times/1/model.py"
    code.write_text(code.read_text() + "\n# by a stranger\n")
    (load,) = engine.reload()
    with pytest.raises(ArtefactError, match=r"its SHA-256 .* is not in"):
        load.result(60)
    assert ask(engine) == 2.0
    problem = engine.registry.slot("times").problem
    assert problem is not None
    assert str(home) not in problem


def test_plans_that_were_deleted_are_made_again(engine: Engine, home: Path) -> None:
    for plan in (home / "state/plans").glob("*/plan.json"):
        plan.write_text("{")
    assert ask(engine) == 2.0


def test_an_engine_that_closes_ends_what_is_still_planned(opened: Open, home: Path) -> None:
    code = home / "models/times/1/model.py"
    code.write_text(code.read_text().replace("pass", "import time; time.sleep(120)", 1))
    engine = opened()
    engine.trust.add(code)
    engine.reload()
    load: Future[object] = engine.registry.load(engine.registry.slot("times"))  # type: ignore[assignment]
    until(lambda: list((home / "state/plans").glob("making-*")), 60, "planning began")
    engine.close()
    with pytest.raises(ModelFailed, match=r"the engine is closing|cannot be loaded"):
        load.result(20)


# Estimators of the library


def test_an_estimator_is_written_where_only_its_owner_reads(tmp_path: Path) -> None:
    trust = TrustFile(tmp_path / "trusted.sha256")
    rows = np.eye(3)
    entry = write_made(tmp_path / "library", "m", "1", LinearRegression().fit(rows, rows), trust)
    assert (entry.format, entry.key) == ("skops", ("m", "1"))
    assert (tmp_path / "library").stat().st_mode & 0o077 == 0
    assert trust.also == {entry.sha256}


class Own(LinearRegression):  # type: ignore[misc]
    """Of a type that skops does not know."""


def test_what_skops_does_not_know_is_pickled_and_trusted_in_this_process_only(
    tmp_path: Path,
) -> None:
    trust = TrustFile(tmp_path / "trusted.sha256")
    rows = np.eye(3)
    write_made(tmp_path / "library", "m", "1", LinearRegression().fit(rows, rows), trust)
    entry = write_made(tmp_path / "library", "m", "1", Own().fit(rows, rows), trust)
    assert entry.format == "joblib"
    assert [path.name for path in entry.folder.iterdir()] == ["model.joblib"]
    trust.require(entry)
    assert not (tmp_path / "trusted.sha256").exists()


@pytest.mark.parametrize(("name", "version"), [("../m", "1"), ("m", "0"), ("m", "x")])
def test_names_and_numbers_that_are_none_are_refused(
    tmp_path: Path, name: str, version: str
) -> None:
    with pytest.raises(ArtefactError, match="not a name and a number"):
        write_made(tmp_path, name, version, None, TrustFile(tmp_path / "trusted.sha256"))
