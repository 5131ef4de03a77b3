"""A small HTTP client for tests: JSON in, (status, headers, JSON) out."""

from __future__ import annotations

import http.client
import json
from typing import Any


def call(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    """One request to 127.0.0.1; bytes bodies are sent as they are."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, content, headers or {})
        answer = connection.getresponse()
        raw = answer.read()
        kind = answer.getheader("content-type") or ""
        parsed = json.loads(raw) if "json" in kind and raw else raw
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, parsed
    finally:
        connection.close()


def tensor(rows: list[list[float]], name: str = "input", datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(rows), len(rows[0])], "data": rows}
