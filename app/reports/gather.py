"""A report of a server: its facts, its stored runs, what else watches it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.reports import runs
from app.reports.document import document
from app.reports.facts import facts_of, no_facts
from app.reports.sources import EFFECTIVENESS
from app.reports.targets import of_window
from engine.engine import Engine
from engine.worth_report import worth_report

BESIDE = ("gate", "soak", "load", "ramp")
MOST_OF_A_KIND = 5


def report_of(
    engine: Engine, from_s: float, to_s: float, by: str, flame: bool = True
) -> dict[str, Any]:
    """The report of a stretch of time, UTC seconds. Raises InvalidInput.

    flame: with the code that ran.
    """
    folder = engine.settings.state / "runs"
    facts = facts_of(engine, from_s, to_s, flame)
    told = effectiveness_of(engine) if facts["window"]["live"] else None
    beside = _beside(folder) | {"experiment": _experiments(engine)}
    return document(facts, runs.newest(folder, "optimization"), beside, told, by)


def report_of_runs(state: Path) -> dict[str, Any]:
    """The report of what a state folder holds, without a server."""
    folder = state / "runs"
    newest = runs.newest(folder, "optimization")
    return document(no_facts(), newest, _beside(folder), None, "cli")


def _beside(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        kind: list(itertools.islice(runs.of_kind(folder, kind), MOST_OF_A_KIND)) for kind in BESIDE
    }


def _experiments(engine: Engine) -> list[dict[str, Any]]:
    """The newest experiments as sources, each with where it stands in words."""
    kept = engine.trials.overview()["experiments"]
    newest = sorted(kept, key=lambda one: one["created"], reverse=True)[:MOST_OF_A_KIND]
    return [
        {
            "id": f"experiment-{one['id']}",
            "kind": "experiment",
            "name": one["name"] or one["id"],
            "text": _stands(one),
            "started": one["started"],
            "ended": one["ended"],
            "valid": True,
            "spec": {"command": f"GET /performance/experiments/{one['id']}"},
            "where": "experiments/",
        }
        for one in newest
    ]


def _stands(experiment: Mapping[str, Any]) -> str:
    done, needed = (experiment["progress"][name] for name in ("requests", "needed"))
    words = f"{experiment['state'].replace('_', ' ')}, {done:,} requests"
    words += f" of {needed:,} planned" if needed else ""
    return f"{words}; {experiment['reason']}" if experiment["reason"] else words


def effectiveness_of(engine: Engine) -> dict[str, Any] | None:
    """What the server's own watch has found in the last hour; None where nothing was saved."""
    told = worth_report(engine)
    window = {"id": EFFECTIVENESS, "covered_s": told["hour_s"]}
    figures = [
        _figure(f"Time saved by {source}", seconds, "s", window, f"saved.hour_s.{source}")
        for source, seconds in told["saved"]["hour_s"].items()
        if seconds
    ]
    packed = told["gzip"]["hour"]
    if packed["saved_bytes"]:
        label, value = "Bytes saved by gzip", packed["saved_bytes"] / 1e6
        figures.append(_figure(label, value, "MB", window, "gzip.hour.saved_bytes"))
    for model in told["models"]:
        figures += _audited(model, window)
    return {"figures": figures} if figures else None


def _audited(model: Mapping[str, Any], window: Mapping[str, Any]) -> list[dict[str, Any]]:
    audit, name = model["audit"], model["model"]
    if audit is None or not audit["rows"]:
        return []
    found = [
        _figure(
            f"{name}: rows run again by scikit-learn",
            audit["rows"],
            "",
            window,
            f"models.{name}.audit.rows",
        ),
        _figure(
            f"{name}: of them that differ",
            audit["differing"],
            "",
            window,
            f"models.{name}.audit.differing",
        ),
    ]
    speedup = audit["recent"]["served_speedup"]
    if speedup is not None:
        key = f"models.{name}.audit.recent.served_speedup"
        found.append(_figure(f"{name}: faster than scikit-learn", speedup, "x", window, key))
    return found


def _figure(
    label: str, value: float, unit: str, window: Mapping[str, Any], key: str
) -> dict[str, Any]:
    found = of_window(value, unit, window, key)
    return {"label": label, **found, "how": "GET /performance/effectiveness"}
