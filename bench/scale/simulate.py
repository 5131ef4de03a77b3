"""A node, or several behind a router, request by request: simpy.

arrivals (Poisson, seeded) -> router -> a node's queue -> its servers -> the client
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import simpy

Draw = Callable[[np.random.Generator], float]
"""One service time, seconds."""
Steps = Generator[Any, Any, None]
WARM_SHARE = 0.1
"""Of the requests, the first, that are not counted: the queues are still filling."""


class Node(Protocol):
    """Where requests are worked on."""

    waiting: int

    def serve(self) -> Any:
        """An event that comes when a request that arrives now has been answered."""
        ...


class Slots:
    """k servers and one queue. draw: of service times."""

    def __init__(
        self, env: simpy.Environment, random: np.random.Generator, draw: Draw, servers: int = 1
    ) -> None:
        self._env, self._random, self._draw = env, random, draw
        self._servers = simpy.Resource(env, servers)
        self.waiting = 0

    def serve(self) -> Any:
        return self._env.process(self._run())

    def _run(self) -> Steps:
        self.waiting += 1
        with self._servers.request() as slot:
            yield slot
            yield self._env.timeout(self._draw(self._random))
        self.waiting -= 1


class Turns:
    """An event loop: each turn takes all that wait and answers them together."""

    def __init__(
        self, env: simpy.Environment, random: np.random.Generator, overhead: Draw, each_s: float
    ) -> None:
        self._env, self._random, self._overhead, self._each_s = env, random, overhead, each_s
        self._queue: list[Any] = []
        self._asleep: Any = None
        self.waiting = 0
        env.process(self._run())

    def serve(self) -> Any:
        done = self._env.event()
        self.waiting += 1
        self._queue.append(done)
        if self._asleep is not None:
            self._asleep.succeed()
            self._asleep = None
        return done

    def _run(self) -> Steps:
        while True:
            if not self._queue:
                self._asleep = self._env.event()
                yield self._asleep
            turn, self._queue = self._queue, []
            yield self._env.timeout(self._overhead(self._random) + self._each_s * len(turn))
            self.waiting -= len(turn)
            for done in turn:
                done.succeed()


MakeNode = Callable[[simpy.Environment, np.random.Generator], Node]


@dataclass(frozen=True, slots=True)
class Around:
    """What stands before and behind the nodes. Seconds of each request, one server each.

    floor_s: the way there and back. client_s: of the client that measures. router_s: 0 is none;
    it hands each request to the node that has the fewest.
    """

    floor_s: float = 0.0
    client_s: float = 0.0
    router_s: float = 0.0


def simulate(
    make: MakeNode,
    rate: float,
    requests: int,
    seed: int,
    nodes: int = 1,
    around: Around | None = None,
) -> np.ndarray:
    """Seconds from due to answered of the requests after the warm-up, in order of arrival."""
    random, env = np.random.default_rng(seed), simpy.Environment()
    given = around or Around()
    placed: Sequence[Node] = [make(env, random) for _ in range(nodes)]
    router, client = simpy.Resource(env, 1), simpy.Resource(env, 1)
    found = np.full(requests, np.nan)
    gaps = random.exponential(1 / rate, requests)

    def passes(station: simpy.Resource, seconds: float) -> Steps:
        with station.request() as turn:
            yield turn
            yield env.timeout(seconds)

    def one(number: int) -> Steps:
        due_s = env.now
        if given.client_s:
            yield from passes(client, given.client_s / 2)
        if given.router_s:
            yield from passes(router, given.router_s)
        yield min(placed, key=lambda node: node.waiting).serve()
        if given.client_s:
            yield from passes(client, given.client_s / 2)
        found[number] = env.now - due_s + given.floor_s

    def arrive() -> Steps:
        for number, gap_s in enumerate(gaps.tolist()):
            yield env.timeout(gap_s)
            env.process(one(number))

    env.process(arrive())
    env.run()
    return found[int(WARM_SHARE * requests) :]


def constant(seconds: float) -> Draw:
    """Always as long."""
    return lambda random: seconds


def exponential(mean_s: float) -> Draw:
    return lambda random: float(random.exponential(mean_s))


def lognormal(mean_s: float, cv2: float) -> Draw:
    """The usual shape of service times on a shared machine: a long tail, none below zero."""
    if cv2 <= 0:
        return constant(mean_s)
    centre, sigma = _lognormal(mean_s, cv2)
    return lambda random: float(random.lognormal(centre, sigma))


def lognormals(mean_s: float, cv2: float, random: np.random.Generator, count: int) -> np.ndarray:
    """Many of them, (count,)."""
    return random.lognormal(*_lognormal(mean_s, max(0.0, cv2)), count)


def _lognormal(mean_s: float, cv2: float) -> tuple[float, float]:
    sigma2 = float(np.log1p(cv2))
    return float(np.log(mean_s)) - sigma2 / 2, sigma2**0.5
