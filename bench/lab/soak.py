"""Hours of mixed load on a fresh server: does anything grow? `make soak HOURS=`.

An open loop of every model: rows that repeat (hits), rows that do not (misses), and requests
that must be refused with 400, which are counted apart. What fills does so first, so that it is
not taken for growth: the caches' budgets are small, and a closed loop of FILL_S fills them before
the warm-up; the hour of telemetry has its memory from the start (bench/lab/aged.py).
Once a second, or less often in a long run, the server
process' resident memory, open files and threads are noted. Green is:

    errors     none that was not expected; the rate kept
    memory     the slope's 95 % interval meets zero, give or take NOISE (see `noise_mb_per_h`)
    files      the median of the last third at most FLAT above that of the first
    threads    likewise

A stored run of kind "soak" has, in "soak": seconds, warmup_s, green, because (list of texts),
expected_errors, rss_mb {slope_per_h, low_per_h, high_per_h, noise_per_h, first, last}, files
and threads {first, last}, columns [t, rss_mb, files, threads] and at most 3,600 points.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import psutil

from bench.lab.connection import Shot
from bench.lab.lab import Cancel, Progress, in_loop, measure
from bench.lab.outcome import Measured, record_of
from bench.lab.payloads import Payload, sample_columns
from bench.lab.rows import body_of, held
from bench.lab.slope import slope_of
from bench.lab.spec import LabSpec, spec_from
from bench.lab.target import Target
from engine.errors import PyrometerError

FILL_S = 10.0
MOST_POINTS = 3600
FLAT = 2
DIFFERENT = 20_000
"""Rows that do not repeat within minutes; far more than the caches hold."""
REPEATED = 20
MIXTURE = {"hit": 0.60, "miss": 0.37, "refused": 0.03}
CACHE_BYTES = 2 * 2**20
SERVER_FLAGS = tuple(
    word
    for name in ("result-cache-bytes", "response-cache-bytes", "embedding-cache-bytes")
    for word in (f"--{name}", str(CACHE_BYTES))
)
LEAST_NOISE_MB_PER_H, LEAST_GROWTH_MB = 1.0, 2.0
COLUMNS = ("t", "rss_mb", "files", "threads")


def soak_spec(url: str, seconds: float, rate_per_s: float, connections: int, name: str) -> LabSpec:
    """A soak of `seconds` in all, a fifth of them the warm-up, at least 10 s."""
    warmup_s = min(3600.0, max(10.0, seconds / 5))
    return spec_from(
        {
            "url": url,
            "name": name,
            "model": "*",
            "loop": "open",
            "arrivals": "poisson",
            "rate_per_s": rate_per_s,
            "connections": connections,
            "warmup_s": warmup_s,
            "seconds": max(0.2, seconds - warmup_s),
            "payload": {"rows": DIFFERENT, "cache": True},
            "slo": {"error_percent": 0.0},
        }
    )


def noise_mb_per_h(window_s: float) -> float:
    """What passes for no growth: 2 MB within the window, or 1 MB/h where that is more.

    A short run cannot tell a slope from an allocator that keeps one arena more.
    """
    return max(LEAST_NOISE_MB_PER_H, LEAST_GROWTH_MB / (window_s / 3600))


def ready_models(target: Target) -> list[str]:
    """Names of the models that a server has ready; empty where it has no V2 repository."""
    index = target.ask("/v2/repository/index", post=True)
    entries = [one for one in index if isinstance(one, dict)] if isinstance(index, list) else []
    return sorted({str(one.get("name")) for one in entries if one.get("state") == "READY"})


def mixed_payload(spec: LabSpec, target: Target) -> Payload:
    """Every ready model's rows, mixed as MIXTURE says. Raises PyrometerError where none is."""
    models = ready_models(target)
    if not models:
        raise PyrometerError(f"{target.url} has no model that is ready")
    random = np.random.default_rng(spec.seed)
    share = DIFFERENT // len(models)
    pools = {model: _pool(spec, target, model, share) for model in models}
    kinds = random.choice(list(MIXTURE), DIFFERENT, p=list(MIXTURE.values()))
    shots, fresh = [], {model: itertools.cycle(pools[model]["miss"]) for model in models}
    for kind, model in zip(kinds, itertools.cycle(models), strict=False):
        pool = pools[model]
        if kind == "miss":
            shots.append(next(fresh[model]))
        else:
            shots.append(pool[kind][int(random.integers(len(pool[kind])))])
    return Payload(shots, f"a mixture of {', '.join(models)}")


