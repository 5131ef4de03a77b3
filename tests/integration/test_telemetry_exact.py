"""Every number against an outside observer: 20,000 requests of known latency, 50 connections."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from app.front import Front
from app.server import Server
from engine.config import Settings
from engine.engine import Engine
from engine.telemetry.figures import figures_of
from engine.telemetry.rows import COLUMN, FIRST_PHASE
from engine.telemetry.tally import TOTALS
from tests.conftest import ROOT
from tests.waiting import until

REQUESTS, CONNECTIONS = 20_000, 50
MODEL = """
import time

class Known:
    def load(self, folder): pass

    def predict(self, inputs):
        x = inputs["x"]
        if len(x) == 1 and 0 < x[0, 0] < 1000:
            time.sleep(x[0, 0] / 1000)
        return {"doubled": x * 2}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 2]\n'


@dataclass
class Observed:
    """What the callers saw, what the recorder was given, what is told."""

    callers: dict[str, Any]
    rows: np.ndarray
    latencies_ms: np.ndarray
    told: dict[str, float]


def bodies_of(latencies_ms: np.ndarray) -> list[bytes]:
    """A body a latency; each is sent twice by one caller, and each 100th is no tensor at all."""
    bodies = []
    for number, latency_ms in enumerate(latencies_ms):
        spec = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [latency_ms, number]}
        body = json.dumps({"inputs": [spec]}).encode()
        bodies.append(b'{"inputs": 5}' if number % 100 == 99 else body)
    blocks = [bodies[at : at + CONNECTIONS] for at in range(0, len(bodies), CONNECTIONS)]
    return [body for block in blocks for body in (*block, *block)]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("known")
    version = folder / "models/known/1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "model.toml").write_text(TOML)
    digest = hashlib.sha256(MODEL.encode()).hexdigest()
    (folder / "trusted.sha256").write_text(f"{digest}  model.py\n")
    settings = Settings(
        port=0,
        models=folder / "models",
        state=folder / "state",
        trust_file=folder / "trusted.sha256",
        cpu_slots=CONNECTIONS,
        batching=False,
        spill=False,
    )
    engine = Engine(settings)
    server = Server(Front(engine))
    drained: list[np.ndarray] = []
    drain = engine.recorder.drain

    def kept_drain() -> Any:
        taken = drain()
        drained.append(taken.rows.copy())
        return taken

    engine.recorder.drain = kept_drain  # type: ignore[method-assign]
    server.start()
    engine.start()
    try:
        engine.warm_up(["known"])
        latencies_ms = np.random.default_rng(5).lognormal(2.2, 0.5, REQUESTS // 2).clip(3, 60)
        (folder / "bodies").write_bytes(b"\n".join(bodies_of(latencies_ms)))
        command = [sys.executable, "-m", "tests.callers", str(server.port)]
        command += ["/v2/models/known/infer", str(folder / "bodies"), str(CONNECTIONS)]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        totals = engine.ticker.totals
        until(lambda: totals.requests >= REQUESTS, 10, "every request to be counted")
        frames = engine.monitoring.look_back(120, 120).frames
        figures = figures_of(frames.seconds, frames.totals, frames.histograms)
        told = {name: float(value[0]) for name, value in figures.items()}
        told |= dict(zip(TOTALS, frames.totals[0].tolist(), strict=True))
        rows = np.concatenate(drained)
        service = engine.recorder.labels.is_service()[rows[:, 0]]
        yield Observed(json.loads(said), rows[service], latencies_ms, told)
    finally:
        server.drain()
        engine.close()
        server.close()


def test_counts_are_exactly_those_of_the_callers(observed: Observed) -> None:
    seen, told = observed.callers, observed.told
    assert told["requests"] == REQUESTS == len(observed.rows)
    assert told["requests_ok"] == seen["status_200"]
    assert told["requests_client_error"] == seen["status_400"] == REQUESTS // 100
    assert told["bytes_in"] == seen["bytes_in"]
    assert told["bytes_out"] == seen["bytes_out"]


def test_hits_are_exactly_those_of_the_callers(observed: Observed) -> None:
    told = observed.told
    hits = told["response_hits"] + told["result_hits"] + told["disk_hits"]
    assert hits == observed.callers["hits"] > 0
    assert told["hit_percent"] == pytest.approx(100 * hits / told["lookups"])


@pytest.mark.parametrize(("name", "share"), [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)])
def test_percentiles_are_within_one_percent_of_the_exact_ones(
    observed: Observed, name: str, share: float
) -> None:
    durations = np.sort(observed.rows[:, COLUMN["duration_ns"]])
    exact_ms = durations[int(np.ceil(share * len(durations))) - 1] / 1e6
    assert observed.told[name] == pytest.approx(exact_ms, rel=0.01)


def test_phases_add_up_to_the_duration_of_every_record(observed: Observed) -> None:
    rows = observed.rows
    phases = rows[:, FIRST_PHASE : COLUMN["cpu_ns"]]
    rest = rows[:, COLUMN["duration_ns"]] - phases.sum(axis=1)
    assert (phases >= 0).all()
    assert (rest >= 0).all(), "phases that overlap would sum to more than the duration"
    assert np.median(rest) < 500_000


def test_the_models_own_time_is_booked_as_inference(observed: Observed) -> None:
    ran = observed.rows[observed.rows[:, COLUMN["batch_rows"]] > 0]
    inference_ms = np.sort(ran[:, COLUMN["inference_ns"]]) / 1e6
    known_ms = np.sort(observed.latencies_ms)
    for share in (0.5, 0.95):
        told = inference_ms[int(share * len(inference_ms))]
        known = known_ms[int(share * len(known_ms))]
        # A sleep is never shorter than asked for; how much longer is up to the machine.
        assert known <= told <= 1.3 * known + 2.0
