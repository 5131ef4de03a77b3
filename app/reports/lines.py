"""Parts of a report that are lines of figures: the window's traffic, its code, other runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.reports import targets

MOST_TOP, MOST_PHASES = 15, 16
LEAST_SHARE, MOST_DEPTH = 0.002, 32
"""Narrower boxes of a flame graph are left out, two pixels of a page's width, and deeper ones."""


def now_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of the window's own traffic."""
    window, totals = facts["window"], facts["totals"]
    if window is None:
        return []
    wanted = (
        ("requests", "Requests", ""),
        ("requests_per_s", "Requests/s", "req/s"),
        ("p50_ms", "p50", "ms"),
        ("p95_ms", "p95", "ms"),
        ("p99_ms", "p99", "ms"),
        ("error_percent", "Errors", "%"),
        ("hit_percent", "Cache hits", "%"),
        ("memory_mb", "Memory", "MB"),
        ("memory_peak_mb", "Memory, peak", "MB"),
        ("cpu_percent", "CPU, of one core", "%"),
    )
    return [
        {"label": label, "figure": targets.of_window(totals[name], unit, window, name)}
        for name, label, unit in wanted
        if totals.get(name) is not None
    ]


def phases_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the window's time went, by model and phase, the longest first."""
    given, window = facts["phases"], facts["window"]
    whole = given["values"][0] if given["values"] else 0.0
    rows = [
        {
            "model": parent,
            "phase": label,
            "value": value,
            "unit": "ms",
            "ms": value,
            "percent": 100 * value / whole,
            "requests": count,
            "run": window["id"] if window else None,
            "key": f"{parent}.{label}",
        }
        for parent, label, value, count in zip(
            given["parents"], given["labels"], given["values"], given["counts"], strict=True
        )
        if parent not in ("", "requests") and whole
    ]
    return sorted(rows, key=lambda row: -row["ms"])[:MOST_PHASES]


def top_of(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Functions by their own processor time."""
    flame = facts["flame"]
    if flame is None:
        return []
    whole = flame["sampled"][flame["measure"]]
    rows = sorted(flame["top"], key=lambda row: -row["self"])[:MOST_TOP]
    return [
        {
            "function": flame["frames"][row["frame"]]["label"],
            "self_percent": 100 * row["self"] / whole if whole else 0.0,
            "total_percent": 100 * row["total"] / whole if whole else 0.0,
        }
        for row in rows
        if row["self"]
    ]


def gate_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """A stored gate in a line, whatever else it holds."""
    told = run.get("gate") or {}
    words = told.get("verdict") or "no verdict"
    passed = f"{'passes' if told.get('passes') else 'fails'}: {words}"
    return {"id": run["id"], "name": run.get("name"), "ended": run.get("ended"), "passed": passed}


def experiment_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment in a line."""
    return {"id": run["id"], "name": run["name"], "text": run["text"]}


def load_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """A stored load, ramp or soak in a line, each figure with its place in the run."""
    latency = run.get("latency_ms") or {}
    spec = run.get("spec") or {}
    memory = (run.get("soak") or {}).get("rss_mb") or {}
    values = (
        ("requests", "requests", "", run.get("requests")),
        ("achieved_per_s", "achieved", "req/s", run.get("achieved_per_s")),
        ("latency_ms.p99", "p99", "ms", latency.get("p99")),
        (
            "highest_within_slo_per_s",
            "highest rate within the SLO",
            "req/s",
            run.get("highest_within_slo_per_s"),
        ),
        ("soak.rss_mb.slope_per_h", "memory, slope", "MB/h", memory.get("slope_per_h")),
    )
    how = f"load lab, {spec.get('loop', '')} loop, model {spec.get('model', '')}"
    return {
        "id": run["id"],
        "kind": run["kind"],
        "name": run.get("name"),
        "valid": run.get("valid"),
        "ended": run.get("ended"),
        "figures": [
            {
                "label": label,
                "value": value,
                "unit": unit,
                "n": run.get("requests"),
                "how": how,
                "window": "the run",
                "run": run["id"],
                "key": key,
            }
            for key, label, unit, value in values
            if value is not None
        ],
    }


def pruned(flame: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A flame graph's lists without what is too narrow to be seen, and without its table."""
    if flame is None:
        return None
    nodes = flame["nodes"]
    whole = flame["sampled"][flame["measure"]] or 1
    place: dict[int, int] = {}
    depth: dict[int, int] = {-1: 0}
    for node, (parent, total) in enumerate(zip(nodes["parent"], nodes["total"], strict=True)):
        depth[node] = depth[min(parent, node)] + 1
        wide = total / whole >= LEAST_SHARE and depth[node] <= MOST_DEPTH
        if wide and (parent < 0 or parent in place):
            place[node] = len(place)
    frames = list(dict.fromkeys(nodes["frame"][node] for node in place))
    known = {frame: at for at, frame in enumerate(frames)}
    return {
        "measure": flame["measure"],
        "kind": flame["kind"],
        "unit": flame["unit"],
        "sampled": flame["sampled"],
        "against": None,
        "left_out": 0,
        "nodes": {
            "frame": [known[nodes["frame"][node]] for node in place],
            "parent": [place.get(nodes["parent"][node], -1) for node in place],
            "self": [nodes["self"][node] for node in place],
            "total": [nodes["total"][node] for node in place],
        },
        "frames": [
            {name: flame["frames"][frame][name] for name in ("label", "name", "module")}
            for frame in frames
        ],
    }
