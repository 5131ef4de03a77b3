"""Viewers with equal heads are answered where they are read, as the first of them was."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.waiting import until

LIVE = "/performance/live"
REAL_TIME = "/performance/metrics/real-time"
TAKES_GZIP = {"accept-encoding": "gzip, deflate"}


class Asked:
    """One connection that asks again and again."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(
        self, target: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        self._connection.request(method, target, headers=headers or {})
        answer = self._connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, fields, answer.read()


@pytest.fixture
def asked(server: RunningServer) -> Asked:
    return Asked(server.port)


def seq_of(body: bytes) -> int:
    return int(json.loads(body)["seq"])


@pytest.mark.parametrize("headers", [{}, TAKES_GZIP], ids=["plain", "gzip"])
def test_the_second_answer_is_as_the_first(asked: Asked, headers: dict[str, str]) -> None:
    def shown(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], dict]:
        status, fields, body = answer
        content = gzip.decompress(body) if "content-encoding" in fields else body
        return status, fields, json.loads(content)

    def alike() -> bool:
        """Both fell into one second, and are equal but for their ids."""
        first, second = (
            shown(asked(LIVE + "?since=0", headers)),
            shown(asked(LIVE + "?since=0", headers)),
        )
        if first[2]["seq"] != second[2]["seq"] or first[1]["date"] != second[1]["date"]:
            return False
        assert first[1].pop("x-request-id") != second[1].pop("x-request-id")
        assert ("content-encoding" in first[1]) == bool(headers)
        assert list(first[1]) == list(second[1])
        assert first == second
        return True

    until(alike, 10, "two answers within a second")


def test_each_is_sent_what_it_lacks_by_then(asked: Asked) -> None:
    begun = seq_of(asked(LIVE)[2])
    target = f"{LIVE}?since={begun}"
    lacked: set[int] = set()

    def lacks_three() -> bool:
        content = json.loads(asked(target)[2])
        assert len(content["points"]) == content["seq"] - begun
        lacked.add(content["seq"] - begun)
        return content["seq"] - begun >= 3

    until(lacks_three, 20, "three seconds more")
    assert {1, 2} <= lacked


def test_what_else_is_asked_with_the_same_target_is_looked_at(asked: Asked) -> None:
    for _ in range(3):
        assert asked(LIVE)[0] == 200
        status, fields, body = asked(LIVE, method="HEAD")
        assert (status, body) == (200, b"")
        assert int(fields["content-length"]) > 0
        assert asked(LIVE, {"x-request-id": "mine"})[1]["x-request-id"] == "mine"
        assert asked(LIVE, {"host": "evil.example"})[0] == 403
        assert asked(LIVE + "?since=x")[0] == 400
        assert asked(LIVE, method="POST")[0] == 405


def test_all_of_them_are_counted(server: RunningServer, asked: Asked) -> None:
    def counted() -> int:
        text = call(server.port, "GET", "/metrics")[2].decode()
        family = rf'^pyrometer_http_requests_total{{[^}}]*route="{LIVE}"[^}}]*}} (.+)$'
        return int(sum(map(float, re.findall(family, text, re.MULTILINE))))

    def two_seconds_more() -> None:
        """Records are taken once a second: those of earlier tests too."""
        begun = call(server.port, "GET", REAL_TIME)[2]["seq"]
        until(lambda: call(server.port, "GET", REAL_TIME)[2]["seq"] > begun + 1, 10, "two seconds")

    two_seconds_more()
    before = counted()
    for _ in range(25):
        assert asked(LIVE)[0] == 200
    two_seconds_more()
    assert counted() == before + 25


@contextmanager
def load(port: int) -> Iterator[None]:
    """Requests without a pause until the block ends."""
    over = threading.Event()
    tensor = {"name": "input", "datatype": "FP64", "shape": [1, 30], "data": [0.5] * 30}
    body = json.dumps({"inputs": [tensor]})

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not over.is_set():
            connection.request("POST", "/v2/models/breast_cancer/infer", body)
            assert len(connection.getresponse().read()) > 0

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_under_load_viewers_of_one_second_see_the_same(server: RunningServer) -> None:
    connections = [Asked(server.port) for _ in range(8)]
    with load(server.port):
        seq = seq_of(connections[0](LIVE)[2])
        seen: dict[int, set[bytes]] = {}
        for _ in range(40):
            for ask in connections:
                body = ask(f"{LIVE}?since={seq}")[2]
                seen.setdefault(seq_of(body), set()).add(body)
    assert max(map(len, seen.values())) == 1
