"""Two servers and a Redis: what is shared, flushed and survived, and what it costs: `make shared`.

    across    results that one server computed, asked of the other
    flush     from the request to the other server's caches being empty, both ways
    killed    Redis killed and back under load of both: failed requests, hits back again
    latency   runs of 5 ms with Redis, without, and with one that answers nothing

Prints tables; the exit status is 1 where a request failed, an answer was wrong, a flush took over a
second or hits did not come back.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.faults.callers import Tally, crowd
from bench.faults.repository import Question
from bench.faults.server import Server, until
from bench.redis_server import RedisServer
from bench.serving import Client
from bench.wrk import body_of

RUNS = {"heavy": 30.0, "light": 5.0}
"""Models, and the milliseconds of their runs."""
SOURCE = """
import os
import time

RUN_S = {run_s}
RAN = os.open({ran!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Timed:
    def load(self, folder):
        pass

    def predict(self, inputs):
        x = inputs["x"]
        time.sleep(RUN_S)
        os.write(RAN, b"".join(b"%r\\n" % float(v) for v in x[:, 0]))
        return {{"y": 2 * x[:, :1]}}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 2]\n'
CACHED: dict[str, str] = {}
FLUSH_LIMIT_S, RETURN_LIMIT_S = 1.0, 10.0
_NUMBERS = itertools.count(1)


def fresh() -> float:
    """A row that nobody has asked yet."""
    return 1000.0 + next(_NUMBERS)


def write_models(folder: Path, ran: Path) -> None:
    """Models that wait as long as RUNS says and write every row they run into `ran`."""
    trusted = []
    for name, run_ms in RUNS.items():
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        source = SOURCE.format(run_s=run_ms / 1e3, ran=str(ran))
        (version.parent / "model.toml").write_text(TOML)
        (version / "model.py").write_text(source)
        trusted.append(f"{hashlib.sha256(source.encode()).hexdigest()}  {name}/model.py\n")
    (folder / "trusted.sha256").write_text("".join(trusted))
    (folder / "trusted.sha256").chmod(0o600)


def question(value: float, model: str = "heavy") -> Question:
    row = np.array([[value, 0.0]])
    return Question(f"/v2/models/{model}/infer", body_of(row, "x"), np.array([2 * value]))


class Asker:
    """One connection to one server."""

    def __init__(self, server: Server) -> None:
        self.server, self._client = server, Client(server.port)
        self.ms = 0.0

    def hits(self, value: float, model: str = "heavy") -> bool:
        """Ask; whether a cache answered. ms: how long it took. Raises RuntimeError."""
        asked, began_s = question(value, model), time.perf_counter()
        status, headers, body = self._client.exchange("POST", asked.path, asked.body)
        self.ms = 1e3 * (time.perf_counter() - began_s)
        if status != 200 or body["outputs"][0]["data"] != [2 * value]:
            raise RuntimeError(f"{status}: {body}")
        return bool(headers["x-cache-hit"] == "true")

    def flush(self, model: str | None) -> str:
        """Flush a model's caches or all; what the server says."""
        body = {"model": model} if model else {}
        return str(self._client.call("POST", "/performance/cache/clear", body)[1]["text"])

    def shared(self) -> dict[str, Any]:
        """The figures of the shared tier."""
        found: dict[str, Any] = self._client.call("GET", "/performance/cache")[1]["shared"]
        return found


@contextmanager
def servers(folder: Path, urls: list[str], *flags: str) -> Iterator[list[Server]]:
    """Servers that have the same models, each with its own state; `ran` is beside them."""
    with ExitStack() as stack:
        started = []
        for number, url in enumerate(urls):
            own = folder / f"server-{next(_NUMBERS)}-{number}"
            write_models(own, folder / "ran")
            shares = ("--redis-url", url) if url else ()
            server = Server(own, *shares, "--audit-interval-s", "0", *flags)
            started.append(server)
            stack.callback(server.stop)
            server.start()
        for server in started:
            if urls[0]:
                until(lambda s=server: Asker(s).shared()["state"] == "closed", 10)  # type: ignore[misc]
        yield started


def runs_of(folder: Path, value: float) -> int:
    """How often a row was run, by whichever server."""
    return (folder / "ran").read_text().splitlines().count(repr(value))


@dataclass
class Outcome:
    """What was measured, and which promises did not hold."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def tell(self, what: str, figure: str) -> None:
        self.rows.append((what, figure))

    def expect(self, holds: object, promise: str) -> None:
        if not holds:
            self.broken.append(promise)


def across(pair: list[Server], outcome: Outcome, count: int) -> None:
    """Rows computed by one, then asked of the other."""
    one, other = (Asker(server) for server in pair)
    values, ran_ms, hit_ms = [fresh() for _ in range(count)], [], []
    for value in values:
        one.hits(value)
        ran_ms.append(one.ms)
    until(lambda: one.shared()["queued"] == 0, 5)
    time.sleep(0.2)
    hits = 0
    for value in values:
        hits += other.hits(value)
        hit_ms.append(other.ms)
    outcome.tell("rows computed by one, hits on the other", f"{hits} of {count}")
    outcome.tell("computed / found, p50", f"{np.median(ran_ms):.2f} / {np.median(hit_ms):.2f} ms")
    outcome.expect(hits == count, f"only {hits} of {count} were hits")


def flush_s(flushing: Asker, other: Asker, model: str | None) -> float:
    """From the request to flush to the other server not having a row any more."""
    value = fresh()
    flushing.hits(value)
    until(lambda: other.hits(value), 5)
    began_s = time.perf_counter()
    flushing.flush(model)
    gone = until(lambda: not other.hits(value), 5)
    return time.perf_counter() - began_s if gone else float("inf")


def flushes(pair: list[Server], outcome: Outcome, times: int) -> None:
    one, other = (Asker(server) for server in pair)
    ways = ((one, other), (other, one))
    for model in ("heavy", None):
        took = [flush_s(*ways[number % 2], model) for number in range(times)]
        words = f"{np.median(took):.3f} / {max(took):.3f} s of {times}"
        outcome.tell(f"flush of {model or 'all'} to the other, median / longest", words)
        outcome.expect(max(took) < FLUSH_LIMIT_S, f"a flush took {max(took):.2f} s")


def hits_return_s(pair: list[Server], since_s: float) -> float:
    """Seconds, since a moment, until what one computes is a hit on the other; inf: never."""
    one, other = (Asker(server) for server in pair)

    def shared() -> bool:
        value = fresh()
        one.hits(value)
        time.sleep(0.02)
        return other.hits(value)

    good = until(shared, RETURN_LIMIT_S)
    return time.perf_counter() - since_s if good else float("inf")


def killed(pair: list[Server], redis: RedisServer, outcome: Outcome, times: int) -> None:
    """Redis killed and back under load of both servers."""
    tally, back_s = Tally(), []
    asks = [lambda number, step: question(float((number * 37 + step) % 300))]
    asks.append(lambda number, step: question(fresh()))
    with ExitStack() as stack:
        for server, ask in itertools.product(pair, asks):
            stack.enter_context(crowd(server.port, 2, ask, tally, CACHED))
        for _ in range(times):
            time.sleep(1.5)
            redis.kill()
            time.sleep(2)
            redis.start()
            back_s.append(hits_return_s(pair, time.perf_counter()))
    words = f"{tally.requests:,} requests, {sum(tally.failed.values())} failed"
    outcome.tell(
        f"Redis killed and back {times} times, under load",
        f"{words}, {tally.lost} lost, {tally.wrong} wrong",
    )
    outcome.tell(
        "hits are back after its start, median / longest",
        f"{np.median(back_s):.2f} / {max(back_s):.2f} s",
    )
    outcome.broken.extend(tally.problems(set()))
    outcome.expect(max(back_s) < RETURN_LIMIT_S, "hits did not come back")


def latency(folder: Path, redis: RedisServer, outcome: Outcome, count: int) -> None:
    """Rows that nobody has asked, one after another, in alternating windows."""
    redis.kill()
    redis.start()
    with servers(folder, [redis.url]) as (shares,), servers(folder, [""]) as (alone,):
        took: dict[str, list[float]] = {"without Redis": [], "with Redis": []}
        for _ in range(4):
            for name, server in (("without Redis", alone), ("with Redis", shares)):
                asker = Asker(server)
                for _ in range(count // 4):
                    asker.hits(fresh(), "light")
                    took[name].append(asker.ms)
        asker = Asker(shares)
        figures = asker.shared()
        redis.pause()
        took["Redis answers nothing (SIGSTOP)"] = slow = []
        for _ in range(count // 2):
            asker.hits(fresh(), "light")
            slow.append(asker.ms)
        after = asker.shared()
        redis.go_on()
    for name, ms in took.items():
        p50, p99, most = np.percentile(ms, [50, 99, 100])
        outcome.tell(
            f"run of 5 ms, {name}, p50 / p99 / most", f"{p50:.2f} / {p99:.2f} / {most:.2f} ms"
        )
    reads = f"{figures['p50_ms']:.3f} / {figures['p99_ms']:.3f} ms"
    outcome.tell("look-up in Redis, by the server, p50 / p99", reads)
    words = f"{after['timeouts'] - figures['timeouts']} late, circuit {after['state']}"
    outcome.tell("look-ups while it answered nothing", words)
    outcome.expect(after["opened"], "the circuit did not open")


def run(folder: Path, short: bool) -> Outcome:
    """Everything in turn."""
    outcome = Outcome()
    with RedisServer(folder / "redis") as redis:
        with servers(folder, [redis.url, redis.url]) as pair:
            across(pair, outcome, 20 if short else 100)
            flushes(pair, outcome, 4 if short else 24)
            killed(pair, redis, outcome, 1 if short else 5)
        latency(folder, redis, outcome, 80 if short else 1200)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.shared", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer of each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shared-") as folder:
        outcome = run(Path(folder), given.short)
    print("| what | figure |\n|---|---|")
    for what, figure in outcome.rows:
        print(f"| {what} | {figure} |")
    for promise in outcome.broken:
        print(f"BROKEN: {promise}")
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
