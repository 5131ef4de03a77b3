"""What the gate asks of both servers: one row a request, the same rows in the same order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.wrk import body_of
from engine.errors import InvalidInput

JSON, CACHED, BINARY = "json", "cached", "binary"
CACHED_ROWS = 64
TREES, INSTRUMENTATION = "trees", "instrumentation"


@dataclass(frozen=True, slots=True)
class Case:
    """kind: of the body. compares: two trees, or one tree with its instruments on and off."""

    name: str
    title: str
    model: str
    kind: str
    connections: int
    compares: str = TREES


CASES = (
    Case("forest", "random forest, JSON", "breast_cancer", JSON, 50),
    Case("forest-one", "random forest, JSON", "breast_cancer", JSON, 1),
    Case("logistic", "logistic regression, JSON", "logistic", JSON, 50),
    Case("logistic-one", "logistic regression, JSON", "logistic", JSON, 1),
    Case("cached", "cached answers, JSON", "breast_cancer", CACHED, 50),
    Case("binary", "random forest, binary tensor", "breast_cancer", BINARY, 50),
    Case(
        "instrumentation",
        "telemetry and profiler, on against off",
        "breast_cancer",
        JSON,
        50,
        INSTRUMENTATION,
    ),
)
BY_NAME = {case.name: case for case in CASES}


def chosen_cases(names: str) -> list[Case]:
    """Cases by their names, comma-separated; all for "". Raises InvalidInput naming one unknown."""
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(BY_NAME)
    for name in wanted:
        if name not in BY_NAME:
            raise InvalidInput(f"cases has {name!r}; known are {', '.join(BY_NAME)}")
    return [BY_NAME[name] for name in dict.fromkeys(wanted)]


def requests_of(case: Case, rows: np.ndarray) -> list[bytes]:
    """Whole HTTP requests, one a row of (n, width) float64."""
    if case.kind == CACHED:
        rows = rows[:CACHED_ROWS]
    return [_request(case, rows[place : place + 1]) for place in range(len(rows))]


def _request(case: Case, row: np.ndarray) -> bytes:
    body, lines = body_of(row), ["content-type: application/json"]
    if case.kind != CACHED:
        lines.append("cache-control: no-cache")
    if case.kind == BINARY:
        tensor = {"name": "input", "datatype": "FP64", "shape": list(row.shape)}
        content = np.ascontiguousarray(row, dtype="<f8").tobytes()
        parameters = {"binary_data_size": len(content)}
        head = json.dumps({"inputs": [tensor | {"parameters": parameters}]}).encode()
        body = head + content
        lines = ["content-type: application/octet-stream", "cache-control: no-cache"]
        lines.append(f"inference-header-content-length: {len(head)}")
    lines = [f"POST /v2/models/{case.model}/infer HTTP/1.1", "host: localhost", *lines]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def digest_of(requests: Sequence[bytes]) -> str:
    """SHA-256 of all requests, in order."""
    return hashlib.sha256(b"\n".join(requests)).hexdigest()
