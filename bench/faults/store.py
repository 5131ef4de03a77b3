"""A Redis that two servers share: away from the start, killed, and answering nothing."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.faults.callers import Caller, Tally, crowd
from bench.faults.fault import Seen
from bench.faults.repository import Question, slow_question
from bench.faults.server import Place, Server, until
from bench.redis_server import RedisServer

CACHED: dict[str, str] = {}
AWAY_S, BETWEEN_S, RETURN_S = 2.0, 1.0, 20.0
_NUMBERS = itertools.count(1)
Pair = tuple[Server, Server]


@contextlib.contextmanager
def _pair(place: Place, seen: Seen, *, there: bool = True) -> Iterator[tuple[RedisServer, Pair]]:
    """Two servers under load, and the Redis that they share; there: before they start."""
    redis = RedisServer(place.scratch / "redis")
    if there:
        redis.start()
    shares = ("--redis-url", redis.url)
    try:
        with place.server(*shares) as one, place.server(*shares) as other:
            with (
                crowd(one.port, 3, _some, seen.tally, CACHED),
                crowd(other.port, 3, _some, seen.tally, CACHED),
            ):
                if there:
                    _expect_shared(seen, (one, other))
                yield redis, (one, other)
            for server in (one, other):
                died = server.get("/performance/status")["threads_down"]
                seen.expect(not died, f"threads died: {died}")
    finally:
        redis.kill()


def _some(number: int, step: int) -> Question:
    """Half of them asked before, by whichever caller of whichever server."""
    return slow_question(float(step % 60)) if step % 2 else _new()


def _new() -> Question:
    return slow_question(1e6 + next(_NUMBERS))


def _shared(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/performance/cache")["shared"]
    return found


def _expect_shared(seen: Seen, pair: Pair, since_s: float | None = None) -> None:
    """What one computes becomes a hit of the other's, within RETURN_S."""
    before = _shared(pair[1])["hits"]

    def hit() -> bool:
        asked = _new()
        for server in pair:
            caller, tally = Caller(server.port, CACHED), Tally()
            caller.ask(asked, tally)
            caller.close()
            seen.tally.add(tally)
            time.sleep(0.03)
        return bool(_shared(pair[1])["hits"] > before)

    seen.expect(until(hit, RETURN_S), "nothing is shared")
    if since_s is not None:
        seen.recovered(time.monotonic() - since_s)


def _go_through(
    place: Place,
    times: int,
    breaks: Callable[[RedisServer], None],
    mends: Callable[[RedisServer], None],
) -> Seen:
    seen = Seen(times=times)
    with _pair(place, seen) as (redis, pair):
        for _ in range(times):
            time.sleep(BETWEEN_S)
            breaks(redis)
            for server in pair:
                given_up = until(lambda s=server: _shared(s)["state"] != "closed", 10)  # type: ignore[misc]
                seen.expect(given_up, "it is asked although it does not answer")
            time.sleep(AWAY_S)
            mends(redis)
            _expect_shared(seen, pair, time.monotonic())
        late = sum(_shared(server)["timeouts"] for server in pair)
        seen.notes.append(f"{late} look-ups took the whole budget of 5 ms")
    return seen


def killed(place: Place, times: int) -> Seen:
    """SIGKILL, and a new one on the same port that has nothing."""
    return _go_through(place, times, RedisServer.kill, RedisServer.start)


def slow(place: Place, times: int) -> Seen:
    """It takes connections and questions, and answers none until it goes on."""
    return _go_through(place, times, RedisServer.pause, RedisServer.go_on)


def absent(place: Place, times: int) -> Seen:
    """It is not there when the servers start; a flush meanwhile is owed."""
    seen = Seen(times=times)
    for _ in range(times):
        with _pair(place, seen, there=False) as (redis, pair):
            time.sleep(AWAY_S)
            text = str(pair[0].get("/performance/cache/clear", {})["text"])
            seen.expect("when Redis answers again" in text, f"the flush is not owed: {text}")
            redis.start()
            _expect_shared(seen, pair, time.monotonic())
            owed = sum(_shared(server)["owed"] for server in pair)
            seen.expect(not owed, "a flush is still owed")
    return seen
