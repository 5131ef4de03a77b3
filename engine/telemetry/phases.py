"""Where the time of requests went, by model, route and phase, as an icicle's lists.

requests
  model
    route         only where seconds by series are still in memory
      phase       PHASES and unaccounted, those that took time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from engine.telemetry.labels import OUTCOMES, UNKNOWN_MODEL, Labels
from engine.telemetry.record import PHASES
from engine.telemetry.ring import Ring
from engine.telemetry.tally import AT

ROOT = "requests"


class Spent(NamedTuple):
    """What the requests of one path took. phases: ns by name, unaccounted among them."""

    requests: int
    phases: Mapping[str, int]


def spent_of(sums: np.ndarray) -> Spent:
    """Phases of summed rows (SUMS,); those that took nothing are left out."""
    phases = {phase: int(sums[AT[f"{phase}_ns"]]) for phase in PHASES}
    phases["unaccounted"] = int(sums[AT["duration_ns"]]) - sum(phases.values())
    return Spent(int(sums[AT["requests"]]), {name: ns for name, ns in phases.items() if ns})


def spent_by_label(
    ring: Ring, labels: Labels, first: int, last: int
) -> dict[tuple[str, ...], Spent]:
    """What service traffic took by (model, route) in the ring's seconds first to last, by seq."""
    rows, _ = ring.series_between(first, last, np.repeat(labels.is_service(), len(OUTCOMES)))
    found: dict[tuple[str, ...], list[int]] = {}
    for place, number in enumerate(rows["series"].tolist()):
        label = labels.series(number).label
        found.setdefault((label.model or UNKNOWN_MODEL, label.route), []).append(place)
    return {path: spent_of(rows["sums"][places].sum(axis=0)) for path, places in found.items()}


def icicle(spent: Mapping[tuple[str, ...], Spent]) -> dict[str, Any]:
    """Parallel lists ids, labels, parents, values (total ms) and counts (requests)."""
    nodes: dict[tuple[str, ...], list[float]] = {(): [0.0, 0]}
    for path, (requests, phases) in sorted(spent.items()):
        for depth in range(len(path) + 1):
            node = nodes.setdefault(path[:depth], [0.0, 0])
            node[0] += sum(phases.values()) / 1e6
            node[1] += requests
        for phase, ns in phases.items():
            nodes[(*path, phase)] = [ns / 1e6, requests]
    return {
        "ids": [_id(path) for path in nodes],
        "labels": [path[-1] if path else ROOT for path in nodes],
        "parents": [_id(path[:-1]) if path else "" for path in nodes],
        "values": [value for value, _ in nodes.values()],
        "counts": [count for _, count in nodes.values()],
    }


def _id(path: Iterable[str]) -> str:
    return "/".join(path) or ROOT


def by_model(spent: Mapping[tuple[str, ...], Spent]) -> dict[tuple[str, ...], Spent]:
    """The same without routes."""
    found: dict[tuple[str, ...], Spent] = {}
    for (model, *_), (requests, phases) in spent.items():
        before = found.get((model,), Spent(0, {}))
        joined = dict(before.phases)
        for phase, ns in phases.items():
            joined[phase] = joined.get(phase, 0) + ns
        found[(model,)] = Spent(before.requests + requests, joined)
    return found
