"""Monitoring as a whole: life signs, and the alert that follows."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.config import Settings
from engine.engine import Engine
from engine.supervised import Supervised


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Settings(models=tmp_path / "none", state=tmp_path / "state", history=False))


def test_a_thread_that_died_is_begun_again_named_and_fires_its_alert(engine: Engine) -> None:
    monitoring, runs = engine.monitoring, threading.Semaphore(0)
    dies = threading.Event()

    def work() -> None:
        runs.release()
        if not dies.is_set():
            dies.set()
            raise SystemExit("on purpose")

    thread = Supervised("probe", work)
    monitoring.watched.append(lambda: [thread])
    engine.ticker.tick()
    assert monitoring.down() == [], "threads that were not begun are not missed"
    thread.start()
    assert all(runs.acquire(timeout=5) for _ in range(2)), "it was begun again"
    thread.join(5)
    assert (monitoring.down(), monitoring.died()) == ([], ["probe"])
    # One tick measures it, the next one shows the alert.
    engine.ticker.tick()
    engine.ticker.tick()
    told = [event["text"] for event in engine.ticker.events() if event["kind"] == "thread"]
    assert told == ["probe ended, and goes on: SystemExit: on purpose"]
    states = {alert["key"]: alert["state"] for alert in engine.ticker.latest["alerts"]}
    assert states["engine_thread_down/critical"] == "firing"
    assert engine.ticker.latest["health"]["status"] == "critical"
    engine.close()


def test_without_telemetry_nothing_is_recorded_and_the_console_says_so(tmp_path: Path) -> None:
    settings = Settings(models=tmp_path / "none", state=tmp_path / "state", telemetry=False)
    engine = Engine(settings)
    with engine.profile_request("/mine"):
        pass
    engine.ticker.tick()
    assert engine.ticker.totals.requests == 0
    assert engine.ticker.latest["history"] is None
    assert not (tmp_path / "state/history.sqlite").exists()
    engine.close()
