"""A report as data: what was measured, judged and recommended. Pure.

    id, made, by, version, title
    window        from, to, live, covered_s, words
    summary       text, and how many targets are met, missed, without data
    targets       see app.reports.targets
    before_after  a row for each model and figure: before, warm, plan
    server        figures of the server as a whole, label and figure
    phases        [{model, phase, ms, percent, requests}], the longest first
    top           functions by their own processor time, and flame, a flame graph's lists
    recommendations, not_measured, experiments, gates, soaks, loads, effectiveness
    models, caches, last_minute    as GET /performance/reports/optimization always told
    sources       every run, plan and record of history that a figure is from

Every figure has `run`, the id of one of `sources`, and `key`, its place in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.reports import rules, targets
from app.reports.advice import LEFT_OUT
from app.reports.lines import (
    experiment_of,
    gate_of,
    load_of,
    now_of,
    phases_of,
    pruned,
    top_of,
)
from app.reports.sources import sources
from app.reports.targets import MET, MISSED, NO_DATA, PLAN, SERVER, figure

FORMAT = 1
FORMS = ("before", "warm", "plan")
BEFORE_AFTER = (
    ("cold_start_ms", "Cold start", "ms", "low"),
    ("cold_model_ms", "First answer of a cold model", "ms", "low"),
    ("warm_p50_ms", "Warm, p50", "ms", "low"),
    ("warm_p95_ms", "Warm, p95", "ms", "low"),
    ("warm_p99_ms", "Warm, p99", "ms", "low"),
    ("throughput_per_s", "At 50 connections", "req/s", "high"),
    ("p99_at_50_ms", "p99 at 50 connections", "ms", "low"),
)
OF_SERVER = (
    ("hit_percent", "Cache hits under the mix"),
    ("reduction_from_before_percent", "Time saved against a load at each request"),
    ("reduction_from_warm_percent", "Time saved against warm scikit-learn"),
    ("reduction_by_caches_percent", "Time saved by caches alone, under the mix"),
    ("other_cpu_percent", "CPU of other processes meanwhile"),
    ("memory_base_mb", "Memory, no model loaded"),
    ("memory_loaded_mb", "Memory, all models loaded"),
    ("memory_peak_mb", "Memory, peak"),
    ("cache_overhead_mb", "Memory of filled caches"),
    ("cpu_idle_percent", "CPU, idle"),
    ("cpu_at_20_percent", "CPU at 20 requests/s"),
    ("cpu_peak_percent", "CPU, peak, of all cores"),
    ("errors_at_50_percent", "Errors at 50 connections"),
    ("gzip_ratio", "gzip, ratio"),
    ("gzip_ms", "gzip, time of the answer"),
)
LABELS = {name: label for name, label, *_ in (*BEFORE_AFTER, *OF_SERVER)}


def document(
    facts: Mapping[str, Any],
    run: Mapping[str, Any] | None,
    beside: Mapping[str, Sequence[Mapping[str, Any]]],
    effectiveness: Mapping[str, Any] | None,
    by: str,
) -> dict[str, Any]:
    """The whole report. beside: further stored runs by kind. by: demand, schedule or cli."""
    window = facts["window"]
    rows = targets.judged(run, facts["totals"], window, beside.get("soak", ()))
    report: dict[str, Any] = {
        "format": FORMAT,
        "id": None,
        "made": facts["time"],
        "by": by,
        "title": "Optimisation report",
        "version": facts["version"] or (run or {}).get("versions", {}).get("pyrometer"),
        "window": None if window is None else {**window, "words": words_of(window)},
        "summary": summary(run, rows),
        "targets": rows,
        "before_after": before_after(run),
        "mix": (run or {}).get("optimization", {}).get("mix"),
        "forms": (run or {}).get("optimization", {}).get("forms"),
        "server": [
            {"label": label, "figure": figure(run, f"{PLAN}/{SERVER}/{name}")}
            for name, label in OF_SERVER
            if run is not None
        ],
        "now": now_of(facts),
        "phases": phases_of(facts),
        "top": top_of(facts),
        "flame": pruned(facts["flame"]),
        "recommendations": rules.advice(facts, run),
        "left_out": LEFT_OUT,
        "effectiveness": effectiveness,
        "gates": [gate_of(one) for one in beside.get("gate", ())],
        "soaks": [load_of(one) for one in beside.get("soak", ())],
        "loads": [load_of(one) for one in (*beside.get("load", ()), *beside.get("ramp", ()))],
        "experiments": [experiment_of(one) for one in beside.get("experiment", ())],
    }
    report["not_measured"] = not_measured(report, run, bool(facts.get("flame_asked", True)))
    report["sources"] = sources(report, facts, run, beside)
    return report


def words_of(window: Mapping[str, Any]) -> str:
    """A window in words, UTC."""
    begins, ends = (datetime.fromtimestamp(window[name], UTC) for name in ("from", "to"))
    last = f"{ends:%H:%M}" if begins.date() == ends.date() else f"{ends:%Y-%m-%d %H:%M}"
    return f"{begins:%Y-%m-%d %H:%M} to {last} UTC"


def number(value: float | None) -> str:
    """Three figures, or all before the point with thousands apart."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def summary(run: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first line: what it was, what it is, and how many targets are met."""
    found = targets.counts(rows)
    judged = found[MET] + found[MISSED]
    missed = [row["label"] for row in rows if row["status"] == MISSED]
    by_id = {row["id"]: row for row in rows}
    parts = []
    cold, warm = by_id["cold_start"], by_id["warm"]
    if cold["figure"]["value"] is not None:
        was = figure(run, f"before/{cold['subject']}/cold_start_ms")["value"]
        before = f" (was {number(was)})" if was else ""
        parts.append(f"Cold {number(cold['figure']['value'])} ms{before}")
    if warm["figure"]["value"] is not None:
        was = figure(run, f"before/{warm['subject']}/warm_p99_ms")["value"]
        before = f" (was {number(was)})" if was else ""
        parts.append(f"warm p99 {number(warm['figure']['value'])} ms{before}")
    count = f"{found[MET]} of {len(rows)} targets met"
    count += f", {found[MISSED]} missed" if found[MISSED] else ""
    count += f", {found[NO_DATA]} without data" if found[NO_DATA] else ""
    if not judged:
        text = f"Nothing was measured on this machine yet: {len(rows)} targets without data"
    else:
        text = f"{', '.join(parts)}; {count}" if parts else count
    return {
        "text": text,
        "met": found[MET],
        "missed": found[MISSED],
        "no_data": found[NO_DATA],
        "missed_labels": missed,
    }


