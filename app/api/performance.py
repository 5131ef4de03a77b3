"""What the engine measured, as JSON, and the two actions. Never counted as service traffic."""

from __future__ import annotations

from typing import Any

from app.encoding import GZIP, VARY, accepts_gzip
from app.exchange import Exchange, Response, json_response
from engine.cache_report import cache_report
from engine.engine import Engine
from engine.errors import InvalidInput
from engine.inventory import inventory
from engine.models.slots import Slot
from engine.worth_report import worth_report

LIVE_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))
PACKED = (GZIP, VARY)


def live(exchange: Exchange) -> Response:
    """GET /performance/live?since=SEQ: the parts that changed since, and the points after it."""
    text = exchange.query("since") or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise InvalidInput(f"since is {text[:40]!r}; it must be a sequence number")
    packs = exchange.engine.settings.gzip and accepts_gzip(exchange.request.headers)
    body = exchange.engine.ticker.feed.answer(int(text), packs)
    return Response(200, body, [*(PACKED if packs else ()), *LIVE_HEADERS])


def metrics(exchange: Exchange) -> Response:
    """Figures of the last minute, per model and in all, and the newest request records."""
    latest = exchange.engine.ticker.latest
    return json_response(
        {
            "window_s": 60,
            "figures": {tile["id"]: tile["value"] for tile in latest["tiles"]},
            "health": latest["health"],
            "requests_total": exchange.engine.ticker.totals.requests,
            "models": inventory(exchange.engine)["models"],
            "recent": [record.as_dict() for record in exchange.engine.recorder.recent()[-50:]],
        }
    )


def real_time(exchange: Exchange) -> Response:
    """The newest snapshot without its points."""
    return json_response(exchange.engine.ticker.latest)


def system(exchange: Exchange) -> Response:
    """Process and machine; connections, threads, slots and queues with their bounds."""
    engine = exchange.engine
    queues = {name: figures() for name, figures in engine.figures.items()}
    return json_response(engine.ticker.system.details() | queues)


def cache(exchange: Exchange) -> Response:
    """GET ?ages=: cache tiers with bounds, counters, time saved, and what models have in them."""
    return json_response(cache_report(exchange.engine, exchange.query("ages") == "1"))


def effectiveness(exchange: Exchange) -> Response:
    """Work saved in the last hour by each part, and what audits of served rows found."""
    return json_response(worth_report(exchange.engine))


def models(exchange: Exchange) -> Response:
    """Every model with its state and, where it has one, its whole plan."""
    engine = exchange.engine
    held = inventory(engine)
    plans = {
        slot.entry.key: slot.model.plan.as_dict()
        for slot in engine.registry.slots()
        if slot.model is not None and slot.model.plan is not None
    }
    for model in held["models"]:
        model["tournament"] = plans.get((model["name"], model["version"]))
    return json_response({"models": held["models"], "problems": held["problems"]})


def plan(exchange: Exchange) -> Response:
    """GET ?version=: one model's tournament; plan is null until it has been loaded."""
    slot = exchange.engine.registry.slot(exchange.path_args["model"], exchange.query("version"))
    return json_response(
        {
            "model": slot.entry.name,
            "version": slot.entry.version,
            "state": slot.state,
            "pinned": slot.pinned,
            "backend": slot.model.form if slot.model else None,
            "degraded": slot.model.degraded if slot.model else None,
            "error": slot.error or slot.problem,
            "plan": slot.model.plan.as_dict() if slot.model else None,
            "placement": placement_of(exchange.engine, slot),
        }
    )


def placement_of(engine: Engine, slot: Slot) -> dict[str, Any] | None:
    """Where a version runs and why, with the figures that decided; None without an executor."""
    remote = engine.remote
    return None if remote is None else remote.placement(slot.entry.name, slot.entry.version)


def pin(exchange: Exchange) -> Response:
    """POST {"pinned": bool, "version"?}: keep a version in memory whatever the budget wants."""
    body = object_of(exchange, {"pinned", "version"})
    pinned, version = body.get("pinned"), body.get("version")
    if not isinstance(pinned, bool):
        raise InvalidInput(f"pinned is {pinned!r}; it must be true or false")
    if version is not None and not isinstance(version, str):
        raise InvalidInput("version must be a string")
    engine = exchange.engine
    slot = engine.registry.slot(exchange.path_args["model"], version)
    engine.registry.pin(slot, pinned)
    name = f"{slot.entry.name} {slot.entry.version}"
    text = f"{name} {'stays in memory' if pinned else 'may be evicted again'}"
    engine.ticker.event("pin", text)
    return json_response({"pinned": pinned, "text": text})


def warm_up(exchange: Exchange) -> Response:
    """POST {"models": [...]} or {}: load what is absent and run real rows."""
    body = object_of(exchange, {"models"})
    names = body.get("models")
    if names is not None and (
        not isinstance(names, list) or not all(isinstance(name, str) for name in names)
    ):
        raise InvalidInput("models must be a list of names")
    results = exchange.engine.warm_up(names)
    text = results[0]["text"] if len(results) == 1 else _summary(results)
    return json_response({"results": results, "text": text})


def _summary(results: list[dict[str, Any]]) -> str:
    failed = [result["model"] for result in results if "error" in result]
    warm = sum(result["already_warm"] for result in results)
    newly = len(results) - len(failed) - warm
    parts = [f"{newly} models newly warm"] if newly else []
    if warm:
        parts.append(f"{warm} were already warm")
    if failed:
        parts.append(f"failed: {', '.join(failed[:5])}")
    return "; ".join(parts) or "no models to warm"


def clear_cache(exchange: Exchange) -> Response:
    """POST {"tier": ..., "model": ...}, both optional: flush a tier or all."""
    body = object_of(exchange, {"tier", "model"})
    for key in ("tier", "model"):
        if body.get(key) is not None and not isinstance(body[key], str):
            raise InvalidInput(f"{key} must be a string")
    return json_response(exchange.engine.clear_cache(body.get("tier"), body.get("model")))


def object_of(exchange: Exchange, known: set[str]) -> dict[str, Any]:
    """The body, an object of these fields alone. Raises InvalidInput."""
    body = exchange.json_object()
    if unknown := sorted(body.keys() - known):
        raise InvalidInput(f"unknown field {unknown[0][:80]!r}; known: {', '.join(sorted(known))}")
    return body


def noop(exchange: Exchange) -> Response:
    """GET /performance/noop does nothing: what the server itself costs a caller."""
    return json_response({})


def dashboard(exchange: Exchange) -> Response:
    """GET /performance/dashboard leads to the console's first page."""
    return Response(302, b"", [("location", f"{exchange.gate.base}/")])
