"""Monitoring as a whole: life signs, and the alert that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Settings
from engine.engine import Engine
from engine.monitoring import GRACE_S


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Settings(models=tmp_path / "none", state=tmp_path / "state", history=False))


def test_a_thread_that_died_is_named_and_fires_its_alert(engine: Engine) -> None:
    monitoring = engine.monitoring
    monitoring.vital = {"http": lambda: False, "slo": lambda: True}
    engine.ticker.tick()
    assert monitoring.down() == [], "threads may take a moment to begin"
    monitoring._started_s -= GRACE_S + 1
    assert monitoring.down() == ["http"]
    # One tick measures it, the next one shows the alert.
    engine.ticker.tick()
    engine.ticker.tick()
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
