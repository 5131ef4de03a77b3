"""Exports of processes that tests make up: durations by step, told as a peer would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.fleet.export import Export
from engine.fleet.steps import STEP_S, ModelPart, Step
from engine.telemetry.histogram import histogram_of, pack

START_S = 1_800_000_000.0


def packed_of(durations_ms: Sequence[float]) -> bytes:
    return pack(histogram_of(np.array(durations_ms, dtype=np.float64) * 1e6))


def step_of(
    number: int,
    durations_ms: Sequence[float],
    errors: int = 0,
    model: str = "m",
    seconds: float = STEP_S,
) -> Step:
    packed = packed_of(durations_ms)
    models = {model: ModelPart(len(durations_ms), errors, packed)}
    return Step(number, seconds, (len(durations_ms), errors, 0, 0), packed, models)


def at(time_s: float) -> int:
    """The number of the step that a time falls into."""
    return int(time_s // STEP_S)


def export_of(
    run: str,
    steps: Sequence[Step] = (),
    *,
    since: int = 0,
    seq: int = 10,
    time_s: float = START_S,
    models: Sequence[Mapping[str, Any]] = (),
    **further: Any,
) -> Export:
    told: dict[str, Any] = {
        "version": "9.9",
        "address": "10.0.0.9:8050",
        "time": time_s,
        "started": time_s - 100,
        "ready": True,
        "draining": False,
        "resources": {
            "cpu_percent": 12.0,
            "memory_mb": 200.0,
            "queued": 0.0,
            "queue_used_percent": 3.0,
        },
    }
    return Export(run=run, since=since, seq=seq, steps=steps, models=models, **(told | further))


def model(name: str, version: str = "1", digest: str = "aa", form: str = "fast") -> dict[str, Any]:
    told = {"name": name, "version": version, "state": "warm", "digest": digest, "form": form}
    return told | {"serving": True}
