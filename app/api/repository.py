"""V2's model repository extension: what is there, load, unload."""

from __future__ import annotations

from app.exchange import Exchange, Response, error_response, json_response
from engine.errors import InvalidInput, ModelFailed, PyrometerError
from engine.models.slots import Slot

V2_STATES = {"warm": "READY", "loading": "LOADING", "cold": "UNAVAILABLE", "failed": "UNAVAILABLE"}


def index(exchange: Exchange) -> Response:
    """POST {"ready": bool?}: every model version, or those that are ready.

    A folder that cannot be used is named too, with its reason.
    """
    body = exchange.json_object()
    if not isinstance(body.get("ready", False), bool):
        raise InvalidInput("ready must be true or false")
    engine = exchange.engine
    slots = engine.registry.slots()
    if body.get("ready"):
        return json_response([_item(slot) for slot in slots if slot.state == "warm"])
    problems = [_problem(place, why) for place, why in engine.problems.items()]
    return json_response([_item(slot) for slot in slots] + problems)


def _item(slot: Slot) -> dict[str, str]:
    return {
        "name": slot.entry.name,
        "version": slot.entry.version,
        "state": V2_STATES[slot.state],
        "reason": slot.error or slot.problem or ("unloaded" if slot.unloaded else ""),
    }


def _problem(place: str, why: str) -> dict[str, str]:
    name, _, version = place.partition("/")
    return {"name": name, "version": version, "state": V2_STATES["failed"], "reason": why}


def load(exchange: Exchange) -> Response:
    """POST: look at the repository again, then load the model and wait until it is warm.

    A model that is warm already is left as it is, unless its content changed.
    """
    engine = exchange.engine
    changes = engine.reload()
    slot = engine.registry.slot(exchange.path_args["model"])
    if slot.model is not None and slot.model.degraded:
        changes.append(engine.registry.replace(slot, slot.entry))
    for loading in [*changes, engine.registry.load(slot)]:
        try:
            loading.result(engine.settings.compile_timeout_s)
        except TimeoutError:
            raise ModelFailed(f"model {slot.entry.name!r} is still loading") from None
        except PyrometerError:
            # Another model's failure is its own; this one's shows below.
            continue
    slot = engine.registry.slot(exchange.path_args["model"])
    if slot.state != "warm" or slot.problem:
        raise ModelFailed(slot.problem or slot.error or f"{slot.entry.name} is {slot.state}")
    return json_response({"name": slot.entry.name, "version": slot.entry.version})


def unload(exchange: Exchange) -> Response:
    """POST: drop the model's versions from memory until it is loaded again; 409 while in use."""
    registry = exchange.engine.registry
    name = registry.slot(exchange.path_args["model"]).entry.name
    for version in registry.versions(name):
        if not registry.unload(registry.slot(name, version)):
            return error_response(409, f"model {name!r} is answering requests; try again")
    return json_response({"name": name})
