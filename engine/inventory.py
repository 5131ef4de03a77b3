"""The engine's holdings as plain data: models, caches, problems. Read once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.caching.memory import MemoryTier
from engine.models.plan import Plan
from engine.models.slots import Slot
from engine.sharing_report import shared_families
from engine.telemetry.histogram import percentile_ms
from engine.worth_report import worth_families

if TYPE_CHECKING:
    from engine.engine import Engine

HIT_TIERS = ("response", "result", "disk", "redis")


def inventory(engine: Engine) -> dict[str, Any]:
    """Models, caches and unusable folders, as the snapshot and the routes show them."""
    return {
        "models": [_model(engine, slot) for slot in engine.registry.slots()],
        "caches": caches(engine),
        "queues": queues(engine),
        "problems": dict(engine.problems),
    }


def _model(engine: Engine, slot: Slot) -> dict[str, Any]:
    sums, outcomes = engine.ticker.totals.of_model(slot.entry.name)
    requests, hits = sums["requests"], sum(sums[f"{tier}_hits"] for tier in HIT_TIERS)
    plan = slot.model.plan if slot.model else None
    queued, running = engine.runs.waiting(slot.entry.name)
    return {
        "name": slot.entry.name,
        "version": slot.entry.version,
        "state": slot.state,
        "preload": engine.registry.preloads(slot.entry),
        "description": slot.entry.declared.description,
        "format": slot.entry.format,
        "encoder": slot.entry.declared.encoder or None,
        "backend": slot.model.form if slot.model else None,
        "plan": _plan_words(plan),
        "speedup": plan.speedup if plan else None,
        "reason": plan.reason if plan else None,
        "load_ms": slot.load_ms,
        "requests": requests,
        "last_used": round(sums.newest_s, 1) or None,
        "queued": queued,
        "running": running,
        "outcomes": outcomes,
        "cold_starts": sums["cold_starts"],
        "p50_ms": percentile_ms(sums.durations, 0.5),
        "p99_ms": percentile_ms(sums.durations, 0.99),
        "hit_percent": 100 * hits / sums["lookups"] if sums["lookups"] else None,
        "quality": _quality(slot.entry.metadata),
        "memory_mb": slot.bytes / 1e6 if slot.model else None,
        "serving": engine.registry.serves(slot),
        "pinned": slot.pinned,
        "degraded": slot.model.degraded if slot.model else None,
        "error": slot.error or slot.problem,
    }


def _plan_words(plan: Plan | None) -> str | None:
    if plan is None:
        return None
    oracle = plan.oracle.form
    if plan.speedup is None or plan.chosen == oracle:
        return plan.chosen
    times = f"{plan.speedup:,.0f}" if plan.speedup >= 100 else f"{plan.speedup:.3g}"
    return f"{plan.chosen}, {times}x {oracle}'s speed"


def _quality(metadata: dict[str, Any]) -> str | None:
    measures = metadata.get("quality")
    if not isinstance(measures, list) or not measures:
        return None
    parts = [f"{m.get('name')} {m.get('value'):.3f}" for m in measures if isinstance(m, dict)]
    first = measures[0]
    return f"{', '.join(parts)} ({first.get('split')}, {first.get('rows')} rows)"


def caches(engine: Engine) -> list[dict[str, Any]]:
    """One row per tier with its bound."""
    data = (
        ("results", "Results", engine.results),
        ("embeddings", "Embeddings", engine.embeddings.tier if engine.embeddings else None),
        ("responses", "Responses", engine.responses),
    )
    kept = [_data_tier(name, label, tier) for name, label, tier in data if tier is not None]
    return [_model_tier(engine), *kept]


def _model_tier(engine: Engine) -> dict[str, Any]:
    registry = engine.registry
    slots = registry.slots()
    loads = sum(slot.loads for slot in slots)
    hits = max(0, registry.leased - loads)
    return {
        "tier": "models",
        "label": "Models",
        "items": sum(slot.model is not None for slot in slots),
        "bytes": registry.resident_bytes,
        "budget_bytes": registry.budget_bytes,
        "hits": hits,
        "misses": loads,
        "evictions": registry.evictions,
        "rejected": 0,
        "hit_percent": 100 * hits / (hits + loads) if hits + loads else None,
    }


def _data_tier(name: str, label: str, tier: MemoryTier) -> dict[str, Any]:
    counters = tier.counters
    lookups = counters.hits + counters.misses
    return {
        "tier": name,
        "label": label,
        "items": tier.items,
        "bytes": tier.bytes,
        "budget_bytes": tier.budget_bytes,
        "hits": counters.hits,
        "misses": counters.misses,
        "evictions": counters.evictions,
        "rejected": counters.rejected,
        "expired": counters.expired,
        "bypassed": counters.bypassed,
        "awake": tier.awake,
        "limit_bytes": tier.limit_bytes,
        "hit_percent": 100 * counters.hits / lookups if lookups else None,
    }


def queues(engine: Engine) -> list[dict[str, Any]]:
    """Everything that may fill up: how full it is, its bound, and what was turned away."""
    figures = {name: read() for name, read in engine.figures.items()}
    own = figures["engine"]
    scheduler, loads = own["scheduler"], own["loads"]
    rows = [
        _queue("slots", "CPU slots", scheduler["running"], scheduler["slots"], "busy")
        | {"text": f"{scheduler['jobs']} runs, at most {scheduler['largest_batch']} in a batch"},
        _queue(
            "models",
            "Waiting for a slot",
            scheduler["queued"],
            scheduler["limit_per_model"],
            "waiting",
        )
        | {"refused": scheduler["refused"], "text": "the limit is for each model"},
        _queue("loads", "Loads", loads["queued"], loads["limit"], "waiting")
        | {"text": f"{loads['workers']} at once", "failed": loads["failures"]},
    ]
    for name, disk in own["disk"].items():
        rows.append(
            _queue(f"disk-{name}", f"Disk, {name}", disk["bytes"], disk["budget_bytes"], "bytes")
            | {
                "refused": disk["dropped"],
                "text": f"{disk['written']} written, {disk['hits']} read",
            }
        )
    if engine.shared is not None:
        rows += _shared_queues(engine.shared.figures())
    if "ray" in figures:
        rows += _ray_queues(figures["ray"])
    http = figures.get("http")
    return [*_http_queues(http), *rows] if http else rows


def _ray_queues(ray: dict[str, Any]) -> list[dict[str, Any]]:
    text = f"{ray['sent']} answered there, {ray['retries']} tried again"
    return [
        _queue("ray", "Batches on Ray", ray["in_flight"], ray["in_flight_limit"], "busy")
        | {"failed": ray["fallbacks"], "text": text},
        _queue("ray-waiting", "Waiting for Ray", ray["queued"], ray["queue_limit"], "waiting")
        | {"refused": ray["refused"], "text": "the limit is for each model"},
    ]


def _shared_queues(shared: dict[str, Any]) -> list[dict[str, Any]]:
    used, limit = shared["connections_used"], shared["connections_limit"]
    return [
        _queue("shared", "Redis, writes", shared["queued"], shared["queue_limit"], "values")
        | {"refused": shared["dropped"], "text": f"{shared['written']} written"},
        _queue("shared-connections", "Redis, connections", used, limit, "in use")
        | {
            "failed": shared["timeouts"] + shared["errors"],
            "text": f"{shared['connections']} open; {shared['busy']} look-ups found none free",
        },
    ]


def _queue(name: str, label: str, used: int, limit: int, unit: str) -> dict[str, Any]:
    return {
        "queue": name,
        "label": label,
        "used": used,
        "limit": limit,
        "unit": unit,
        "refused": 0,
        "failed": 0,
        "text": "",
    }


def _http_queues(http: dict[str, Any]) -> list[dict[str, Any]]:
    connections, threads, lane = http["connections"], http["threads"], http["fast_lane"]
    together = lane["answered_together"] / lane["runs_together"] if lane["runs_together"] else 0
    accepted = f"{connections['accepted']} accepted; {together:.3g} requests a run on the loop"
    return [
        _queue("connections", "Connections", connections["open"], connections["limit"], "open")
        | {
            "refused": connections["refused"],
            "failed": connections["timed_out"] + connections["malformed"],
            "text": accepted,
        },
        _queue("threads", "Waiting for a thread", threads["queued"], threads["limit"], "waiting")
        | {"failed": threads["failures"], "text": f"{threads['workers']} threads"},
    ]


def state_families(engine: Engine) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """What scrapers are told of caches and models: labelled values by family."""
    tiers = caches(engine)
    states = [slot.state for slot in engine.registry.slots()]
    families: dict[str, list[tuple[tuple[str, ...], float]]] = {
        "pyrometer_cache_used_bytes": [((tier["tier"],), tier["bytes"]) for tier in tiers],
        "pyrometer_cache_budget_bytes": [((tier["tier"],), tier["budget_bytes"]) for tier in tiers],
        "pyrometer_cache_items": [((tier["tier"],), tier["items"]) for tier in tiers],
        "pyrometer_cache_evictions": [((tier["tier"],), tier["evictions"]) for tier in tiers],
        "pyrometer_models": [((state,), states.count(state)) for state in sorted(set(states))],
    }
    if engine.fleet is not None:
        from engine.fleet.report import fleet_families  # not where nobody is asked

        families |= fleet_families(engine.fleet.view())
    if engine.shared is not None:
        families |= shared_families(engine.shared.figures())
    return families | worth_families(engine)
