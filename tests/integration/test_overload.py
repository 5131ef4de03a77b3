"""Slow models, full queues, deadlines, callers that leave, and the end: a real server."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.waiting import until

SLOW_MODEL = """
import time
import numpy as np

class Slow:
    def load(self, folder):
        self.log = folder.parent.parent.parent / "ran.log"

    def predict(self, inputs):
        x = inputs["x"]
        if len(x) == 1 and x[0, 0] >= 0:
            time.sleep({seconds})
        with self.log.open("a") as log:
            print(*x[:, 0].tolist(), file=log)
        if (x[:, 1] == 13).any():
            raise ValueError("unlucky")
        return {{"doubled": x * 2}}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 2]\n'
SLOW_S = 0.2
SLOTS, QUEUE = 1, 4


def slow_repository(folder: Path) -> None:
    """A model that takes SLOW_S for one row not below 0, trusted."""
    version = folder / "models/slow/1"
    version.mkdir(parents=True)
    (version.parent / "model.toml").write_text(TOML)
    source = SLOW_MODEL.format(seconds=SLOW_S)
    (version / "model.py").write_text(source)
    digest = hashlib.sha256(source.encode()).hexdigest()
    (folder / "trusted.sha256").write_text(f"{digest}  model.py\n")


@dataclass
class Slow:
    """A server with the slow model, and the rows that it has run, in order."""

    server: RunningServer
    folder: Path

    def ask(
        self, value: float, second: float = 0.0, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any, float]:
        """Status, headers, body and seconds of one request; `value` names its row."""
        tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [value, second]}
        started = time.monotonic()
        answer = call(self.server.port, "POST", PATH, {"inputs": [tensor]}, headers)
        return *answer, time.monotonic() - started

    def ran(self) -> list[list[float]]:
        """The first column of every run so far."""
        lines = (self.folder / "ran.log").read_text().splitlines()
        return [[float(word) for word in line.split()] for line in lines]

    def occupy(self, pool: ThreadPoolExecutor, value: float) -> Future[Any]:
        """Have the slot busy with a request of this value."""
        asked = pool.submit(self.ask, value, 0.0, {"Cache-Control": "no-cache"})
        until(lambda: self.scheduler()["running"] == 1, 5, "the slot is busy")
        return asked

    def scheduler(self) -> dict[str, int]:
        figures = call(self.server.port, "GET", "/performance/system")[2]
        found: dict[str, int] = figures["engine"]["scheduler"]
        return found


PATH = "/v2/models/slow/infer"
Start = Callable[..., Slow]


@pytest.fixture(scope="module")
def start(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Start:
    def start(*flags: str) -> Slow:
        folder = tmp_path_factory.mktemp("slow")
        slow_repository(folder)
        more = ["--trust-file", str(folder / "trusted.sha256"), "--cpu-slots", str(SLOTS)]
        more += ["--model-queue", str(QUEUE), *flags]
        return Slow(start_server(folder / "models", folder / "state", *more), folder)

    return start


@pytest.fixture(scope="module")
def slow(start: Start) -> Slow:
    return start("--batching", "off")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as made:
        yield made


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    slow: Slow, pool: ThreadPoolExecutor
) -> None:
    first = slow.occupy(pool, 1.0)
    waiting = [pool.submit(slow.ask, 2.0 + place) for place in range(QUEUE)]
    until(lambda: slow.scheduler()["queued"] == QUEUE, 5, "the queue is full")
    for place in range(5):
        status, headers, body, took_s = slow.ask(50.5 + place)
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        assert "'slow'" in str(body)
        assert took_s < SLOW_S / 2
    assert [first.result()[0]] + [w.result()[0] for w in waiting] == [200] * (QUEUE + 1)
    assert not {50.5 + place for place in range(5)} & {row for run in slow.ran() for row in run}


def test_a_deadline_that_passes_in_the_queue_is_504_and_never_runs(
    slow: Slow, pool: ThreadPoolExecutor
) -> None:
    first = slow.occupy(pool, 1.0)
    status, _, body, took_s = slow.ask(60.0, headers={"X-Request-Timeout-Ms": "40"})
    assert status == 504
    assert "40 ms" in str(body)
    assert 0.03 < took_s < SLOW_S
    assert first.result()[0] == 200
    assert slow.ask(-1.0)[0] == 200
    assert not any(60.0 in run for run in slow.ran())


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "1e12"])
def test_a_deadline_that_is_none_is_400(slow: Slow, given: str) -> None:
    status, _, body, _ = slow.ask(-1.0, headers={"X-Request-Timeout-Ms": given})
    assert status == 400
    assert "X-Request-Timeout-Ms" in str(body)


