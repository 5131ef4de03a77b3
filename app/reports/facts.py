"""What the engine tells of a stretch of time, as plain data for a report.

facts
  version, started, settings     the server
  window    id, from, to, live, covered_s, problem
  totals    figures of all service traffic in the window (engine.telemetry.figures), and
            memory_mb, memory_peak_mb, cpu_percent, growth_mb_per_day with growth_hours
  models    a row each: its slot, its plan, and its sums in the window
  callers   models, phases and judged_s (the time that these are of) again, without what was
            answered while benchmarks ran; {} where none did
  tiers, off, gzip, phases, flame
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import orjson

from app.reports.callers import LOOK_BACK_S, benchmark_spans, callers_of, step_of
from engine.cache_report import cache_report
from engine.engine import Engine
from engine.errors import PyrometerError
from engine.models.slots import Slot
from engine.profiling.answer import flame_answer
from engine.profiling.profiler import Question
from engine.telemetry.figures import figures_of
from engine.telemetry.phases import Spent, icicle, spent_of
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import TOTAL_AT
from engine.telemetry.timeline import Stretched

SUMS = (
    *("requests", "lookups", "response_hits", "result_hits", "disk_hits", "redis_hits"),
    "cold_starts",
    *("rows", "bytes_out", "duration_ns", "load_ns", "inference_ns", "compress_ns"),
)
KNOWN_SETTINGS = (
    *("optimise", "batching", "gzip", "result_cache", "response_cache", "embedding_cache"),
    *("result_cache_bytes", "response_cache_bytes", "embedding_cache_bytes"),
    *("model_cache_bytes", "memory_budget_bytes", "batch_max_rows", "report_at", "preload"),
)
MOST_MODELS = 200
LIVE_S = 120.0
"""A window that ended this recently is told of as live."""
GROWTH_S, GROWTH_STEPS = 86_400.0, 96


def facts_of(engine: Engine, from_s: float, to_s: float, flame: bool = True) -> dict[str, Any]:
    """All of it. Raises InvalidInput for a window that cannot be read."""
    now = time.time()
    to_s = min(to_s, now)
    latest, monitoring = engine.ticker.latest, engine.monitoring
    whole = monitoring.look_at(from_s, to_s, to_s - from_s)
    slots = engine.registry.slots()[:MOST_MODELS]
    models = [_model(engine, slot, from_s, to_s) for slot in slots]
    caches = cache_report(engine, False)
    settings = engine.settings
    http = engine.figures.get("http")
    phases, told = _phases_of(models), [_told(model) for model in models]
    return {
        "time": now,
        "version": latest["version"],
        "started": latest["started"],
        "settings": {name: getattr(settings, name) for name in KNOWN_SETTINGS},
        "window": {
            "id": window_id(from_s, to_s),
            "from": from_s,
            "to": to_s,
            "live": to_s > now - LIVE_S,
            "covered_s": float(np.minimum(whole.frames.seconds, whole.step_s).sum()),
            "problem": whole.problem,
        },
        "totals": _totals(whole) | _memory(engine, from_s, to_s, now),
        "models": told,
        "callers": _callers(engine, models, from_s, to_s),
        "tiers": caches["tiers"],
        "off": caches["off"],
        "gzip": http()["gzip"] if http else None,
        "phases": phases,
        "flame": _flame(engine, from_s, to_s) if flame else None,
        "flame_asked": flame,
    }


def _callers(
    engine: Engine, models: list[dict[str, Any]], from_s: float, to_s: float
) -> dict[str, Any]:
    monitoring, step_s = engine.monitoring, step_of(from_s, to_s)
    found = callers_of(
        models,
        benchmark_spans(monitoring.events_between(from_s - LOOK_BACK_S, to_s), from_s, to_s),
        lambda name: monitoring.look_at(from_s, to_s, step_s, name).frames,
        lambda model, totals: {**model, **_sums(totals)},
    )
    if not found:
        return {}
    phases = _phases_of(found["models"])
    return found | {"models": [_told(model) for model in found["models"]], "phases": phases}


def _phases_of(models: list[dict[str, Any]]) -> dict[str, Any]:
    spent: dict[tuple[str, ...], Spent] = {
        (model["name"],): model["spent"]
        for model in models
        if model["serving"] and model["requests"]
    }
    return icicle(spent)


def _told(model: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in model.items() if name != "spent"}


def _sums(totals: np.ndarray) -> dict[str, Any]:
    """Of a model's totals."""
    return {
        "degraded_requests": int(totals[TOTAL_AT["degraded"]]),
        "spent": spent_of(totals),
        **{name: int(totals[TOTAL_AT[name]]) for name in SUMS},
    }


