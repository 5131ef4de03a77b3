"""Bodies over the cap, packed in other ways, or meant to take memory; by both doors."""

from __future__ import annotations

import gzip
import http.client
import zlib
from functools import cache

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.contract.refusals import (
    CAP,
    INFER,
    ROW,
    content_of,
    resident_bytes,
    said,
    status_bytes,
    with_,
)


def test_a_body_over_the_cap_is_413_whatever_it_holds(port: int) -> None:
    for path in (INFER, "/analyze/fraud", "/performance/warmup"):
        status, _, answer = call(port, "POST", path, b"[" * (CAP + 1))
        assert (status, said(status, answer)) == (
            413,
            f"body has {CAP + 1} bytes; the limit is {CAP}",
        )


ENCODINGS = ("deflate", "br", "zstd", "compress", "x-gzip", "gzip, gzip", "GZIP2", "\xff", "*")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", [INFER, "/analyze/contract", "/performance/warmup"])
def test_an_encoding_other_than_gzip_is_415(port: int, path: str, encoding: str) -> None:
    status, headers, answer = call(port, "POST", path, b"{}", {"Content-Encoding": encoding})
    assert "content-encoding is" in said(status, answer)
    assert status == 415
    assert headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + b"more"],
    ids=["empty", "none", "cut", "followed"],
)
def test_a_body_that_is_no_gzip_is_400(port: int, body: bytes) -> None:
    status, _, answer = call(port, "POST", INFER, body, {"Content-Encoding": "gzip"})
    assert "body is no gzip" in said(status, answer)
    assert status == 400


def test_a_packed_wrong_request_is_400_as_an_unpacked_one(port: int) -> None:
    ragged = with_(shape=[2, 30], data=[ROW, ROW[:3]])
    packed = gzip.compress(content_of({"inputs": [ragged]}))
    status, _, answer = call(port, "POST", INFER, packed, {"Content-Encoding": "gzip"})
    assert "'input' has ragged data" in said(status, answer)


def test_bombs_are_413_and_take_no_memory(port: int, request: pytest.FixtureRequest) -> None:
    running = _running(port, request)
    bomb = _zeros_packed(16 * CAP)  # 256 MB, packed to about 256 KB
    send = {"Content-Encoding": "gzip"}
    for _ in range(3):
        assert call(port, "POST", INFER, bomb, send)[0] == 413
    before = resident_bytes(running)
    for _ in range(20):
        status, _, answer = call(port, "POST", INFER, bomb, send)
        assert status == 413
        assert "when unpacked" in said(status, answer)
    assert resident_bytes(running) - before < 2 * CAP


def test_texts_among_numbers_take_no_memory(port: int, request: pytest.FixtureRequest) -> None:
    """numpy would make every element as long as the longest: 120 KB of JSON, 4 GB of array."""
    running = _running(port, request)
    data = ["x" * 40_000, *[0.5] * 29_999]
    body = content_of({"inputs": [with_(shape=[1000, 30], data=data)]})
    call(port, "POST", INFER, body)
    before = _most_resident_bytes(running)
    assert call(port, "POST", INFER, body)[0] == 400
    assert _most_resident_bytes(running) - before < 2 * CAP


@cache
def _zeros_packed(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"\0" * (1 << 20)
    packed = [packer.compress(zeros) for _ in range(size >> 20)]
    return b"".join((*packed, packer.flush()))


def _running(port: int, request: pytest.FixtureRequest) -> RunningServer:
    for fixture in ("server", "flask_door_server"):
        running: RunningServer = request.getfixturevalue(fixture)
        if running.port == port:
            return running
    raise AssertionError(port)


def _most_resident_bytes(running: RunningServer) -> int:
    return status_bytes(running, "VmHWM")


def test_long_targets_are_not_kept(server: RunningServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask(times: int) -> None:
        for place in range(times):
            connection.request("GET", f"/v2/health/live?{place}{'x' * 60_000}")
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()

    ask(50)
    before = resident_bytes(server)
    ask(1500)  # 90 MB
    assert resident_bytes(server) - before < 2 * CAP
    connection.close()
