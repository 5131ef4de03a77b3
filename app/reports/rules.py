"""The rules that recommend: each looks for one case and keeps quiet otherwise. Pure.

RULES is the table. Nothing is recommended without evidence, and what cannot be predicted says so.
They are ranked by the time that they would save in an hour of the window's traffic. Left out are
loads at start, what was answered while a benchmark ran, and savings under LEAST_MS_PER_HOUR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.reports import cache_rules
from app.reports.advice import Found, Look, made, models_of, per_hour, post, setting, worthwhile
from app.reports.cache_rules import LEAST_REQUESTS
from app.reports.targets import PLAN, SERVER

MOST = 20
HEAVY_PERCENT, HEAVY_LEAST_MS = 40.0, 0.5
"""A phase shorter than that, mean, is not worth anybody's time."""
BUSY_KEY, BUSY_PERCENT = f"{PLAN}/{SERVER}/other_cpu_percent", 25.0
OLD_RUN_S = 14 * 86_400.0
PHASE_ADVICE = {
    "queue": "requests wait for their turn: more cpu_slots where cores are free, or rows together",
    "decode": "JSON is read: binary tensors (Inference-Header-Content-Length) take microseconds",
    "encode": "JSON is written: ask for binary outputs, or fewer decimals",
    "cache": "looking up costs more than it brings: cache.results = false in its model.toml",
    "front": "small requests: send several rows in one",
    "postprocess": "computing the answer from the outputs",
    "write": "handing answers over: ask for fewer outputs, or binary ones",
    "compress": "gzip: callers on a fast network need not ask for it",
}


