"""Measure, fit, predict, compare: everything that docs/scale.json holds.

    subjects   name -> {model, rows, alone, capacity, fitted, held_out, fit,
                        formula, simulated: predictions at all rates, errors_percent}
    two_slots  two slots of one node: the same fit with k = 2
    two_nodes  two nodes behind a router, each on a core of its own
    about      machine, versions, commit, highest load average meanwhile

Errors are those at rates that the fit has not seen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.lab.outcome import surroundings
from bench.processors import pinned
from bench.scale import fit as fits
from bench.scale import nets, node
from bench.scale.fit import Fit, Point, SlotsFit
from bench.scale.measure import Subject, closed, opened, point_of, write_bodies
from bench.scale.node import Node
from bench.scale.simulate import Around, simulate

FITTED = (0.25, 0.5, 0.75)
HELD_OUT = (0.15, 0.4, 0.65, 0.85)
TWO = (0.3, 0.6, 0.8)
"""Shares of what the nodes can do, by a closed loop."""
SIMULATED = 20_000
CAPACITY_CONNECTIONS = 64
QUICK, SLOW = "breast_cancer", "slow"
QUICK_ROWS = 128
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of the runs."""

    closed_s: float = 3.0
    open_s: float = 5.5


def prepare(folder: Path, models: Path) -> dict[str, Subject]:
    """A repository with both models, and the bodies that are sent."""
    shutil.copytree(models / QUICK, folder / "models" / QUICK)
    nets.write(folder / "models")
    random = np.random.default_rng(0)
    with np.load(folder / "models" / QUICK / "1/samples.npz") as samples:
        (rows,) = (samples[name] for name in samples.files)
    picks = [rows[random.integers(0, len(rows), QUICK_ROWS)] for _ in range(64)]
    write_bodies(folder / "quick.json", picks, "FP64", "predict")
    inputs = [random.random((1, nets.FEATURES)) for _ in range(64)]
    write_bodies(folder / "slow.json", inputs, "FP32", "score")
    return {
        "quick": Subject(QUICK, QUICK_ROWS, "predict", folder / "quick.json"),
        "slow": Subject(SLOW, 1, "score", folder / "slow.json"),
    }


def measured(folder: Path, models: Path, times: Times, say: Say) -> dict[str, Any]:
    """All runs. Two cores at least: a node on the first, the client on the second."""
    subjects = prepare(folder, models)
    cores = sorted(os.sched_getaffinity(0))
    found: dict[str, Any] = {"subjects": {}}
    both = f"{QUICK},{SLOW}"
    with ExitStack() as stack:
        first = stack.enter_context(node.node(folder, both, cores[:1], 1))
        with pinned(cores[1:2]):
            for name, subject in subjects.items():
                found["subjects"][name] = _curve(name, subject, first, times, say)
        beside = _copied(folder, "beside")
        second = stack.enter_context(node.node(beside, both, cores[1:2], 1))
        routed = stack.enter_context(node.router(folder, (first, second)))
        capacity = 2 * found["subjects"]["slow"]["capacity"]["achieved_per_s"]
        found["two_nodes"] = _open(
            "two nodes", subjects["slow"], (first, second), routed, capacity, times, say
        )
    with node.node(_copied(folder, "wide"), both, None, 2) as wide:
        found["two_slots"] = _open(
            "two slots", subjects["slow"], (wide,), None, capacity, times, say
        )
    return found


def _copied(folder: Path, name: str) -> Path:
    """Another node's folder: the same models, and the plans that are made already."""
    other = folder / name
    shutil.copytree(folder / "models", other / "models")
    shutil.copytree(folder / "state/plans", other / "state/plans")
    return other


def _curve(name: str, subject: Subject, one: Node, times: Times, say: Say) -> dict[str, Any]:
    alone = point_of(closed(subject, one.url, 1, times.closed_s), [one])
    capacity = point_of(closed(subject, one.url, CAPACITY_CONNECTIONS, times.closed_s), [one])
    most = capacity["achieved_per_s"]
    say(f"{name}: alone {alone['p50_ms']:.2f} ms, at most {most:.0f}/s")
    found: dict[str, Any] = {"model": subject.model, "rows": subject.rows}
    found |= {"alone": alone, "capacity": capacity, "fitted": [], "held_out": []}
    for share in sorted(FITTED + HELD_OUT):
        point = point_of(opened(subject, one.url, share * most, times.open_s), [one])
        found["fitted" if share in FITTED else "held_out"].append(point)
        say(_words(name, point))
    return found