def test_a_caller_that_leaves_is_not_computed_for(slow: Slow, pool: ThreadPoolExecutor) -> None:
    first = slow.occupy(pool, 1.0)
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [70.0, 0.0]}
    body = json.dumps({"inputs": [tensor]})
    gone = http.client.HTTPConnection("127.0.0.1", slow.server.port)
    gone.request("POST", PATH, body)
    until(lambda: slow.scheduler()["queued"] == 1, 5, "it waits")
    gone.close()
    until(lambda: slow.scheduler()["queued"] == 0, 5, "it has left the queue")
    assert first.result()[0] == 200
    assert slow.ask(-1.0)[0] == 200
    assert not any(70.0 in run for run in slow.ran())


def test_a_fast_request_and_health_do_not_wait_for_slow_ones(
    slow: Slow, pool: ThreadPoolExecutor
) -> None:
    running = [slow.occupy(pool, 1.0), pool.submit(slow.ask, 2.0)]
    started = time.monotonic()
    assert call(slow.server.port, "GET", "/v2/health/live")[0] == 200
    assert call(slow.server.port, "GET", "/performance/live?since=0")[0] == 200
    assert time.monotonic() - started < SLOW_S
    assert [one.result()[0] for one in running] == [200, 200]


def test_equal_requests_at_once_run_once(slow: Slow, pool: ThreadPoolExecutor) -> None:
    first = slow.occupy(pool, 1.0)
    asked = [pool.submit(slow.ask, 80.0) for _ in range(QUEUE + 4)]
    assert {one.result()[0] for one in asked} == {200}
    assert first.result()[0] == 200
    assert sum(run.count(80.0) for run in slow.ran()) == 1


def test_waiting_rows_run_as_one_and_a_poison_row_fails_alone(
    start: Start, pool: ThreadPoolExecutor
) -> None:
    slow = start()
    first = slow.occupy(pool, 1.0)
    good = [pool.submit(slow.ask, 90.0 + place) for place in range(QUEUE)]
    answers = [one.result() for one in good]
    assert [answer[0] for answer in answers] == [200] * QUEUE
    for place, answer in enumerate(answers):
        outputs = answer[2]["outputs"]
        assert outputs[0]["data"] == [2 * (90.0 + place), 0.0]
    assert any(len(run) > 1 for run in slow.ran())
    assert any(int(answer[1].get("x-batch-rows", "1")) > 1 for answer in answers)
    first.result()
    first = slow.occupy(pool, 1.0)
    mixed = [pool.submit(slow.ask, -3.0 - place, 13.0 * (place == 2)) for place in range(QUEUE)]
    statuses = [one.result()[0] for one in mixed]
    assert statuses == [200, 200, 400, 200]
    first.result()


def test_a_slow_answer_survives_a_restart(
    start: Start, start_server: StartServer, pool: ThreadPoolExecutor
) -> None:
    slow = start()
    assert slow.ask(100.0)[1]["x-cache-hit"] == "false"
    runs = len(slow.ran())
    assert slow.server.stop() == 0
    flags = ["--trust-file", str(slow.folder / "trusted.sha256")]
    server = start_server(slow.folder / "models", slow.folder / "state", *flags)
    again = Slow(server, slow.folder)
    status, headers, body, took_s = again.ask(100.0)
    assert (status, headers["x-cache-hit"]) == (200, "true")
    assert body["outputs"][0]["data"] == [200.0, 0.0]
    assert took_s < SLOW_S / 2
    assert not any(100.0 in run for run in again.ran()[runs:])


def test_the_end_finishes_what_was_accepted(start: Start, pool: ThreadPoolExecutor) -> None:
    slow = start("--batching", "off")
    asked = [slow.occupy(pool, 1.0), pool.submit(slow.ask, 2.0), pool.submit(slow.ask, 3.0)]
    until(lambda: slow.scheduler()["queued"] == 2, 5, "two wait")
    ready = http.client.HTTPConnection("127.0.0.1", slow.server.port, timeout=10)
    ready.connect()
    assert slow.server.stop() == 0
    assert [one.result()[0] for one in asked] == [200, 200, 200]
    with pytest.raises(ConnectionRefusedError):
        call(slow.server.port, "GET", "/v2/health/live")
    ready.close()