def advice(facts: Mapping[str, Any], run: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Every rule's recommendations, the largest saving first, at most MOST."""
    look = Look({**facts, **facts.get("callers", {})}, run)
    told = (worthwhile(look, one) for rule in RULES for one in rule(look))
    found = [one for one in told if one is not None]
    found.sort(key=_rank)
    return [{"rank": place, **one} for place, one in enumerate(found[:MOST], 1)]


def _rank(one: Mapping[str, Any]) -> tuple[bool, float, int]:
    """What makes every other figure doubtful first, then by what it saves."""
    return one["order"] > 0, -(one["saving"]["ms_per_hour"] or 0.0), one["order"]


def _serving_forms(look: Look) -> Found:
    """A model that still runs on scikit-learn, and why."""
    if look.facts["settings"].get("optimise") is False:
        key = f"{PLAN}/{SERVER}/reduction_from_warm_percent"
        evidence = [look.measured("less time a request with plans, models' mean", key)]
        text = "as much as the run measured" if evidence[0]["value"] else "not measured here"
        yield made(
            1,
            "optimise",
            "Turn plans on",
            "optimise is off: every model runs as it is.",
            evidence,
            (None, "estimate", text),
            setting("optimise", "on"),
        )
        return
    for model in models_of(look):
        plan = model["plan"]
        if plan is None or plan["chosen"] != plan["candidates"][0]["form"]:
            continue
        oracle = plan["candidates"][0]
        run_us = oracle["run_us"].get("1")
        evidence = []
        if run_us is not None:
            evidence.append(look.planned(model, f"{oracle['form']}, 1 row", run_us, "µs"))
        runs = model["inference_ns"] / 1e6
        if model["requests"] and look.facts["window"]:
            evidence.append(look.live("time in its runs", runs, "ms", f"{model['name']}.inference"))
        yield made(
            5,
            f"form-{model['name']}",
            f"{model['name']} still runs on {oracle['form']}",
            f"{plan['reason']}. A smaller form may serve it under an accuracy budget in its "
            "model.toml (docs/smaller_forms.md).",
            evidence,
            (per_hour(look, runs) if runs else None, "at most", "at most all of its runs' time"),
        )


def _degraded(look: Look) -> Found:
    for model in models_of(look):
        if model["degraded"]:
            name = model["name"]
            evidence = []
            if look.facts["window"]:
                evidence.append(
                    look.live("answers of a stand-in", model["degraded_requests"], "", name)
                )
            yield made(
                0,
                f"degraded-{name}",
                f"Load {name} again",
                f"{model['degraded']}.",
                evidence,
                (None, "unknown", "its plan's speed instead of the stand-in's"),
                post(f"Load {name}", f"/v2/repository/models/{name}/load", {}),
            )


def _cold(look: Look) -> Found:
    """A model that requests found cold, or that will be found so."""
    for model in models_of(look):
        name, colds = model["name"], model["cold_starts"]
        measured = look.measured("first answer of it cold", f"{PLAN}/{name}/cold_model_ms")
        if colds and look.facts["window"]:
            load_ms = model["load_ns"] / 1e6
            evidence = [
                look.live("requests that met it cold", colds, "", f"{name}.cold_starts"),
                look.live("time they waited for its load", load_ms, "ms", f"{name}.load"),
                measured,
            ]
            warm = model["state"] == "warm"
            first = model["loads"] <= 1  # nothing has evicted it since
            if warm and (model["pinned"] or (model["preload"] and first)):
                continue
            body = {"pinned": True}
            action = None if first else post(f"Pin {name}", f"/performance/models/{name}/pin", body)
            if not warm:
                action = post(f"Warm up {name}", "/performance/warmup", {"models": [name]})
            stands = "It has not been evicted since." if first else "Pinned, it is never evicted."
            yield made(
                2,
                f"cold-{name}",
                f"Keep {name} warm",
                f"{colds:,} of its {model['requests']:,} requests met it cold. "
                + (stands if warm else "It is cold now.")
                + ("" if model["preload"] else " preload = true in its model.toml loads it first."),
                evidence,
                (per_hour(look, load_ms), "estimate", f"{load_ms:,.1f} ms in this window"),
                action,
            )
        elif model["state"] == "cold" and measured["value"] is not None:
            yield made(
                8,
                f"cold-{name}",
                f"Warm up {name}",
                "It is not loaded: its first caller waits for that.",
                [measured],
                (None, "estimate", f"{measured['value']:,.1f} ms of its next request"),
                post(f"Warm up {name}", "/performance/warmup", {"models": [name]}),
            )


def _batching(look: Look) -> Found:
    """Batching that is off where the plan says that it pays."""
    if look.facts["settings"].get("batching") is not False:
        return
    for model in models_of(look):
        alone_us = model["served_us"].get("1")
        rows, best_us = min(
            ((int(n), us / int(n)) for n, us in model["served_us"].items()),
            key=lambda one: one[1],
            default=(1, 0.0),
        )
        if not alone_us or alone_us < 100 or best_us * 2 > alone_us:
            continue
        saved_ms = model["requests"] * (alone_us - best_us) / 1e3
        yield made(
            3,
            f"batching-{model['name']}",
            f"Let {model['name']} answer in batches",
            "batching is off, and its plan measured that a row costs less than half in a batch.",
            [
                look.planned(model, "a row alone", alone_us, "µs"),
                look.planned(model, f"a row of {rows}", best_us, "µs"),
            ],
            (
                per_hour(look, saved_ms) if saved_ms else None,
                "at most",
                f"{alone_us - best_us:,.0f} µs a row, where requests wait together",
            ),
            setting("batching", "on"),
        )


def _heavy(look: Look) -> Found:
    """A phase other than the model's run that takes most of a model's time."""
    phases = look.facts["phases"]
    rows = zip(phases["ids"], phases["labels"], phases["parents"], phases["values"], strict=True)
    nodes = list(rows)
    whole = {label: value for _, label, parent, value in nodes if parent == "requests"}
    requests = {model["name"]: model["requests"] for model in models_of(look)}
    for _, phase, parent, spent_ms in nodes:
        total_ms = whole.get(parent, 0.0)
        if phase not in PHASE_ADVICE or requests.get(parent, 0) < LEAST_REQUESTS or not total_ms:
            continue
        percent = 100 * spent_ms / total_ms
        mean_ms = spent_ms / requests[parent]
        if percent < HEAVY_PERCENT or mean_ms < HEAVY_LEAST_MS:
            continue
        yield made(
            7,
            f"phase-{parent}-{phase}",
            f"{parent}: most of its time is {phase}",
            f"{PHASE_ADVICE[phase][0].upper()}{PHASE_ADVICE[phase][1:]}.",
            [
                look.live(f"share of {phase}", percent, "%", f"{parent}.{phase}"),
                look.live(f"{phase}, mean", mean_ms, "ms", f"{parent}.{phase}"),
            ],
            (per_hour(look, spent_ms), "at most", f"{spent_ms:,.1f} ms in this window"),
        )


def _measure(look: Look) -> Found:
    """No measurement, or one of another version or long ago."""
    run, facts = look.run, look.facts
    why = None
    busy = look.measured("CPU of other processes meanwhile", BUSY_KEY)
    if run is None:
        why = "Nothing was measured on this machine yet: targets have no data."
    elif facts["version"] and run["versions"].get("pyrometer") not in (None, facts["version"]):
        why = f"The figures are of version {run['versions']['pyrometer']}."
    elif facts["time"] - run["ended"] > OLD_RUN_S:
        why = f"The figures are {(facts['time'] - run['ended']) / 86_400:.0f} days old."
    elif (busy["value"] or 0.0) > BUSY_PERCENT:
        why = "The machine was busy with something else: the figures are worse than its own."
    if why is not None:
        yield made(
            -1,
            "measure",
            "Measure before and after",
            why,
            [busy],
            (None, "unknown", "nothing by itself; it takes up to 150 s and loads this machine"),
            post("Measure now", "/performance/reports/measure", {}),
        )


RULES: tuple[Callable[[Look], Found], ...] = (
    _measure,
    _degraded,
    _serving_forms,
    _cold,
    _batching,
    cache_rules.bypassed,
    cache_rules.evicting,
    cache_rules.gzip,
    _heavy,
)
