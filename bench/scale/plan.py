"""Replicas, nodes and cost of a rate, from a fit. What is assumed is in `Assumptions`.

A replica is one process with one core's work: an event loop, or a slot. It is given the highest
rate at which the formula's p99 stays within `slowdown` times that of a caller alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.scale.figures import by_formula
from bench.scale.fit import Fit, fit_from


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Change them by flags of `python -m bench.scale`. price: of a core for an hour, in dollars;
    what clouds ask on demand is 0.03 to 0.06. system_cores: of a node, not for replicas."""

    price: float = 0.04
    node_cores: int = 16
    system_cores: int = 1
    slowdown: float = 4.0
    router_use: float = 0.6
    regions: int = 3


@dataclass(frozen=True, slots=True)
class Scaled:
    """What a rate takes. spare: one node more than needed, so that one may be lost."""

    rate_per_s: float
    replica_per_s: float
    replicas: int
    nodes: int
    routers: int
    cost_per_hour: float
    per_million: float
    regional_nodes: int


def carries_per_s(fit: Fit, slowdown: float) -> float:
    """The highest rate of one replica whose p99 is within `slowdown` times a lone caller's."""
    alone = by_formula(fit, 1e-3 * fit.capacity_per_s)
    assert alone is not None, "a thousandth of what it can do"
    low, high = 0.0, 0.999 * fit.capacity_per_s
    for _ in range(12):
        middle = (low + high) / 2
        found = by_formula(fit, middle)
        if found is not None and found["p99_ms"] <= slowdown * alone["p99_ms"]:
            low = middle
        else:
            high = middle
    return low


def scaled(
    rate: float, carries: float, router_us: float, given: Assumptions | None = None
) -> Scaled:
    """Of one region that takes all; and of each of `regions`, any one of which may be lost."""
    given = given or Assumptions()
    a_node = given.node_cores - given.system_cores
    replicas = math.ceil(rate / carries)
    nodes = math.ceil(replicas / a_node) + 1
    router_cores = rate * router_us / 1e6 / given.router_use
    routers = math.ceil(router_cores / given.node_cores) + 1
    cost = (nodes + routers) * given.node_cores * given.price
    of_a_region = math.ceil(rate / (given.regions - 1) / carries / a_node) + 1
    return Scaled(
        *(rate, carries, replicas, nodes, routers, cost),
        per_million=cost / (rate * 3600 / 1e6),
        regional_nodes=of_a_region * given.regions,
    )


def router_most_per_s(router_us: float, given: Assumptions | None = None) -> float:
    """What one router node passes on before it is busier than `router_use`."""
    given = given or Assumptions()
    return given.node_cores * given.router_use * 1e6 / router_us


def plans(
    stored: Mapping[str, Any], rates: tuple[float, ...], given: Assumptions
) -> dict[str, list[Scaled]]:
    """For both measured models."""
    router_us = stored["two_nodes"]["router_us"]
    found = {}
    for name, subject in stored["subjects"].items():
        carries = carries_per_s(fit_from(subject["fit"]), given.slowdown)
        found[name] = [scaled(rate, carries, router_us, given) for rate in rates]
    return found