def _open(
    name: str,
    subject: Subject,
    nodes: Sequence[Node],
    routed: Node | None,
    most: float,
    times: Times,
    say: Say,
) -> dict[str, Any]:
    points = []
    for share in TWO:
        spec = opened(subject, (routed or nodes[0]).url, share * most, times.open_s)
        points.append(point_of(spec, nodes, routed))
        say(_words(name, points[-1]))
    return {"points": points}


def _words(name: str, point: Point) -> str:
    return (
        f"{name}: {point['rate_per_s']:.0f}/s: p50 {point['p50_ms']:.2f}, p95 "
        f"{point['p95_ms']:.2f}, p99 {point['p99_ms']:.2f} ms; load {point['load_1']:g}"
    )


def predict(found: dict[str, Any], say: Say) -> dict[str, Any]:
    """Add fits, predictions and errors to what was measured."""
    for name, given in found["subjects"].items():
        points = given["fitted"]
        fit = _fitted(name, given)
        given["fit"] = fits.as_dict(fit)
        rates = sorted(point["rate_per_s"] for point in points + given["held_out"])
        given["formula"] = [p for rate in rates if (p := by_formula(fit, rate)) is not None]
        given["simulated"] = [by_simulation(fit, rate) for rate in rates]
        given["errors_percent"] = {
            way: _errors(given["held_out"], given[way]) for way in ("formula", "simulated")
        }
        say(f"{name}: errors at rates not fitted, %: {given['errors_percent']}")
    slow = fits.fit_from(found["subjects"]["slow"]["fit"])
    assert isinstance(slow, SlotsFit)
    _predict_two(found["two_slots"], replace(slow, servers=2), 1, 0.0, say)
    router_s = float(np.median([p["router_us"] for p in found["two_nodes"]["points"]])) / 1e6
    _predict_two(found["two_nodes"], slow, 2, router_s, say)
    found["two_nodes"]["router_us"] = 1e6 * router_s
    everything = [p for given in found["subjects"].values() for p in given["held_out"]]
    highest = max(p["load_1"] for p in everything + found["two_nodes"]["points"])
    found["about"] = surroundings() | {"highest_load_1": highest}
    return found


def _fitted(name: str, given: dict[str, Any]) -> Fit:
    points, alone = given["fitted"], given["alone"]
    if name == "slow":
        return fits.fit_slots(points, alone, 1)
    return fits.fit_turns(points, alone, given["capacity"], CAPACITY_CONNECTIONS)


def _predict_two(
    given: dict[str, Any], fit: SlotsFit, nodes: int, router_s: float, say: Say
) -> None:
    rates = [point["rate_per_s"] for point in given["points"]]
    given["simulated"] = [by_simulation(fit, rate, nodes, router_s) for rate in rates]
    given["errors_percent"] = {"simulated": _errors(given["points"], given["simulated"])}
    if nodes == 1:
        given["formula"] = [p for rate in rates if (p := by_formula(fit, rate)) is not None]
        given["errors_percent"]["formula"] = _errors(given["points"], given["formula"])
    say(f"{nodes} node(s), {fit.servers} slot(s) each: errors, %: {given['errors_percent']}")


def _errors(points: Sequence[Point], predicted: Sequence[Point]) -> dict[str, float]:
    """At the rates that both have: beyond what the fit says a node can do, there is no formula."""
    by_rate = {guess["rate_per_s"]: guess for guess in predicted}
    known = [point for point in points if point["rate_per_s"] in by_rate]
    return fits.errors_percent(known, [by_rate[point["rate_per_s"]] for point in known])


def by_formula(fit: Fit, rate: float) -> dict[str, float] | None:
    """Quantiles at a rate; None where the queue would grow for ever."""
    if rate >= fit.capacity_per_s:
        return None
    found = fit.latencies_s(rate, np.random.default_rng(0))
    return {"rate_per_s": rate, **fits.quantiles_ms(found)}


def by_simulation(
    fit: Fit, rate: float, nodes: int = 1, router_s: float = 0.0, requests: int = SIMULATED
) -> dict[str, float]:
    """Quantiles at a rate over all nodes."""
    around = Around(fit.floor_s, fit.client_s, router_s)
    found = simulate(fit.node(), rate, requests, 0, nodes, around)
    return {"rate_per_s": rate, **fits.quantiles_ms(found)}
