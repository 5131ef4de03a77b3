"""Strange names, queries, headers and fields, on every route; by both doors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.openapi import BODIES
from tests.conftest import RunningServer
from tests.contract.http import call
from tests.contract.refusals import GOOD, INFER, LONG, nested, raw, said

NAMES = (
    *("%00", "a%00", "..", "%2e%2e", "%252e%252e", "%252e%252e%252f", "..%2f..", "%2e%2e%2f"),
    *("..%5c..", "%c0%ae%c0%ae", "%ff%fe", "%e2%82%ac", "%F0%9F%98%80", "%ED%A0%80", "%zz", "%"),
    *("%0d%0aSet-Cookie:%20x=1", "breast_cancer%00", "breast_cancer%2f1", "%20", "~", "a" * 9000),
)
PATHS = (
    "/v2/models/{}",
    "/v2/models/{}/ready",
    "/v2/models/breast_cancer/versions/{}",
    "/performance/models/{}",
    "/performance/models/{}/plan",
    "/performance/models/{}/samples",
    "/performance/models/{}/latency",
    "/performance/benchmarks/{}",
    "/performance/reports/{}",
    "/performance/experiments/{}",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_strange_name_in_a_path_is_a_json_404(port: int, path: str) -> None:
    for name in NAMES:
        status, headers, answer = raw(port, "GET", path.format(name).encode())
        assert status == 404, (name, status, answer)
        said(status, json.loads(answer))
        assert b"set-cookie" not in headers.lower()


@pytest.mark.parametrize("action", ["load", "unload"])
def test_a_strange_name_in_an_action_is_a_json_404(port: int, action: str) -> None:
    for name in NAMES:
        path = f"/v2/repository/models/{name}/{action}".encode()
        status, _, answer = raw(port, "POST", path)
        assert status == 404, (name, status, answer)
        said(status, json.loads(answer))


QUERIES = (
    "/performance/live?since={}",
    "/performance/metrics/history?window={}",
    "/performance/metrics/history?to=2e9&from={}",
    "/performance/metrics/history?columns={}",
    "/performance/metrics/heatmap?window={}",
    "/performance/export/csv?window={}",
    "/performance/flame-graph?view={}",
    "/performance/flame-graph?view=code&window={}",
    "/performance/flame-graph?view=code&to=2e9&from={}",
    "/performance/benchmarks?since={}",
    "/performance/benchmarks?part={}",
    "/performance/reports/optimization?format={}",
    "/performance/models/breast_cancer/latency?window={}",
    "/performance/audit?limit={}",
    "/performance/export/json?window={}",
)
VALUES = (
    *("%00", "../..", "%252e", "%ff", "%e2%82%ac", "%F0%9F%98%80", "-1", "1e999", "nan", "-inf"),
    *("0x10", "%D9%A1", "%C2%B2", "1_0", "%0d%0a", LONG),
)


@pytest.mark.parametrize("path", QUERIES)
def test_a_strange_value_in_a_query_is_400_and_named(port: int, path: str) -> None:
    name = path.rpartition("?")[2].split("&")[-1].split("=")[0]
    for value in VALUES:
        status, _, answer = raw(port, "GET", path.format(value).encode())
        assert status == 400, (value, status, answer[:300])
        assert name in said(status, json.loads(answer))


def test_a_query_of_many_parameters_is_400(port: int) -> None:
    path = "/performance/live?" + "&".join(f"p{place}=1" for place in range(60))
    status, _, answer = call(port, "GET", path)
    assert "the query has over 50 parameters" in said(status, answer)
    assert status == 400


def test_a_target_that_is_no_ascii_is_400_and_closed(port: int) -> None:
    for target in ("/v2/models/\N{LATIN SMALL LETTER U WITH DIAERESIS}".encode(), b"/v2/\xff"):
        status, _, answer = raw(port, "GET", target)
        assert "not HTTP" in said(status, json.loads(answer))
        assert status == 400


def test_an_answer_in_parts_ends_the_connection_where_that_was_asked(port: int) -> None:
    status, head, body = raw(port, "GET", b"/performance/export/csv?window=1m")
    assert status == 200
    assert b"time_utc" in body
    assert b"connection: close" in head.lower()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("X-Request-Timeout-Ms", value) for value in ("0", "-1", "nan", "inf", "x", LONG)),
        *(("X-Float-Decimals", value) for value in ("-1", "16", "1.5", "\xb2", "x", LONG)),
    ],
    ids=lambda value: value[:24],
)
def test_a_wrong_header_is_400_and_named(port: int, header: str, value: str) -> None:
    fresh = {"Cache-Control": "no-cache", header: value}
    status, _, answer = call(port, "POST", INFER, {"inputs": [GOOD]}, fresh)
    assert header in said(status, answer)
    assert status == 400


def test_a_header_with_underscores_is_no_header_of_ours(port: int) -> None:
    spoofed = {"Inference_Header_Content_Length": "5", "X_Request_Id": "spoofed"}
    status, headers, _ = call(port, "POST", INFER, {"inputs": [GOOD]}, spoofed)
    assert status == 200
    assert headers["x-request-id"] != "spoofed"


HOSTILE: dict[str, Callable[[], Any]] = {
    "deep lists": lambda: nested(900),
    "a huge integer": lambda: 10**400,
    "a huge float": lambda: 1e308,
    "a long text": lambda: "x" * 100_000,
    "NUL": lambda: "\0",
    "a path": lambda: "../../../../etc/passwd",
    "a path, encoded twice": lambda: "%252e%252e%252fetc",
    "other letters": lambda: "\N{GRINNING FACE}\u202e\uffff",
    "an empty text": lambda: "",
    "an empty list": lambda: [],
    "an empty object": lambda: {},
    "a list of everything": lambda: [None, True, 1, 1.5, "a", [], {}],
    "null": lambda: None,
    "true": lambda: True,
    "a negative": lambda: -1,
}
NOT_ASKED = ("/performance/picture", "/performance/reports/measure")
FIELDS = [
    (path, field)
    for path, schema in BODIES.items()
    for field in schema.get("properties", {"anything": {}})
    if path not in NOT_ASKED and "{" not in path
]


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=lambda value: str(value))
def test_no_value_of_any_field_is_a_server_error(port: int, path: str, field: str) -> None:
    for name, value in HOSTILE.items():
        content = json.dumps({field: value()}).encode()
        status, headers, answer = call(port, "POST", path, content)
        assert status < 500, (name, answer)
        assert headers["x-request-id"]
        if status >= 400:
            said(status, answer)


@pytest.mark.parametrize("path", [path for path in BODIES if "{" not in path])
@pytest.mark.parametrize("body", [b"[]", b"{", b"[" * 900 + b"]" * 900, b'"\xff"', b"nan"])
def test_a_body_that_is_no_object_is_400_everywhere(port: int, path: str, body: bytes) -> None:
    if path == "/performance/profile/import":
        return  # it takes any file, and says what is wrong with it
    status, _, answer = call(port, "POST", path, body)
    said(status, answer)
    assert status in (400, 422)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "SEARCH"])
def test_a_method_that_no_route_has_is_a_json_405(port: int, method: str) -> None:
    status, headers, answer = call(port, method, INFER, b"{}")
    said(status, answer)
    assert (status, headers["allow"]) == (405, "POST")


NO_CALLS = (
    *(b"", b"{", b"null", b"1", b"[]", b"{}", b"[" * 900 + b"]" * 900, b"\xff"),
    *(b'{"output": 5}', b'{"output": "a.b"}', b'{"output": "\\u0000", "inputs": []}'),
    b'{"output": "..a.b...c.d..", "inputs": [], "changedPropIds": [], "outputs": []}',
)


@pytest.mark.parametrize("body", NO_CALLS)
def test_what_is_no_callback_of_the_console_is_400(
    flask_door_server: RunningServer, body: bytes
) -> None:
    path, kind = "/_dash-update-component", {"Content-Type": "application/json"}
    status, headers, answer = call(flask_door_server.port, "POST", path, body, kind)
    said(status, answer)
    assert status == 400
    assert headers["x-request-id"]
