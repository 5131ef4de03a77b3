"""Keys on a running server: made, used on the fast lane, revoked, expired; limits; the log."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.integration.access.conftest import API_KEY, StartWith, keys
from tests.waiting import until

INFER = "/v2/models/digits/infer"
ALL = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def served(start_with: StartWith, state: Path) -> RunningServer:
    # Tests ask until a key counts, or no more: as fast as only somebody who guesses does.
    return start_with("--rate-login-per-minute", "0", state=state)


@pytest.fixture(scope="module")
def body(served: RunningServer) -> bytes:
    told = call(served.port, "GET", "/v2/models/digits", headers=ALL)[2]
    name = told["inputs"][0]["name"]
    one = {"name": name, "shape": [1, 64], "datatype": "FP64", "data": [1.5] * 64}
    return json.dumps({"inputs": [one]}).encode()


@pytest.fixture
def connection(served: RunningServer) -> Iterator[http.client.HTTPConnection]:
    held = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    yield held
    held.close()


def infer(
    connection: http.client.HTTPConnection, body: bytes, token: str
) -> http.client.HTTPResponse:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    connection.request("POST", INFER, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def lanes(served: RunningServer) -> dict[str, int]:
    figures: dict[str, int] = call(served.port, "GET", "/performance/system", headers=ALL)[2][
        "http"
    ]["fast_lane"]
    return figures


def test_a_revoked_key_leaves_the_fast_lane_within_two_seconds(
    served: RunningServer, state: Path, body: bytes, connection: http.client.HTTPConnection
) -> None:
    token = keys(state, "create", "--name", "lane", "--scope", "infer")
    until(lambda: infer(connection, body, token).status == 200, 5, "the new key counts")
    before = lanes(served)["answered_together"]
    for number in range(50):
        other = body.replace(b"1.5", str(number).encode(), 1)
        assert infer(connection, other, token).status == 200
    assert lanes(served)["answered_together"] > before + 20, "the lane was not taken"
    keys(state, "revoke", "lane")
    until(lambda: infer(connection, body, token).status == 401, 2.5, "the key is refused")
    assert infer(connection, body, API_KEY).status == 200


@pytest.mark.parametrize("name", ["noop", "live"])
def test_a_lane_of_the_console_ends_with_its_key(
    served: RunningServer, state: Path, connection: http.client.HTTPConnection, name: str
) -> None:
    token = keys(state, "create", "--name", name, "--scope", "view")

    def status() -> int:
        connection.request("GET", f"/performance/{name}", None, {"x-api-key": token})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    until(lambda: status() == 200, 5, "the new key counts")
    assert [status() for _ in range(5)] == [200] * 5
    keys(state, "revoke", name)
    until(lambda: status() == 401, 2.5, "the key is refused")


def test_actions_are_in_the_audit_log_and_on_disk(served: RunningServer, state: Path) -> None:
    token = keys(state, "create", "--name", "operator", "--scope", "operate")
    viewer = keys(state, "create", "--name", "watcher", "--scope", "view")
    operator, watcher = ({"x-api-key": one} for one in (token, viewer))
    flush = ("POST", "/performance/cache/clear", {"tier": "responses"})
    until(lambda: call(served.port, *flush, operator)[0] == 200, 5, "the new key counts")
    assert call(served.port, *flush, watcher)[0] == 403
    assert call(served.port, *flush, {})[0] == 401
    status, _, answer = call(served.port, "GET", "/performance/audit?limit=10", headers=watcher)
    assert status == 200
    done = [entry for entry in answer["entries"] if entry["what"].endswith("/cache/clear")]
    assert [(one["who"].split(" (")[0], one["status"]) for one in done[:2]] == [
        ("key watcher", 403),
        ("key operator", 200),
    ]
    assert done[1]["target"] == {"tier": "responses"}
    assert done[1]["address"] == "127.0.0.1"
    assert done[1]["request"]
    assert {"key create"} <= {entry["what"] for entry in answer["entries"]}
    lines = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
    assert done[1] in lines
    assert token not in (state / "audit.jsonl").read_text()


def test_a_key_that_is_no_bearer_is_none(served: RunningServer) -> None:
    for given in (f"Basic {API_KEY}", API_KEY, "Bearer", "Bearer  "):
        assert call(served.port, "GET", "/v2", headers={"Authorization": given})[0] == 401
    assert call(served.port, "GET", "/v2", headers={"Authorization": f"bearer {API_KEY}"})[0] == 200


def test_a_401_says_how_to_be_let_in(served: RunningServer) -> None:
    status, headers, answer = call(served.port, "GET", "/performance/metrics")
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert answer == {"error": "an API key is needed: Authorization: Bearer KEY"}


def test_the_key_is_in_no_environment_of_a_child(served: RunningServer) -> None:
    import psutil

    for child in psutil.Process(served.process.pid).children(recursive=True):
        try:
            assert API_KEY not in "".join(child.environ().values())
        except psutil.Error:
            continue  # it has ended


def test_limits_hold_on_the_lane_and_say_when_to_come_again(
    start_with: StartWith, body: bytes
) -> None:
    limited = start_with("--rate-infer-per-s", "20", "--rate-actions-per-minute", "5")
    connection = http.client.HTTPConnection("127.0.0.1", limited.port, timeout=30)
    answers = [infer(connection, body, API_KEY) for _ in range(150)]
    statuses = [answer.status for answer in answers]
    assert statuses.count(200) >= 20
    assert statuses.count(429) > 0
    late = next(answer for answer in answers if answer.status == 429)
    assert late.headers["retry-after"] == "1"
    flush = ("POST", "/performance/cache/clear", {}, ALL)
    actions = [call(limited.port, *flush)[0] for _ in range(7)]
    assert actions in ([200] * 5 + [429] * 2, actions)
    assert actions.count(429) >= 1
    connection.close()


def test_guessing_keys_is_as_slow_as_logging_in(start_with: StartWith) -> None:
    served = start_with("--rate-login-per-minute", "5")
    guesses = [
        call(served.port, "GET", "/v2", headers={"x-api-key": f"guess-{number}"})[0]
        for number in range(9)
    ]
    assert guesses[0] == 401
    assert 429 in guesses
    assert call(served.port, "GET", "/v2", headers=ALL)[0] == 200, "a right key still counts"


def test_a_benchmark_of_the_server_itself_gets_a_key_while_it_runs(served: RunningServer) -> None:
    wanted = {"model": "digits", "seconds": 1, "rate_per_s": 20, "warmup_s": 0}
    path = "/performance/benchmarks"
    status, _, begun = call(served.port, "POST", path, wanted, ALL)
    assert status == 202, begun

    def last() -> dict[str, object] | None:
        told = call(served.port, "GET", path, headers=ALL)[2]
        ended: dict[str, object] | None = None if told["running"] else told["last"]
        return ended

    until(lambda: last() is not None, 60, "its end")
    ended = last()
    assert ended is not None
    assert not ended.get("error"), ended
    run = call(served.port, "GET", path, headers=ALL)[2]["runs"][0]
    assert run["errors"] == 0 if "errors" in run else run["valid"], run
