"""What the engine's parts are worth, as plain data: for scrapers and for GET
/performance/effectiveness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audited import why_not_audited
from engine.effectiveness.hour import MINUTES
from engine.effectiveness.savings import SOURCES
from engine.models.loaded import LoadedModel
from engine.models.slots import Slot

if TYPE_CHECKING:
    from engine.engine import Engine

Values = list[tuple[tuple[str, ...], float]]


def worth_families(engine: Engine) -> dict[str, Values]:
    """What scrapers are told: labelled values by family."""
    worth = engine.worth
    rows: Values = []
    speeds: Values = []
    audits = {} if worth.auditor is None else worth.auditor.audits()
    for (name, version), found in audits.items():
        rows.append(((name, version, "agrees"), found.rows - found.differing))
        rows.append(((name, version, "differs"), found.differing))
        recent = found.figures(worth.monotonic())["recent"]
        for when in ("planned", "served"):
            speed = recent[f"{when}_speedup"]
            speeds += [] if speed is None else [((name, version, when), speed)]
    gzip = worth.gzip.gained.get("", np.zeros(2))
    return {
        "pyrometer_time_saved_seconds": _by_source(worth.saved.gained),
        "pyrometer_time_lost_seconds": _by_source(worth.saved.lost),
        "pyrometer_gzip_saved_bytes": [((), float(gzip[0]))],
        "pyrometer_gzip_seconds": [((), float(gzip[1]))],
        "pyrometer_audited_rows": rows,
        "pyrometer_plan_speedup_ratio": speeds,
    }


def worth_report(engine: Engine) -> dict[str, Any]:
    """Work saved, in all and by model, and what audits found.

    hour_s: how much of the last hour there was. unpriced_hits: see engine.worth.
    """
    worth = engine.worth
    now_s = worth.monotonic()
    hour, gzip_hour = worth.saved.last_hour(now_s), worth.gzip.last_hour(now_s)
    gzip = gzip_hour.get("", np.zeros(2)), worth.gzip.gained.get("", np.zeros(2))
    return {
        "hour_s": min(MINUTES * 60.0, now_s - worth.started_s),
        "saved": {
            "hour_s": _sum(hour),
            "total_s": _sum(worth.saved.gained),
            "lost_s": _sum(worth.saved.lost),
        },
        "unpriced_hits": worth.unpriced_hits,
        "gzip": {
            when: {"saved_bytes": float(of[0]), "spent_s": float(of[1])}
            for when, of in zip(("hour", "total"), gzip, strict=True)
        },
        "models": [_model(engine, slot, hour, now_s) for slot in engine.registry.slots()],
        "auditor": None if worth.auditor is None else worth.auditor.figures(),
    }


def _model(engine: Engine, slot: Slot, hour: dict[str, np.ndarray], now_s: float) -> dict[str, Any]:
    entry, loaded = slot.entry, slot.model
    audits = engine.worth.audits_of(entry.name, entry.version)
    hourly = hour.get(entry.name) if engine.registry.serves(slot) else None
    return {
        "model": entry.name,
        "version": entry.version,
        "saved_hour_s": None if hourly is None else _named(hourly),
        "audited": audits is not None,
        "why_not": _why_not(engine, loaded) if audits is None else None,
        "oracle": None if loaded is None else loaded.plan.oracle.form,
        "tolerance": None if loaded is None else loaded.plan.tolerance,
        "audit": None if audits is None else audits.figures(now_s),
    }


def _why_not(engine: Engine, model: LoadedModel | None) -> str:
    if engine.worth.auditor is None:
        return "audit_interval_s is 0" if engine.settings.optimise else "optimise is off"
    if model is None:
        return "it is not in memory"
    return why_not_audited(model) or "it was loaded a moment ago"


def _sum(by_model: dict[str, np.ndarray]) -> dict[str, float]:
    return _named(sum(by_model.values(), np.zeros(len(SOURCES))))


def _named(seconds: np.ndarray) -> dict[str, float]:
    return dict(zip(SOURCES, seconds.tolist(), strict=True))


def _by_source(by_model: dict[str, np.ndarray]) -> Values:
    return [
        ((model, source), seconds)
        for model, values in by_model.items()
        for source, seconds in _named(values).items()
    ]
