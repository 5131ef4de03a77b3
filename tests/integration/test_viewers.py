"""Viewers with equal heads are answered where they are read, as the first of them was."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Any

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


def answered_where_read(server: RunningServer) -> int:
    told = call(server.port, "GET", "/performance/system")[2]
    return int(told["http"]["fast_lane"]["viewers"])


@pytest.mark.parametrize("headers", [{}, TAKES_GZIP], ids=["plain", "gzip"])
def test_the_second_answer_is_as_the_first(
    server: RunningServer, asked: Asked, headers: dict[str, str]
) -> None:
    tries = itertools.count()

    def shown(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], Any]:
        status, fields, body = answer
        content = gzip.decompress(body) if "content-encoding" in fields else body
        return status, fields, json.loads(content)

    def alike() -> bool:
        """Both fell into one second, and are equal but for their ids."""
        own = headers | {"x-nobody-else": f"{len(headers)}-{next(tries)}"}
        before = answered_where_read(server)
        first = shown(asked(LIVE + "?since=0", own))
        assert answered_where_read(server) == before
        second = shown(asked(LIVE + "?since=0", own))
        assert answered_where_read(server) == before + 1
        if first[2]["seq"] != second[2]["seq"] or first[1]["date"] != second[1]["date"]:
            return False
        assert first[1].pop("x-request-id") != second[1].pop("x-request-id")
        assert ("content-encoding" in first[1]) == bool(headers)
        assert list(first[1]) == list(second[1])
        assert first == second
        return True

    until(alike, 10, "two answers within a second")


def test_who_has_asked_for_hours_is_answered_as_on_the_first_day(
    server: RunningServer, asked: Asked
) -> None:
    """Another second each time, and far more of them than heads are looked up in vain."""
    own = {"x-nobody-else": "hours"}
    assert asked(f"{LIVE}?since=1", own)[0] == 200
    before = answered_where_read(server)
    for since in (*range(2, 62), 10**14, 0):
        status, _, body = asked(f"{LIVE}?since={since}", own)
        assert status == 200
        assert seq_of(body) > 0
    assert answered_where_read(server) == before + 62


def test_what_a_browser_asked_for_before_is_no_hindrance(
    server: RunningServer, asked: Asked
) -> None:
    own = {"x-nobody-else": "browser"}
    for number in range(40):
        assert asked(f"/v2/health/live?{number}")[0] == 200
    before = answered_where_read(server)
    for since in (1, 2, 3):
        assert asked(f"{LIVE}?since={since}", own)[0] == 200
    assert answered_where_read(server) == before + 2


def test_each_is_sent_what_it_lacks_by_then(asked: Asked) -> None:
    begun = seq_of(asked(LIVE)[2])
    lacked: set[int] = set()

    def lacks_more() -> bool:
        content = json.loads(asked(f"{LIVE}?since={begun}")[2])
        assert len(content["points"]) == content["seq"] - begun
        lacked.add(content["seq"] - begun)
        return len(lacked - {0}) >= 2

    until(lacks_more, 20, "two later seconds")


def test_what_else_is_asked_with_the_same_target_is_looked_at(asked: Asked) -> None:
    target = LIVE + "?since=5"
    for _ in range(3):
        assert asked(target)[0] == 200
        status, fields, body = asked(target, method="HEAD")
        assert (status, body) == (200, b"")
        assert int(fields["content-length"]) > 0
        assert asked(target, {"x-request-id": "mine"})[1]["x-request-id"] == "mine"
        assert asked(target, {"host": "evil.example"})[0] == 403
        for since in ("x", "-1", "1x", "1" * 16, "%31x"):
            assert asked(f"{LIVE}?since={since}")[0] == 400
        assert asked(target, method="POST")[0] == 405
    assert asked(f"{LIVE}?since=")[0] == 200
    assert asked(f"{LIVE}?since=5&since=x")[0] == 200


def test_requests_sent_ahead_are_all_answered(server: RunningServer) -> None:
    one = b"GET /performance/live?since=7 HTTP/1.1\r\nhost: localhost\r\nx-ahead: 1\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
        client.makefile("rb") as reader,
    ):
        for ahead in (1, 1, 3):
            client.sendall(one * ahead)
            assert all(_next_seq(reader) > 0 for _ in range(ahead))
            client.sendall(one[:40])
            client.sendall(one[40:])
            assert _next_seq(reader) > 0


def _next_seq(reader: BufferedReader) -> int:
    """Read one whole answer; its seq."""
    assert reader.readline().startswith(b"HTTP/1.1 200")
    length = 0
    while (line := reader.readline().lower()) != b"\r\n":
        length = int(line.split(b":")[1]) if b"content-length" in line else length
    return int(json.loads(reader.read(length))["seq"])


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
    for since in range(25):
        assert asked(f"{LIVE}?since={since}")[0] == 200
    two_seconds_more()
    assert counted() == before + 25


@contextmanager
def load(port: int) -> Iterator[set[int]]:
    """Requests without a pause until the block ends; the statuses that they are answered with."""
    over, statuses = threading.Event(), set[int]()
    tensor = {"name": "input", "datatype": "FP64", "shape": [1, 30], "data": [0.5] * 30}
    body = json.dumps({"inputs": [tensor]})

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not over.is_set():
            connection.request("POST", "/v2/models/breast_cancer/infer", body)
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_under_load_viewers_of_one_second_see_the_same(server: RunningServer) -> None:
    connections = [Asked(server.port) for _ in range(8)]
    with load(server.port) as statuses:
        seq = seq_of(connections[0](LIVE)[2])
        seen: dict[int, set[bytes]] = {}
        for _ in range(40):
            for ask in connections:
                body = ask(f"{LIVE}?since={seq}")[2]
                seen.setdefault(seq_of(body), set()).add(body)
    assert max(map(len, seen.values())) == 1
    assert statuses == {200}