def before_after(run: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A row for each model and figure, with the gain of the plan over what came before."""
    rows = []
    for model in (run or {}).get("optimization", {}).get("models", ()):
        for name, label, unit, best in BEFORE_AFTER:
            found = {form: figure(run, f"{form}/{model}/{name}") for form in FORMS}
            rows.append(
                {
                    "model": model,
                    "name": name,
                    "label": label,
                    "unit": unit,
                    "best": best,
                    **found,
                    "gain": _gain(found["before"], found["plan"], best),
                    "gain_warm": _gain(found["warm"], found["plan"], best),
                }
            )
    return rows


def _gain(was: Mapping[str, Any], now: Mapping[str, Any], best: str) -> float | None:
    """How many times better, 1 is as good."""
    one, other = was["value"], now["value"]
    if not one or not other:
        return None
    return float(one / other if best == "low" else other / one)


def not_measured(
    report: Mapping[str, Any], run: Mapping[str, Any] | None, flame: bool
) -> list[dict[str, str]]:
    """What has no figure, and why. flame: whether the code that ran was asked for."""
    found = _without_value(run)
    lacking = sum(row["status"] == NO_DATA for row in report["targets"])
    if lacking:
        what = f"{lacking} of {len(report['targets'])} targets"
        found.insert(0, {"what": what, "why": "the table of targets says why of each"})
    if report["window"] is not None and not report["phases"]:
        found.append({"what": "where the time goes", "why": "no request in this window"})
    if flame and report["window"] is not None and report["flame"] is None:
        found.append({"what": "the flame graph", "why": "no sample of the profiler in this window"})
    if report["window"] is None:
        found.append({"what": "live figures", "why": "made from stored runs, without a server"})
    return found


def _without_value(run: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """A run's figures without a value, those of one form and reason together."""
    groups: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for key, one in targets.figures_of(run).items():
        if one["value"] is None:
            form, subject, name = key.split("/")
            labels, subjects = groups.setdefault((form, one["why"] or ""), ({}, {}))
            labels[LABELS.get(name, name)] = None
            if subject != SERVER:
                subjects[subject] = None
    return [
        {"what": f"{form}: {', '.join(labels)}" + _of(subjects), "why": why}
        for (form, why), (labels, subjects) in groups.items()
    ]


def _of(subjects: Mapping[str, None]) -> str:
    return f", of {', '.join(subjects)}" if subjects else ""
