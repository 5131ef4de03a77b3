"""Service times of a node from what was measured at a few rates.

A point is what one run at one offered rate gave:

    rate_per_s, p50_ms, p95_ms, p99_ms, mean_ms     as the lab's client saw it
    loop_us       processor time of the event loop's thread, a request
    run_ms        mean time of the model's run
    client_us     processor time of the client, a request
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.scale import simulate, theory
from bench.scale.simulate import Around, MakeNode

Point = Mapping[str, Any]
P95_SIGMAS = 1.6449
"""Standard deviations from the middle of a normal distribution to its 95th percentile."""
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(frozen=True, slots=True)
class TurnsFit:
    """A model answered on the event loop. overhead_s of each turn, each_s of each request."""

    overhead_s: float
    each_s: float
    floor_s: float
    client_s: float

    @property
    def capacity_per_s(self) -> float:
        """What one loop can do, turns being as long as they like."""
        return 1 / self.each_s

    @property
    def around(self) -> Around:
        return Around(self.floor_s, self.client_s)

    def node(self) -> MakeNode:
        overhead = simulate.constant(self.overhead_s)
        return lambda env, random: simulate.Turns(env, random, overhead, self.each_s)

    def latencies_s(self, rate: float, random: np.random.Generator) -> np.ndarray:
        """By formula; the client as a queue of its own."""
        found = theory.turn_latencies(rate, self.overhead_s, self.each_s, random)
        found += self.floor_s + _client(self.client_s, rate, random, len(found))
        return found


@dataclass(frozen=True, slots=True)
class SlotsFit:
    """A model answered on slots: k servers, service times lognormal."""

    service_s: float
    cv2: float
    servers: int
    floor_s: float
    client_s: float

    @property
    def capacity_per_s(self) -> float:
        return self.servers / self.service_s

    @property
    def around(self) -> Around:
        return Around(self.floor_s, self.client_s)

    def node(self) -> MakeNode:
        draw = simulate.lognormal(self.service_s, self.cv2)
        return lambda env, random: simulate.Slots(env, random, draw, self.servers)

    def latencies_s(self, rate: float, random: np.random.Generator) -> np.ndarray:
        """By formula: M/G/k's wait and a service time of its own."""
        waits = theory.waits_of(rate, self.service_s, self.cv2, self.servers)
        served_s = simulate.lognormals(self.service_s, self.cv2, random, theory.DRAWS)
        served_s += waits.draw(random, len(served_s)) + self.floor_s
        served_s += _client(self.client_s, rate, random, len(served_s))
        return served_s


Fit = TurnsFit | SlotsFit


def _client(client_s: float, rate: float, random: np.random.Generator, count: int) -> np.ndarray:
    """Time in the client, a queue too: M/D/1."""
    if not client_s:
        return np.zeros(count)
    return client_s + theory.waits_of(min(rate, 0.95 / client_s), client_s, 0.0).draw(random, count)


def fit_turns(points: Sequence[Point], alone: Point, most: Point, most_callers: int) -> TurnsFit:
    """Overhead and cost of a request from the loop's processor time at several rates.

    The busier the loop, the more requests share a turn. alone: one caller, who never waits: a
    turn for each request, and what it took beyond that is the floor. most: so many callers at
    once, who share their turns. Raises ValueError for fewer than two points.
    """
    from scipy.optimize import least_squares

    if len(points) < 2:
        raise ValueError(f"{len(points)} points; two are needed")
    rates = np.array([point["rate_per_s"] for point in points])
    costs_s = np.array([point["loop_us"] for point in points]) / 1e6

    def misses(given: np.ndarray) -> np.ndarray:
        overhead_s, each_s = np.exp(given)
        found = [theory.turn_cost_s(rate, overhead_s, each_s) for rate in rates]
        found += [overhead_s + each_s, each_s + overhead_s / most_callers]
        return np.log(np.array(found) / np.append(costs_s, ends_s))

    ends_s = np.array([alone["loop_us"], most["loop_us"]]) / 1e6
    start = np.log([0.3 * costs_s.max(), 0.8 * costs_s.min()])
    overhead_s, each_s = map(float, np.exp(least_squares(misses, start).x))
    client_s = _client_s(points)
    floor_s = alone["p50_ms"] / 1e3 - overhead_s - each_s - client_s
    return TurnsFit(overhead_s, each_s, max(0.0, floor_s), client_s)


def fit_slots(points: Sequence[Point], alone: Point, servers: int) -> SlotsFit:
    """Mean of the runs at these rates; how they vary, and the floor, from one caller alone.

    The variation is that of a lognormal with his p95 over his p50: one pause of the machine would
    rule a variance. Raises ValueError where there is no point.
    """
    if not points:
        raise ValueError("no points")
    service_s = float(np.median([point["run_ms"] for point in points])) / 1e3
    sigma = math.log(alone["p95_ms"] / alone["p50_ms"]) / P95_SIGMAS
    client_s = _client_s(points)
    middle_s = service_s * math.exp(-(sigma**2) / 2)
    floor_s = alone["p50_ms"] / 1e3 - middle_s - client_s
    return SlotsFit(service_s, math.expm1(sigma**2), servers, max(0.0, floor_s), client_s)


def _client_s(points: Sequence[Point]) -> float:
    return float(np.median([point["client_us"] for point in points])) / 1e6


def quantiles_ms(latencies_s: np.ndarray) -> dict[str, float]:
    """p50, p95, p99 and mean, ms."""
    found = {name: float(np.quantile(latencies_s, q)) * 1e3 for name, q in QUANTILES.items()}
    return found | {"mean_ms": float(latencies_s.mean()) * 1e3}


def errors_percent(points: Sequence[Point], predicted: Sequence[Point]) -> dict[str, float]:
    """Mean distance of predictions from points, percent of the point, by quantile."""
    return {
        name: float(
            np.mean(
                [
                    100 * abs(guess[name] / point[name] - 1)
                    for point, guess in zip(points, predicted, strict=True)
                ]
            )
        )
        for name in QUANTILES
    }


def as_dict(fit: Fit) -> dict[str, float]:
    return asdict(fit) | {"capacity_per_s": fit.capacity_per_s}


def fit_from(stored: Mapping[str, float]) -> Fit:
    """The inverse of `as_dict`."""
    around = (stored["floor_s"], stored["client_s"])
    if "each_s" in stored:
        return TurnsFit(stored["overhead_s"], stored["each_s"], *around)
    return SlotsFit(stored["service_s"], stored["cv2"], int(stored["servers"]), *around)
