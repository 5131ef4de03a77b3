"""The product's targets against what was measured. Pure.

A target is judged on one figure of the newest optimization run, on several models the worst one;
memory over a day on the server's own history. A figure that is not there is "no data" and says
why; it is never met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.reports.target_table import TARGETS, Target

MET, MISSED, NO_DATA = "met", "missed", "no data"
PLAN, SERVER = "plan", "server"
DAY_HOURS = 20.0
"""So much of a day is enough: what a start needs is left out."""
GROWTH_MOST_PERCENT = 5.0
"""A day's growth of memory that is still noise."""
NOT_RUN = "not measured yet"


def figures_of(run: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The figures of an optimization run by key."""
    found: Mapping[str, Any] = (run or {}).get("optimization", {}).get("figures", {})
    return found


def figure(run: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
    """A run's figure with where it is from; value None where it has none."""
    found = figures_of(run).get(key)
    if run is None or found is None:
        return {"value": None, "unit": "", "why": NOT_RUN if run is None else "not in the run"}
    return {**found, "run": run["id"], "key": key}


def judged(
    run: Mapping[str, Any] | None,
    totals: Mapping[str, Any],
    window: Mapping[str, Any] | None,
    soaks: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """A row for every target. soaks: stored soak runs, the newest first."""
    rows = [_row(target, run, totals, window) for target in TARGETS]
    at = 1 + max(place for place, row in enumerate(rows) if row["group"] == "Memory")
    return [*rows[:at], growth(totals, window, soaks), *rows[at:]]


def _row(
    target: Target,
    run: Mapping[str, Any] | None,
    totals: Mapping[str, Any],
    window: Mapping[str, Any] | None,
) -> dict[str, Any]:
    found, subject = _worst(target, run)
    value = found["value"]
    status = NO_DATA if value is None else MET if _holds(target, value) else MISSED
    return {
        "id": target.id,
        "group": target.group,
        "label": target.label,
        "target": target.words,
        "limit": target.limit,
        "best": target.best,
        "unit": target.unit,
        "status": status,
        "figure": {**found, "unit": found.get("unit") or target.unit},
        "subject": subject,
        "live": _live(target, totals, window),
        "why": found.get("why") if value is None else None,
    }


def _holds(target: Target, value: float) -> bool:
    return value < target.limit if target.best == "low" else value > target.limit


def _worst(target: Target, run: Mapping[str, Any] | None) -> tuple[dict[str, Any], str | None]:
    """The figure that decides, and of which model it is."""
    if not target.per_model:
        return figure(run, f"{PLAN}/{SERVER}/{target.figure}"), None
    ending = f"/{target.figure}"
    keys = [
        key
        for key in figures_of(run)
        if key.startswith(f"{PLAN}/") and key.endswith(ending) and f"/{SERVER}/" not in key
    ]
    rows = [(figure(run, key), key.split("/")[1]) for key in keys]
    missing = next((row for row in rows if row[0]["value"] is None), None)
    # One model that was not measured may be the worst.
    if missing is not None or not rows:
        return missing or (figure(run, target.figure), None)
    pick = max if target.best == "low" else min
    return pick(rows, key=lambda row: row[0]["value"])


def _live(
    target: Target, totals: Mapping[str, Any], window: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The same of the window's traffic; None where there is nothing like it."""
    if not target.live or window is None or totals.get(target.live) is None:
        return None
    return of_window(totals[target.live], target.unit, window, target.live)


def of_window(value: float, unit: str, window: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A figure of the window's record."""
    covered_s = window["covered_s"]
    how = "recorded requests and gauges, GET /performance/metrics/history"
    return {
        "value": value,
        "unit": unit,
        "n": None,
        "how": how,
        "window": f"{covered_s:,.0f} s recorded",
        "run": window["id"],
        "key": key,
    }


def growth(
    totals: Mapping[str, Any],
    window: Mapping[str, Any] | None,
    soaks: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """24 hours without growth: by a soak that was as long, else by the server's own history."""
    row: dict[str, Any] = {
        "id": "growth",
        "group": "Memory",
        "label": "24 hours without growth",
        "target": f"under {GROWTH_MOST_PERCENT:g} % a day",
        "limit": GROWTH_MOST_PERCENT,
        "best": "low",
        "unit": "%",
        "status": NO_DATA,
        "subject": None,
        "live": None,
        "figure": {"value": None, "unit": "%"},
    }
    found = next(filter(None, map(_soaked, soaks)), None) or _grown(totals, window)
    if found is None:
        hours = totals.get("growth_hours") or 0.0
        longest_h = max((_soak_hours(run) for run in soaks), default=0.0)
        why = f"needs a day: history has {hours:.1f} h, the longest soak {longest_h:.1f} h"
        return row | {"why": why}
    status = MET if found["value"] <= GROWTH_MOST_PERCENT else MISSED
    return row | {"figure": found, "status": status, "why": None}


def _soak_hours(run: Mapping[str, Any]) -> float:
    return float((run.get("soak") or {}).get("seconds") or 0.0) / 3600


def _soaked(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """A day's growth by a stored soak of about a day; None of any other."""
    memory = (run.get("soak") or {}).get("rss_mb")
    hours = _soak_hours(run)
    if not run.get("valid") or not memory or not memory.get("first") or hours < DAY_HOURS:
        return None
    return {
        "value": 100 * 24 * memory["slope_per_h"] / memory["first"],
        "unit": "%",
        "n": run.get("requests"),
        "how": "slope of resident memory in a soak, of its first value",
        "window": f"{hours:.1f} h under load",
        "run": run["id"],
        "key": "soak.rss_mb",
    }


def _grown(totals: Mapping[str, Any], window: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The same by the history of a server that has run for about a day."""
    slope, then_mb = totals.get("growth_mb_per_day"), totals.get("memory_then_mb")
    hours = totals.get("growth_hours") or 0.0
    if window is None or slope is None or not then_mb or hours < DAY_HOURS:
        return None
    found = of_window(100 * slope / then_mb, "%", window, "growth_mb_per_day")
    how = "slope of resident memory by least squares, of the first value; the first tenth left out"
    return found | {"how": how, "window": f"{hours:.1f} h of history"}


def counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many are met, missed, and without data."""
    found = dict.fromkeys((MET, MISSED, NO_DATA), 0)
    for row in rows:
        found[row["status"]] += 1
    return found