def window_id(from_s: float, to_s: float) -> str:
    """Names the record of a stretch of time among a report's sources."""
    return f"history-{from_s:.0f}-{to_s:.0f}"


def _totals(whole: Stretched) -> dict[str, Any]:
    frames = whole.frames
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = np.where(frames.seconds > 0, frames.seconds, np.nan)
        known = figures_of(seconds, frames.totals, frames.histograms)
    figures = {name: _known(value[0]) for name, value in known.items()}
    figures["requests"] = int(frames.totals[:, TOTAL_AT["requests"]].sum())
    figures["compress_ns"] = int(frames.totals[:, TOTAL_AT["compress_ns"]].sum())
    figures["duration_ns"] = int(frames.totals[:, TOTAL_AT["duration_ns"]].sum())
    for name in ("memory_mb", "cpu_percent"):
        figures[name] = _known(frames.means[0, GAUGES.index(name)])
    figures["memory_peak_mb"] = _known(frames.maxima[0, GAUGES.index("memory_mb")])
    return figures


def _memory(engine: Engine, from_s: float, to_s: float, now: float) -> dict[str, Any]:
    """How memory went over the day up to the window's end, by a straight line, MB a day."""
    begins_s = max(to_s - GROWTH_S, min(from_s, engine.ticker.latest["started"]))
    if to_s - begins_s < 600:
        return {"growth_mb_per_day": None, "growth_hours": 0.0, "memory_then_mb": None}
    step_s = (to_s - begins_s) / GROWTH_STEPS
    frames = engine.monitoring.look_at(begins_s, min(to_s, now), step_s).frames
    # The first tenth warms up.
    values = frames.means[GROWTH_STEPS // 10 :, GAUGES.index("memory_mb")]
    there = np.isfinite(values)
    hours = float(there.sum() * step_s / 3600)
    if there.sum() < GROWTH_STEPS // 2:
        return {"growth_mb_per_day": None, "growth_hours": hours, "memory_then_mb": None}
    days = np.arange(len(values))[there] * step_s / 86_400
    slope, start = np.polyfit(days, values[there], 1)
    return {
        "growth_mb_per_day": float(slope),
        "growth_hours": hours,
        "memory_then_mb": float(start),
    }


def _model(engine: Engine, slot: Slot, from_s: float, to_s: float) -> dict[str, Any]:
    registry, entry, model = engine.registry, slot.entry, slot.model
    found = engine.monitoring.look_at(from_s, to_s, to_s - from_s, entry.name).frames
    totals = found.totals.sum(axis=0)
    plan = model.plan if model is not None else None
    return {
        "name": entry.name,
        "version": entry.version,
        "state": slot.state,
        "backend": model.form if model is not None else None,
        "plan": plan.as_dict() if plan is not None else None,
        "served_us": {str(k): v for k, v in plan.served_us.items()} if plan is not None else {},
        "speedup": plan.speedup if plan is not None else None,
        "load_ms": slot.load_ms,
        "loads": slot.loads,
        "pinned": slot.pinned,
        "preload": registry.preloads(entry),
        "serving": registry.serves(slot),
        "degraded": model.degraded if model is not None else None,
        "cache_results": entry.declared.cache_results,
        **_sums(totals),
    }


def _flame(engine: Engine, from_s: float, to_s: float) -> dict[str, Any] | None:
    """The code that ran for requests, else all of it; None where nothing was sampled."""
    for kind in ("request", ""):
        try:
            profile = engine.profiler.ask(Question(from_s, to_s, kind=kind))
        except PyrometerError:
            return None
        answer = flame_answer(profile, "cpu")
        if answer["sampled"]["samples"]:
            break
    else:
        return None
    answer["kind"] = kind
    plain: dict[str, Any] = orjson.loads(
        orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    )
    return plain


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def no_facts() -> dict[str, Any]:
    """For a report of stored runs alone, without a server."""
    empty: dict[tuple[str, ...], Spent] = {}
    return {
        "time": time.time(),
        "version": None,
        "started": None,
        "settings": {},
        "window": None,
        "totals": {},
        "models": [],
        "callers": {},
        "tiers": [],
        "off": [],
        "gzip": None,
        "phases": icicle(empty),
        "flame": None,
    }
