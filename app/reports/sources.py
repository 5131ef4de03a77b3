"""Where a report's figures are from: runs, plans, the server's own record. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.reports import advice

EFFECTIVENESS = "effectiveness"


def figures_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every figure of a report: whatever has a value and the run it is from."""
    if isinstance(value, Mapping):
        if "run" in value and "key" in value:
            yield value
        for name, one in value.items():
            if name != "flame":
                yield from figures_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from figures_in(one)


def sources(
    report: Mapping[str, Any],
    facts: Mapping[str, Any],
    run: Mapping[str, Any] | None,
    beside: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """What the report's figures are from, in the order in which they come."""
    used = dict.fromkeys(one["run"] for one in figures_in(report) if one["run"])
    runs = {one["id"]: one for kind in beside.values() for one in kind if "id" in one}
    if run is not None:
        runs[run["id"]] = run
        used.setdefault(run["id"])
    for kind in ("gates", "soaks", "loads", "experiments"):
        used |= dict.fromkeys(one["id"] for one in report[kind])
    window = facts["window"]
    plans = {advice.plan_id(model): model for model in facts["models"]}
    found = []
    for place, name in enumerate(used, 1):
        if name in runs:
            told = _of_run(runs[name])
        elif name in plans:
            told = _of_plan(name, plans[name])
        elif name == EFFECTIVENESS:
            told = _of_watch(name, facts)
        else:
            told = _of_window(name, window or {}, facts)
        found.append({"number": place, **told})
    return found


def _of_run(run: Mapping[str, Any]) -> dict[str, Any]:
    spec = run.get("spec") or {}
    return {
        "id": run["id"],
        "kind": run["kind"],
        "name": run.get("name"),
        "started": run.get("started"),
        "ended": run.get("ended"),
        "command": spec.get("command") or "python -m bench.lab",
        "machine": run.get("machine"),
        "versions": run.get("versions"),
        "commit": run.get("commit"),
        "valid": run.get("valid"),
        "where": run.get("where") or f"runs/{run['id']}.json",
    }


def _of_plan(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "plan",
        "name": f"tournament of {model['name']} {model['version']}",
        "started": None,
        "ended": None,
        "command": f"pyrometer models plan {model['name']}",
        "machine": None,
        "versions": None,
        "commit": None,
        "valid": True,
        "where": "plans/",
    }


def _of_window(name: str, window: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    begins, ends = window.get("from"), window.get("to")
    query = f"?from={begins:.3f}&to={ends:.3f}" if begins and ends else ""
    return {
        "id": name,
        "kind": "history",
        "name": "the server's own record",
        "started": begins,
        "ended": ends,
        "command": f"GET /performance/metrics/history{query}",
        "machine": None,
        "versions": {"pyrometer": facts["version"]},
        "commit": None,
        "valid": True,
        "where": "history",
    }


def _of_watch(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    told = _of_window(name, {"from": facts["time"] - 3600, "to": facts["time"]}, facts)
    about = {"kind": "effectiveness", "name": "the server's watch of what its parts are worth"}
    return told | about | {"command": "GET /performance/effectiveness", "where": "memory"}