def _pool(spec: LabSpec, target: Target, model: str, count: int) -> dict[str, list[Shot]]:
    """Requests to one model by kind."""
    payload = dataclasses.replace(spec.payload, rows=count + REPEATED)
    own = dataclasses.replace(spec, model=model, payload=payload)
    columns, _ = sample_columns(own, target)
    path = f"{target.model_path(model, None)}/infer"
    shots = [
        Shot(target.request_bytes(path, body_of(columns, row), cache=True))
        for row in range(held(columns))
    ]
    wrong = orjson.dumps(
        {"inputs": [{"name": "no such input", "datatype": "FP64", "shape": [1, 1], "data": [0.5]}]}
    )
    refused = Shot(target.request_bytes(path, wrong, cache=True), frozenset({400}))
    return {
        "hit": shots[:REPEATED],
        "miss": shots[REPEATED:] or shots[:REPEATED],
        "refused": [refused],
    }


@dataclass(slots=True)
class Watch:
    """Samples of one process: rows of COLUMNS, t in seconds from the start of the warm-up."""

    process: psutil.Process
    rows: list[tuple[float, float, int, int]]

    async def look(self, every_s: float) -> None:
        """Until cancelled."""
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, number * every_s - (time.monotonic() - began)))
            self.rows.append((time.monotonic() - began, *self._now()))

    def _now(self) -> tuple[float, int, int]:
        rss_mb = self.process.memory_info().rss / 1e6
        return rss_mb, self.process.num_fds(), self.process.num_threads()


def soak(spec: LabSpec, process_id: int, on_progress: Progress, cancel: Cancel) -> dict[str, Any]:
    """The record of a soak. Raises PyrometerError where the server does not answer."""
    target = Target.of(spec.url)
    payload = mixed_payload(spec, target)
    started = time.time()
    watch = Watch(psutil.Process(process_id), [])
    total_s = spec.warmup_s + spec.seconds

    fill = dataclasses.replace(spec, loop="closed", rate_per_s=None, warmup_s=0.0, seconds=FILL_S)

    async def work() -> tuple[Measured, Measured]:
        filled = await measure(fill, payload, target, on_progress, cancel)
        looking = asyncio.ensure_future(watch.look(max(1.0, total_s / MOST_POINTS)))
        try:
            return filled, await measure(spec, payload, target, on_progress, cancel)
        finally:
            looking.cancel()

    with cancel.by_signals():
        filled, measured = in_loop(work())
    record = record_of(spec, "soak", started, measured, payload)
    soaked = judged(watch.rows, spec, record)
    if filled.tally.errors:
        texts = dict(filled.tally.error_texts)
        soaked["because"].append(f"{filled.tally.errors} errors while the caches filled: {texts}")
        soaked["green"] = False
    return record | {"soak": soaked}


def judged(
    rows: Sequence[tuple[float, float, int, int]], spec: LabSpec, record: dict[str, Any]
) -> dict[str, Any]:
    """The run's "soak" part: figures, and whether it is green."""
    kept = np.array([row for row in rows if row[0] >= spec.warmup_s], dtype=float).reshape(-1, 4)
    because = [] if record["valid"] else [str(record["invalid_because"])]
    if record["errors"]:
        because.append(f"{record['errors']} unexpected errors: {record['error_texts']}")
    memory = files = threads = None
    if len(kept) < 10:
        because.append(f"{len(kept)} samples after the warm-up; at least 10 are needed")
    else:
        memory = _memory(kept)
        if memory["low_per_h"] > memory["noise_per_h"]:
            because.append(f"memory grows by at least {memory['low_per_h']:.1f} MB/h")
        if memory["high_per_h"] < -memory["noise_per_h"]:
            because.append(f"memory shrinks by at least {-memory['high_per_h']:.1f} MB/h")
        files, threads = _thirds(kept[:, 2]), _thirds(kept[:, 3])
        for name, flat in (("open files", files), ("threads", threads)):
            if flat["last"] - flat["first"] > FLAT:
                because.append(f"{name} grow from {flat['first']:g} to {flat['last']:g}")
    return {
        "seconds": spec.seconds,
        "warmup_s": spec.warmup_s,
        "green": not because,
        "because": because,
        "expected_errors": record["expected_errors"],
        "rss_mb": memory,
        "files": files,
        "threads": threads,
        "columns": list(COLUMNS),
        "points": [[round(row[0], 1), round(row[1], 3), *row[2:]] for row in rows],
    }


def _memory(kept: np.ndarray) -> dict[str, float]:
    slope = slope_of(kept[:, 0], kept[:, 1])
    window_s = float(kept[-1, 0] - kept[0, 0])
    thirds = _thirds(kept[:, 1])
    return {
        "slope_per_h": round(slope.middle * 3600, 3),
        "low_per_h": round(slope.low * 3600, 3),
        "high_per_h": round(slope.high * 3600, 3),
        "noise_per_h": round(noise_mb_per_h(window_s), 3),
        "first": round(thirds["first"], 3),
        "last": round(thirds["last"], 3),
    }


def _thirds(values: np.ndarray) -> dict[str, float]:
    """Medians of the first and the last third."""
    third = max(1, len(values) // 3)
    return {"first": float(np.median(values[:third])), "last": float(np.median(values[-third:]))}
