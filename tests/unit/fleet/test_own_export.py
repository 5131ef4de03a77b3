"""What an engine tells its peers of itself: every second once, models apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.config import Settings
from engine.engine import Engine
from engine.fleet.export import MOST_APART, Export, read_export
from engine.fleet.steps import RING_S, STEPS, merged, percentiles_of
from engine.fleet_export import fleet_export
from engine.telemetry.labels import OTHER
from engine.telemetry.record import RequestMetrics


class Served:
    """An engine without models that is told what it served, and its ticker's clock."""

    def __init__(self, state: Path) -> None:
        (state / "models").mkdir()
        settings = Settings(
            models=state / "models", state=state / "state", history=False, profile_hz=0
        )
        self.engine = Engine(settings)
        self.now_s = 10_000.0
        self.engine.ticker._monotonic = lambda: self.now_s
        self.engine.ticker._wall = lambda: self.now_s + 1_800_000_000
        self.durations_ms: list[float] = []
        self.tick()

    def tick(self) -> None:
        self.now_s += 1
        self.engine.ticker.tick()

    def serve(self, model: str, durations_ms: list[float], status: int = 200) -> None:
        self.durations_ms += durations_ms
        for ms in durations_ms:
            record = RequestMetrics("id", "/infer", status, model, "1", duration_ns=int(ms * 1e6))
            self.engine.recorder.append(record)

    def export(self, since: int = 0, run: str | None = None) -> Export:
        own = self.engine.recorder.run_id if run is None else run
        return read_export(fleet_export(self.engine, since, own).as_bytes())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.engine.close()


def requests(export: Export) -> int:
    return sum(step.counts[0] for step in export.steps)


def test_every_request_is_told_once_however_often_is_asked(served: Served) -> None:
    rng = np.random.default_rng(5)
    since, told, packed = 0, 0, []
    for turn in range(40):
        served.serve("m", rng.lognormal(1, 1, 25).tolist())
        served.tick()
        if turn % 3 == 0:
            export = served.export(since)
            assert export.since == since
            since, told = export.seq, told + requests(export)
            packed += [step.packed for step in export.steps]
    export = served.export(since)
    packed += [step.packed for step in export.steps]
    assert told + requests(export) == 1000
    found = percentiles_of(merged(packed))
    for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99)):
        exact = float(np.quantile(served.durations_ms, share, method="inverted_cdf"))
        assert found[name] == pytest.approx(exact, rel=0.01)


def test_nothing_new_is_no_steps(served: Served) -> None:
    served.serve("m", [1.0])
    served.tick()
    assert served.export(served.engine.ticker.ring.seq).steps == []


@pytest.mark.parametrize("since", [0, 5, 10**9])
def test_another_run_is_told_everything(served: Served, since: int) -> None:
    for _ in range(20):
        served.serve("m", [1.0])
        served.tick()
    export = served.export(since, "another")
    assert (export.since, requests(export)) == (0, 20)
    assert export.run == served.engine.recorder.run_id


def test_ten_minutes_are_told_at_most(served: Served) -> None:
    for _ in range(RING_S + 50):
        served.serve("m", [1.0])
        served.tick()
    export = served.export()
    assert requests(export) == RING_S
    assert len({step.number for step in export.steps}) in (STEPS, STEPS + 1)


def test_errors_and_models_are_told_apart(served: Served) -> None:
    served.serve("a", [1.0] * 8)
    served.serve("a", [2.0] * 2, status=500)
    served.serve("b", [30.0] * 5, status=429)
    served.tick()
    (step,) = served.export().steps[-1:]
    assert step.counts[:2] == (15, 7)
    found = {name: (part.requests, part.errors) for name, part in step.models.items()}
    assert found == {"a": (10, 2), "b": (5, 5)}
    assert percentiles_of(merged([step.models["b"].packed]))["p50_ms"] == pytest.approx(
        30, rel=0.01
    )


def test_models_past_the_bound_are_one(served: Served) -> None:
    for number in range(MOST_APART + 4):
        served.serve(f"m{number:02}", [1.0] * (100 - number))
    served.tick()
    (step,) = served.export().steps[-1:]
    assert len(step.models) == MOST_APART + 1
    assert "m00" in step.models
    assert step.models[OTHER].requests == sum(100 - n for n in range(MOST_APART, MOST_APART + 4))
    assert sum(part.requests for part in step.models.values()) == step.counts[0]


def test_the_consoles_own_traffic_is_not_service(served: Served) -> None:
    record = RequestMetrics("id", "/performance/live", 200, duration_ns=1_000_000)
    served.engine.recorder.append(record, is_service=False)
    served.tick()
    (step,) = served.export().steps[-1:]
    assert (step.counts[0], step.models) == (0, {})


def test_it_says_who_and_how_it_is(served: Served) -> None:
    export = served.export()
    assert export.address == "127.0.0.1:8050"
    assert export.ready is True
    served.engine.draining = True
    drained = served.export()
    assert (drained.ready, drained.draining) == (False, True)
    assert (drained.remote, drained.shared) == (None, None)
