"""What the answer's bytes may look like, on both doors: gzip, decimals, absent values, ETags."""

from __future__ import annotations

import gzip
import http.client
import json
from typing import Any

import pytest

from tests.contract.http import call, tensor

PATH = "/v2/models/breast_cancer/infer"
ROWS = [[float(place % 7) + 0.1 * row for place in range(30)] for row in range(200)]
BODY: dict[str, Any] = {"inputs": [tensor(ROWS)], "outputs": [{"name": "predict_proba"}]}
NO_CACHE = {"Cache-Control": "no-cache"}
TRANSACTION = {
    "transaction": {
        "from_address": "a",
        "to_address": "b",
        "amount": 950.0,
        "timestamp": "2026-03-01T03:10:00Z",
    }
}


def raw(
    port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_a_large_answer_is_packed_for_those_who_take_it(port: int) -> None:
    body = json.dumps(BODY).encode()
    _, plain_headers, plain = raw(port, "POST", PATH, body, NO_CACHE)
    assert "content-encoding" not in plain_headers
    for accepts in ("gzip", "br, gzip;q=0.5", "*"):
        _, headers, packed = raw(port, "POST", PATH, body, NO_CACHE | {"Accept-Encoding": accepts})
        assert headers["content-encoding"] == "gzip"
        assert headers["vary"] == "accept-encoding"
        assert len(packed) < len(plain)
        assert gzip.decompress(packed) == plain
    for refuses in ("identity", "gzip;q=0", "br"):
        _, headers, same = raw(port, "POST", PATH, body, NO_CACHE | {"Accept-Encoding": refuses})
        assert "content-encoding" not in headers
        assert same == plain


def test_a_small_answer_is_sent_as_it_is(port: int) -> None:
    headers = {"Accept-Encoding": "gzip"}
    assert "content-encoding" not in raw(port, "GET", "/v2/health/live", None, headers)[1]


def test_a_packed_request_is_read_within_the_cap(port: int) -> None:
    plain = call(port, "POST", PATH, BODY, NO_CACHE)
    packed = gzip.compress(json.dumps(BODY).encode())
    headers = NO_CACHE | {"Content-Encoding": "gzip"}
    assert call(port, "POST", PATH, packed, headers)[2] == plain[2]
    bomb = gzip.compress(b" " * 20_000_000)
    status, _, body = call(port, "POST", PATH, bomb, headers)
    assert status == 413
    assert "unpacked" in body["error"]
    for broken in (b"no gzip", packed[:-5], packed + b"x"):
        status, _, body = call(port, "POST", PATH, broken, headers)
        assert status == 400
        assert "gzip" in body["error"]
    status, _, body = call(port, "POST", PATH, b"{}", {"Content-Encoding": "br"})
    assert status == 415
    assert "'br'" in body["error"]


def test_decimals_are_as_asked_and_never_a_zero_that_was_none(port: int) -> None:
    exact = call(port, "POST", PATH, BODY, NO_CACHE)[2]["outputs"][0]["data"]
    for decimals in (4, 2, 0):
        headers = NO_CACHE | {"X-Float-Decimals": str(decimals)}
        short = call(port, "POST", PATH, BODY, headers)[2]["outputs"][0]["data"]
        for before, after in zip(exact, short, strict=True):
            assert abs(before - after) <= 0.5 * 10**-decimals * 1.0001
            assert (after == 0) == (before == 0)
    headers = NO_CACHE | {"X-Float-Decimals": "exact"}
    assert call(port, "POST", PATH, BODY, headers)[2]["outputs"][0]["data"] == exact


@pytest.mark.parametrize("given", ["-1", "16", "two", ""])
def test_decimals_that_are_none_are_400(port: int, given: str) -> None:
    status, _, body = call(port, "POST", PATH, BODY, {"X-Float-Decimals": given})
    assert status == 400
    assert "X-Float-Decimals" in body["error"]


def test_an_analysis_holds_no_null_at_any_depth(port: int) -> None:
    status, _, body = call(port, "POST", "/analyze/fraud", TRANSACTION)
    assert status == 200
    assert "null" not in json.dumps(body)
    _, _, short = call(port, "POST", "/analyze/fraud", TRANSACTION, {"X-Float-Decimals": "2"})
    assert short.keys() == body.keys()
    assert short["fraud_probability"] == pytest.approx(body["fraud_probability"], abs=0.005)


@pytest.mark.parametrize("path", ["/v2", "/v2/models/breast_cancer"])
def test_metadata_is_sent_once_to_those_who_keep_it(port: int, path: str) -> None:
    status, headers, body = raw(port, "GET", path, None, {})
    assert status == 200
    assert headers["cache-control"] == "no-cache"
    again = raw(port, "GET", path, None, {"If-None-Match": headers["etag"]})
    assert (again[0], again[2]) == (304, b"")
    other = raw(port, "GET", path, None, {"If-None-Match": '"other"'})
    assert (other[0], other[2]) == (200, body)


def test_assets_carry_a_validator(port: int) -> None:
    status, headers, _ = raw(port, "GET", "/assets/live.js", None, {})
    assert status == 200
    again = raw(port, "GET", "/assets/live.js", None, {"If-None-Match": headers["etag"]})
    assert (again[0], again[2]) == (304, b"")
