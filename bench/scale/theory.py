"""Queues with Poisson arrivals, by formula. Times in seconds, rates per second.

turn     what an event loop does between two looks at its sockets: it takes all that wait, n
         requests, and answers them together after overhead + n * each
M/G/k    k servers, one queue, service times of any distribution

Sources: Pollaczek-Khinchine's mean wait for k = 1, exact; Allen and Cunneen's for k > 1, Erlang's
C times (1 + cv2) / 2, exact for exponential service. Waits are taken to be exponential beyond
zero, which is exact for M/M/k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MOST_TURN = 400
"""Requests of one turn that the chain of turns knows."""
DRAWS = 200_000


@dataclass(frozen=True, slots=True)
class Waits:
    """share: of requests that wait at all. mean_s: over all requests."""

    share: float
    mean_s: float

    def draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Waiting times, (count,)."""
        if not self.mean_s:
            return np.zeros(count)
        waits = random.random(count) < self.share
        return np.where(waits, random.exponential(self.mean_s / self.share, count), 0.0)


def erlang_c(servers: int, offered: float) -> float:
    """The share that waits in M/M/k. offered: rate * service, below `servers`."""
    term, total = 1.0, 1.0
    for number in range(1, servers):
        term *= offered / number
        total += term
    last = term * offered / servers / (1 - offered / servers)
    return last / (total + last)


def waits_of(rate: float, service_s: float, cv2: float, servers: int = 1) -> Waits:
    """Of M/G/k. cv2: squared coefficient of variation of service times.

    Raises ValueError for a rate that the servers cannot keep up with.
    """
    offered = rate * service_s
    if offered >= servers:
        raise ValueError(f"{rate:g}/s of {service_s:g} s are too much for {servers} servers")
    share = erlang_c(servers, offered)
    mean_s = share * service_s / (servers - offered) * (1 + cv2) / 2
    return Waits(share, mean_s)


def turn_sizes(rate: float, overhead_s: float, each_s: float) -> np.ndarray:
    """How often a turn holds 1, 2, ... requests: (MOST_TURN,), summing to 1.

    While a turn of n runs, a Poisson number arrives, which is the next one; where none does, the
    loop sleeps and the next turn holds the one that wakes it.
    """
    sizes = np.arange(1, MOST_TURN + 1)
    means = rate * (overhead_s + each_s * sizes)
    logs = np.array([math.lgamma(n + 1) for n in range(MOST_TURN + 1)])
    counts = np.arange(MOST_TURN + 1)
    chances = np.exp(-means[:, None] + counts * np.log(means)[:, None] - logs)
    moves = chances[:, 1:].copy()
    moves[:, 0] += chances[:, 0]
    moves[:, -1] += np.maximum(0.0, 1 - chances.sum(axis=1))
    found: np.ndarray = np.full(MOST_TURN, 1 / MOST_TURN)
    for _ in range(2000):
        following = found @ moves
        if np.abs(following - found).max() < 1e-12:
            break
        found = following
    total: np.ndarray = found / found.sum()
    return total


def turn_cost_s(rate: float, overhead_s: float, each_s: float) -> float:
    """Time of the loop that one request takes, its share of the overhead included."""
    share = turn_sizes(rate, overhead_s, each_s)
    mean = float(share @ np.arange(1, MOST_TURN + 1))
    return each_s + overhead_s / mean


def turn_latencies(
    rate: float, overhead_s: float, each_s: float, random: np.random.Generator, count: int = DRAWS
) -> np.ndarray:
    """Times from arrival to the end of the own turn, (count,).

    An arrival finds the loop asleep, or in a turn of n with a chance that grows with its length.
    """
    sizes = np.arange(1, MOST_TURN + 1)
    share = turn_sizes(rate, overhead_s, each_s)
    lengths = overhead_s + each_s * sizes
    asleep_s = float(share @ np.exp(-rate * lengths)) / rate
    busy_s = float(share @ lengths)
    finds_idle = random.random(count) < asleep_s / (asleep_s + busy_s)
    weights = share * lengths / busy_s
    current = random.choice(lengths, count, p=weights / weights.sum())
    place = random.random(count)
    with_it = 1 + random.poisson(rate * current)  # all that arrive in the same turn share the next
    busy = (1 - place) * current + overhead_s + each_s * with_it
    return np.where(finds_idle, overhead_s + each_s, busy)
