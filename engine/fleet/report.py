"""The fleet as plain data: merged figures, a row a peer, the last ten minutes, models over all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.fleet.addresses import MAX_PEERS
from engine.fleet.fleet import Seen, View
from engine.fleet.steps import (
    PERCENTILES,
    RING_S,
    STEP_S,
    STEPS,
    WINDOW_S,
    WINDOW_STEPS,
    ModelPart,
    Step,
    figures_of,
    figures_of_all,
    merged,
    percentiles_by_step,
    percentiles_of,
)

COLUMNS = ("t", "requests_per_s", "errors_per_s", "p50_ms", "p95_ms", "p99_ms")
MOST_MODELS = 200
CLOCKS_DIFFER_S = 1.0
"""A peer's clock that is further off than this is told of."""
DIFFERS = ("version", "digest", "form")


def fleet_report(view: View, interval_s: float) -> dict[str, Any]:
    """Everything the Fleet page shows of the processes."""
    live = [row for row in view.rows if row.is_live]
    windows = [_window(row, view.now_s) for row in live]
    last = int((view.now_s - interval_s - 1) // STEP_S) - 1
    first = last - STEPS + 1
    return {
        "time": view.now_s,
        "interval_s": interval_s,
        "window_s": WINDOW_S,
        "ring_s": RING_S,
        "step_s": STEP_S,
        "limit": MAX_PEERS,
        "left_out": view.left_out,
        "problems": list(view.problems),
        "merged": figures_of_all(windows) | {"processes": len(live)},
        "states": states_of(view),
        "peers": [_row(row, view.now_s, first) for row in view.rows],
        "series": _series(view, first),
        **_models(live, windows),
    }


def states_of(view: View) -> dict[str, int]:
    """How many rows are in each state."""
    found: dict[str, int] = {}
    for row in view.rows:
        found[row.state] = found.get(row.state, 0) + 1
    return found


def fleet_families(view: View) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """What scrapers are told, by family; figures without data are left out."""
    live = figures_of_all([_window(row, view.now_s) for row in view.rows if row.is_live])
    rate = live["requests_per_s"]
    return {
        "pyrometer_fleet_peers": [((state,), many) for state, many in states_of(view).items()],
        "pyrometer_fleet_requests_per_second": [] if rate is None else [((), rate)],
        "pyrometer_fleet_duration_seconds": [
            ((str(share),), value / 1e3)
            for name, share in PERCENTILES.items()
            if (value := live[name]) is not None
        ],
    }


def _window(row: Seen, until_s: float) -> list[Step]:
    last = int(until_s // STEP_S)
    return [step for step in row.steps if last - WINDOW_STEPS < step.number <= last]


def row_id(row: Seen) -> str:
    """What a row is called: its address, or else what this process calls itself."""
    return row.url or (row.latest.address if row.latest else "this process")


def _row(row: Seen, now_s: float, first: int) -> dict[str, Any]:
    """One peer. A lost one shows what it last told; those figures count for nothing."""
    until_s = now_s if row.is_live else (row.heard_s or now_s)
    told: dict[str, Any] = {
        "id": row_id(row),
        "url": row.url or None,
        "state": row.state,
        "since": row.since_s,
        "heard": row.heard_s,
        "problem": row.problem,
        "same_as": row.of or None,
        "live": row.is_live,
        "run": row.run,
        "asked": row.asked,
        "failed": row.failed,
        "answer_bytes": row.answer_bytes,
        "skew_ms": None if row.skew is None else 1e3 * row.skew.offset_s,
        "trip_ms": None if row.skew is None else 1e3 * row.skew.trip_s,
        "clock_differs": row.skew is not None and abs(row.skew.offset_s) > CLOCKS_DIFFER_S,
    }
    told |= figures_of(_window(row, until_s)) | {"spark": _rates(row.steps, first)}
    latest = row.latest
    if latest is None or row.state == "duplicate":
        return told | {"version": None}
    states = [model["state"] for model in latest.models]
    return told | {
        "version": latest.version,
        "address": latest.address,
        "uptime_s": max(0.0, latest.time - latest.started),
        "ready": latest.ready,
        "draining": latest.draining,
        "alerts": list(latest.alerts),
        "models_warm": states.count("warm"),
        "models": len(states) + latest.models_left_out,
        "executor": (latest.remote or {}).get("executor"),
        **latest.resources,
    }


def _rates(steps: Iterable[Step], first: int) -> list[float | None]:
    """Requests a second in each step from number `first` on; None where nothing is known."""
    found: list[float | None] = [None] * STEPS
    for step in steps:
        place = step.number - first
        if 0 <= place < STEPS and step.seconds:
            found[place] = step.counts[0] / step.seconds
    return found


def _series(view: View, first: int) -> dict[str, Any]:
    """The ring, whole steps only: what all served together, and p99 of each row."""
    by_run = {row.run: row.steps for row in view.rows if row.steps}  # two addresses, one run
    every = [*by_run.values(), *view.past]
    flat = [step for steps in every for step in steps]
    rates = np.full((STEPS, 2), np.nan)
    for step in flat:
        place = step.number - first
        if 0 <= place < STEPS and step.seconds:
            # Two runs of one process may share a step: each counts for its part of it.
            covered_s = max(step.seconds, STEP_S)
            rates[place] = np.nan_to_num(rates[place]) + np.array(step.counts[:2]) / covered_s
    columns = list(PERCENTILES)
    wanted = [columns.index(name) for name in COLUMNS[3:]]
    percentiles = percentiles_by_step(flat, first, STEPS)
    times = (first + np.arange(STEPS) + 1) * STEP_S
    points = np.column_stack([times, rates, percentiles[:, wanted]])
    p99 = columns.index("p99_ms")
    own = {
        row_id(row): _known(percentiles_by_step(row.steps, first, STEPS)[:, p99])
        for row in view.rows
        if row.steps
    }
    return {"columns": COLUMNS, "points": [_known(point) for point in points], "peers_p99_ms": own}


def _known(values: np.ndarray) -> list[float | None]:
    return [None if value != value else float(value) for value in values]


def _models(live: Sequence[Seen], windows: Sequence[Sequence[Step]]) -> dict[str, Any]:
    """Models of live processes: who has each how, and its figures over all of them.

    The first MOST_MODELS by name; how many more there are is told.
    """
    on: dict[str, list[dict[str, Any]]] = {}
    for row in live:
        for model in row.latest.models if row.latest else ():
            held = {key: model[key] for key in ("version", "state", "digest", "form", "serving")}
            on.setdefault(model["name"], []).append({"peer": row_id(row)} | held)
    found = [
        {"name": name, "on": places, "differs": _differs(places), "missing": _missing(live, places)}
        | _model_figures(name, windows)
        for name, places in sorted(on.items())[:MOST_MODELS]
    ]
    return {"models": found, "models_left_out": max(0, len(on) - MOST_MODELS)}


def _differs(places: Sequence[Mapping[str, Any]]) -> list[str]:
    """In what the serving versions of a model are not the same everywhere."""
    serving = [place for place in places if place["serving"]]
    return [
        key
        for key in DIFFERS
        if len({place[key] for place in serving if place[key] is not None}) > 1
    ]


def _missing(live: Sequence[Seen], places: Sequence[Mapping[str, Any]]) -> list[str]:
    """Processes that do not have it, of those that told of all their models."""
    have = {place["peer"] for place in places}
    told = [row for row in live if row.latest and not row.latest.models_left_out]
    return [row_id(row) for row in told if row_id(row) not in have]


def _model_figures(name: str, windows: Sequence[Sequence[Step]]) -> dict[str, Any]:
    parts: list[ModelPart] = []
    rates: list[float] = []
    for window in windows:
        own = [step.models[name] for step in window if name in step.models]
        seconds = sum(step.seconds for step in window)
        parts += own
        if seconds:
            rates.append(sum(part.requests for part in own) / seconds)
    requests, errors = sum(part.requests for part in parts), sum(part.errors for part in parts)
    percentiles = percentiles_of(merged(part.packed for part in parts))
    return {
        "requests": requests,
        "requests_per_s": sum(rates) if rates else None,
        "error_percent": 100 * errors / requests if requests else None,
        "p50_ms": percentiles["p50_ms"],
        "p99_ms": percentiles["p99_ms"],
    }
