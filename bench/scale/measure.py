"""The lab's open loop against nodes: one point for each offered rate.

A point, see fit.py, and beside that:

    intervals     95 % of each quantile, by resampling the run's seconds
    requests, errors, achieved_per_s, lag_percent
    load_1        load average of the machine when the run ended
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.lab import lab
from bench.lab.outcome import Measured
from bench.lab.payloads import build
from bench.lab.spec import LabSpec, spec_from
from bench.lab.target import Target
from bench.scale.fit import QUANTILES
from bench.scale.node import Node, run_totals
from bench.serving import thread_ns
from engine.telemetry.histogram import percentiles_ms

SEED = 20
WARM_UP_S = 0.5
BODIES = 64
RESAMPLES = 400
TICK_S = 1.2
"""Counts reach /metrics once a second."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked. rows: of each request."""

    model: str
    rows: int
    output: str
    body_file: Path


def write_bodies(path: Path, rows: Sequence[np.ndarray], datatype: str, output: str) -> None:
    """V2 bodies for the lab, one for each array (rows, columns)."""
    bodies = []
    for array in rows:
        data = array.round(6).reshape(-1).tolist()
        tensor = {"name": "input", "datatype": datatype, "shape": list(array.shape), "data": data}
        bodies.append({"inputs": [tensor], "outputs": [{"name": output}]})
    path.write_text(json.dumps(bodies))


def closed(subject: Subject, url: str, connections: int, seconds: float) -> LabSpec:
    """As fast as the answers come."""
    return _spec(subject, url, {"loop": "closed", "connections": connections, "seconds": seconds})


def opened(subject: Subject, url: str, rate: float, seconds: float) -> LabSpec:
    """At a rate, Poisson."""
    about = {"loop": "open", "arrivals": "poisson", "rate_per_s": rate, "connections": 200}
    return _spec(subject, url, about | {"seconds": seconds, "seed": SEED})


def _spec(subject: Subject, url: str, about: dict[str, Any]) -> LabSpec:
    payload = {"source": "file", "path": str(subject.body_file), "rows": BODIES}
    given = {"url": url, "model": subject.model, "warmup_s": WARM_UP_S, "payload": payload}
    return spec_from(given | about)


def point_of(spec: LabSpec, nodes: Sequence[Node], router: Node | None = None) -> dict[str, Any]:
    """Run it. Costs are processor time by requests that the nodes counted, warm-up included."""
    payload = build(spec, Target.of(spec.url))
    before = [run_totals(node.url, spec.model) for node in nodes]
    threads = [thread_ns(node.pid) for node in nodes]
    routed_ns = sum(thread_ns(router.pid).values()) if router else 0
    work = lab.measure(spec, payload, Target.of(spec.url), lambda line: None, lab.Cancel())
    measured = lab.in_loop(work)
    spent = [_busiest_ns(node, was) for node, was in zip(nodes, threads, strict=True)]
    router_ns = sum(thread_ns(router.pid).values()) - routed_ns if router else 0
    time.sleep(TICK_S)
    after = [run_totals(node.url, spec.model) for node in nodes]
    runs_s = sum(now[0] - was[0] for now, was in zip(after, before, strict=True))
    counted = sum(now[1] - was[1] for now, was in zip(after, before, strict=True))
    return {
        **_latencies(measured),
        "rate_per_s": spec.rate_per_s or measured.achieved_per_s,
        "achieved_per_s": measured.achieved_per_s,
        "lag_percent": measured.lag_percent,
        "requests": measured.tally.requests,
        "errors": measured.tally.errors,
        "loop_us": sum(spent) / counted / 1e3,
        "router_us": router_ns / counted / 1e3 if router else None,
        "run_ms": 1e3 * runs_s / counted,
        "client_us": 1e4 * measured.cpu_percent / measured.achieved_per_s,
        "load_1": round(os.getloadavg()[0], 2),
    }


def _busiest_ns(node: Node, before: dict[int, int]) -> int:
    """Of the thread that spent most: the event loop, where models are answered on it."""
    return max(ns - before.get(thread, 0) for thread, ns in thread_ns(node.pid).items())


def _latencies(measured: Measured) -> dict[str, Any]:
    seconds = np.array([point.counts for point in measured.tally.points])
    latency = measured.tally.latency
    total = int(latency.counts.sum())
    mean_ms = latency.sum_ns / total / 1e6
    shares = list(QUANTILES.values())
    found = percentiles_ms(latency.counts[np.newaxis], shares)[0]
    random = np.random.default_rng(SEED)
    picks = random.integers(0, len(seconds), (RESAMPLES, len(seconds)))
    again = percentiles_ms(seconds[picks].sum(axis=1), shares)
    low, high = np.nanquantile(again, [0.025, 0.975], axis=0)
    return {
        **{name: float(value) for name, value in zip(QUANTILES, found, strict=True)},
        "mean_ms": mean_ms,
        "intervals": {
            name: [float(low[place]), float(high[place])] for place, name in enumerate(QUANTILES)
        },
    }
