"""No answer from before a flush: two servers, a Redis, and a model that says when it ran."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.faults.server import Server
from bench.redis_server import RedisServer
from bench.serving import Client
from bench.wrk import body_of
from tests.waiting import until

SOURCE = """
import time

import numpy as np


class Stamp:
    def load(self, folder):
        pass

    def predict(self, inputs):
        time.sleep(0.004 if inputs["x"][0, 0] % 2 else 0.025)
        return {"y": np.full((len(inputs["x"]), 1), time.time())}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 1]\n'
PATH = "/v2/models/stamp/infer"
REACHED_S = 1.0


@dataclass(frozen=True)
class Answer:
    """Of a server: when it was asked for, and when it was computed, by this machine's clock."""

    server: int
    asked_s: float
    ran_s: float
    hit: bool


@dataclass(frozen=True)
class Flush:
    server: int
    began_s: float
    ended_s: float


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def pair(tmp_path: Path, redis: RedisServer) -> Iterator[list[Server]]:
    found = []
    for number in range(2):
        folder = tmp_path / f"server-{number}"
        version = folder / "models" / "stamp" / "1"
        version.mkdir(parents=True)
        (version.parent / "model.toml").write_text(TOML)
        (version / "model.py").write_text(SOURCE)
        trusted = f"{hashlib.sha256(SOURCE.encode()).hexdigest()}  stamp/model.py\n"
        (folder / "trusted.sha256").write_text(trusted)
        (folder / "trusted.sha256").chmod(0o600)
        found.append(Server(folder, "--redis-url", redis.url, "--audit-interval-s", "0"))
    for server in found:
        server.start()
    yield found
    for server in found:
        server.stop()


def ask(client: Client, number: int, value: float) -> Answer:
    asked_s = time.time()
    body = body_of(np.array([[value]]), "x")
    status, headers, answer = client.exchange("POST", PATH, body)
    assert status == 200, answer
    (ran_s,) = answer["outputs"][0]["data"]
    return Answer(number, asked_s, ran_s, headers["x-cache-hit"] == "true")


def stale(answers: list[Answer], flushes: list[Flush]) -> list[tuple[Answer, Flush]]:
    """Answers that were computed before a flush which the server had made, or must know of."""
    return [
        (answer, flush)
        for answer in answers
        for flush in flushes
        if answer.asked_s > flush.ended_s + REACHED_S * (answer.server != flush.server)
        and answer.ran_s < flush.began_s
    ]


@pytest.mark.parametrize("away", [False, True])
def test_no_answer_is_older_than_a_flush(
    pair: list[Server], redis: RedisServer, away: bool
) -> None:
    answers: list[Answer] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def go_on(number: int, seed: int) -> None:
        client, chance = Client(pair[number].port), random.Random(seed)
        try:
            while not stop.is_set():
                answers.append(ask(client, number, float(chance.randrange(12))))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=go_on, args=(n % 2, n), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    clients, chance = [Client(server.port) for server in pair], random.Random(7)
    flushes: list[Flush] = []
    while len(flushes) < 16 or away:
        if away and len(flushes) == 4:
            redis.pause()
        if away and len(flushes) == 8:
            redis.go_on()
            until(lambda: all(_shared(client)["owed"] == 0 for client in clients), 10, "told")
            # While it is away nobody can be told: the promise begins with its return.
            flushes.clear()
            away = False
        number, body = chance.randrange(2), chance.choice([{}, {"model": "stamp"}])
        began_s = time.time()
        clients[number].call("POST", "/performance/cache/clear", body)
        flushes.append(Flush(number, began_s, time.time()))
        time.sleep(chance.uniform(0.05, 0.4))
    stop.set()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert sum(answer.hit for answer in answers) > 50, "caches took part"
    assert sum(_shared(client)["hits"] for client in clients) > 5, "and Redis"
    assert stale(answers, flushes) == []


def _shared(client: Client) -> dict[str, int]:
    found: dict[str, int] = client.call("GET", "/performance/cache")[1]["shared"]
    return found


def test_the_check_itself_finds_a_stale_answer() -> None:
    flush = Flush(0, 10.0, 10.1)
    own, other = Answer(0, 10.2, 9.9, True), Answer(1, 10.9, 9.9, True)
    late = Answer(1, 11.2, 9.9, True)
    assert [answer for answer, _ in stale([own, other, late], [flush])] == [own, late]
