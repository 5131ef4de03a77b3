"""The fast lane answers as the usual path does, and leaves to it whatever is unusual."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import RunningServer
from tests.contract.http import call

PATH = "/v2/models/breast_cancer/infer"
NO_CACHE = {"Cache-Control": "no-cache"}
USUAL = {"X-Request-ID": "usual-path"}
"""A request id of the caller's own keeps a request out of the lane."""


@pytest.fixture
def connection(server: RunningServer) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def rows(bundled_models: Path) -> np.ndarray:
    with np.load(bundled_models / "breast_cancer/1/samples.npz") as samples:
        return np.asarray(samples["input"], dtype=np.float64)


def body_of(matrix: Any, **tensor: Any) -> bytes:
    shape = list(np.shape(matrix))
    item = {"name": "input", "datatype": "FP64", "shape": shape, "data": matrix} | tensor
    return json.dumps({"inputs": [item]}).encode()


def ask(
    connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    connection.request("POST", PATH, body, headers)
    answer = connection.getresponse()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def lane_figures(server: RunningServer) -> dict[str, int]:
    figures: dict[str, int] = call(server.port, "GET", "/performance/system")[2]["http"][
        "fast_lane"
    ]
    return figures


def flat(matrix: np.ndarray) -> bytes:
    return body_of(matrix.tolist(), shape=list(matrix.shape), data=matrix.reshape(-1).tolist())


@pytest.mark.parametrize("headers", [NO_CACHE, {}])
def test_both_paths_answer_the_same_bytes(
    connection: http.client.HTTPConnection, rows: np.ndarray, headers: dict[str, str]
) -> None:
    for size in (1, 1, 2, 3, 5):
        for first in range(0, 60, 7):
            part = rows[first : first + size]
            for body in (flat(part), body_of(part.tolist())):
                usual = ask(connection, body, NO_CACHE | USUAL)
                fast = ask(connection, body, headers)
                assert fast[0] == usual[0] == 200
                assert fast[2] == usual[2]


def test_many_callers_each_get_their_own_rows(server: RunningServer, rows: np.ndarray) -> None:
    expected = {
        place: call(server.port, "POST", PATH, flat(rows[place : place + 1]), USUAL)[2]["outputs"]
        for place in range(64)
    }

    def asker(number: int) -> int:
        wrong = 0
        opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for step in range(150):
            place = (number * 37 + step) % 64
            status, _, body = ask(opened, flat(rows[place : place + 1]), NO_CACHE)
            wrong += status != 200 or json.loads(body)["outputs"] != expected[place]
        opened.close()
        return wrong

    before = lane_figures(server)
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(asker, range(16))) == 0
    after = lane_figures(server)
    assert after["answered_together"] - before["answered_together"] > 2000
    assert after["runs_together"] - before["runs_together"] < 2400  # some ran together


UNUSUAL: list[tuple[Any, int, str]] = [
    ({"data": [None] * 30}, 200, ""),
    ({"data": ["1"] * 30}, 400, "input"),
    ({"data": [1.0] * 29}, 400, "29 elements"),
    ({"data": [[1.0] * 15, [1.0] * 15]}, 400, "shape"),
    ({"data": [1e300] * 30}, 400, "beyond"),
    ({"data": [2**70] + [1.0] * 29}, 400, "64 bits"),
    ({"shape": [True, 30], "data": [1.0] * 30}, 400, "shape"),
    ({"shape": [0, 30], "data": []}, 400, "0 rows"),
    ({"shape": [1, 31], "data": [1.0] * 31}, 400, "the model takes"),
    ({"name": "other", "data": [1.0] * 30}, 400, "other"),
    ({"datatype": "FP32", "data": [1.0] * 30}, 200, ""),
    ({"data": [1] * 30}, 200, ""),
]


@pytest.mark.parametrize(("tensor", "status", "named"), UNUSUAL)
def test_the_unusual_is_told_as_by_the_usual_path(
    connection: http.client.HTTPConnection,
    rows: np.ndarray,
    tensor: dict[str, Any],
    status: int,
    named: str,
) -> None:
    body = body_of([[0.0] * 30], **tensor)
    usual = ask(connection, body, NO_CACHE | USUAL)
    for _ in range(2):  # the first request with this head opens the lane
        fast = ask(connection, body, NO_CACHE)
        assert (fast[0], fast[2]) == (usual[0], usual[2])
    assert usual[0] == status
    assert named in usual[2].decode()


def test_one_bad_row_fails_alone(server: RunningServer, rows: np.ndarray) -> None:
    good, bad = flat(rows[:1]), body_of([[1e300] * 30])

    def asker(number: int) -> set[int]:
        opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = bad if number == 0 else good
        seen = {ask(opened, body, NO_CACHE)[0] for _ in range(100)}
        opened.close()
        return seen

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(asker, range(8)))
    assert seen == [{400}] + [{200}] * 7


def test_a_kept_response_is_marked_and_a_flush_forgets_it(
    connection: http.client.HTTPConnection, server: RunningServer, rows: np.ndarray
) -> None:
    body = flat(rows[11:12] * 1.25)
    hits = [ask(connection, body, {})[1]["x-cache-hit"] for _ in range(3)]
    assert hits[-1] == "true"
    for tier in ("responses", "results"):
        assert call(server.port, "POST", "/performance/cache/clear", {"tier": tier})[0] == 200
    assert ask(connection, body, {})[1]["x-cache-hit"] == "false"


def test_a_header_that_asks_for_something_is_heard_beside_a_lane_in_use(
    server: RunningServer, connection: http.client.HTTPConnection, rows: np.ndarray
) -> None:
    body = flat(rows[:1])
    for _ in range(3):
        assert ask(connection, body, NO_CACHE)[0] == 200
    asked = NO_CACHE | {"X-Request-ID": "heard", "X-Float-Decimals": "1"}
    for _ in range(5):
        _, headers, content = ask(connection, body, asked)
        assert headers["x-request-id"] == "heard"
        for output in json.loads(content)["outputs"]:
            assert all(round(value, 1) == value for value in output["data"]), output
