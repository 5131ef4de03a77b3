"""What tests of bad input share: a good request to spoil, and how a refusal must look."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, RunningServer

INFER = "/v2/models/breast_cancer/infer"
ROW = [float(place) + 0.5 for place in range(30)]
GOOD: dict[str, Any] = {"name": "input", "datatype": "FP64", "shape": [1, 30], "data": ROW}
CAP = 16 * 1024 * 1024
MISSING = object()


def with_(**changes: Any) -> dict[str, Any]:
    tensor = GOOD | changes
    return {key: value for key, value in tensor.items() if value is not MISSING}


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


LONG = "9" * 5000


def content_of(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def said(status: int, body: Any) -> str:
    """An error's words; fails where it is no error of ours, or tells of the inside."""
    assert 400 <= status < 500, (status, body)
    assert isinstance(body, dict), body
    assert set(body) == {"error"}, body
    words: str = body["error"]
    assert len(words) < 1000
    assert not any(inner in words for inner in ("Traceback", "site-packages", ".py", str(ROOT)))
    return words


def raw(port: int, method: str, target: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body for a target's own bytes, which http.client would refuse."""
    lines = (b"%b %b HTTP/1.1" % (method.encode(), target), b"Host: localhost")
    head = b"\r\n".join((*lines, b"Content-Length: 0", b"Connection: close", b"", b""))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head)
        data = b""
        while part := client.recv(65_536):
            data += part
    answer, _, body = data.partition(b"\r\n\r\n")
    return int(answer.split(b" ", 2)[1]), answer, body


def status_bytes(running: RunningServer, field: str) -> int:
    for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def resident_bytes(running: RunningServer) -> int:
    return status_bytes(running, "VmRSS")
