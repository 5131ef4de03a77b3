"""Recorded traffic: one JSON object a line.

    {"format": "pyrometer-traffic", "version": 1, "recorded": UTC s,
     "texts": "replaced" | "kept", "jitter_percent": number}             the first line
    {"t": s, "path": "/v2/models/m/infer", "body": {...}}                 a JSON request
    {"t": s, "path": ..., "head": {...}, "binary": base64}                one with binary tensors

t counts from the first request. There are no headers, no addresses and no answers in it.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engine.errors import InvalidInput

FORMAT, VERSION = "pyrometer-traffic", 1
MOST_FILE_BYTES = 512 * 2**20
INFER_PATH = re.compile(r"/v2/models/([!-\"$-.0->@-~]+)(?:/versions/[!-\"$-.0->@-~]+)?/infer")
"""Printable ASCII without #, / and ?: nothing that could end the request line."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request. header_bytes: length of the JSON before binary tensors, if any."""

    time_s: float
    path: str
    body: bytes
    header_bytes: int | None = None


def model_of(path: str) -> str | None:
    """The model that an inference path names; None for any other path."""
    found = INFER_PATH.fullmatch(path)
    return unquote(found[1]) if found else None


def head_line(recorded: float, texts: str, jitter_percent: float) -> bytes:
    """The first line. recorded: UTC seconds."""
    about = {"format": FORMAT, "version": VERSION, "recorded": recorded}
    return json.dumps(about | {"texts": texts, "jitter_percent": jitter_percent}).encode() + b"\n"


def entry_line(time_s: float, path: str, body: Mapping[str, Any], binary: bytes) -> bytes:
    """One request's line. body: its JSON; binary: what follows it, or nothing."""
    entry: dict[str, Any] = {"t": round(time_s, 6), "path": path}
    if binary:
        entry |= {"head": body, "binary": base64.b64encode(binary).decode()}
    else:
        entry["body"] = body
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def read(path: Path, *, model: str | None = None) -> list[Recorded]:
    """The requests of a file, in order. model: those to it only.

    Raises InvalidInput naming the line.
    """
    size = path.stat().st_size
    if size > MOST_FILE_BYTES:
        raise InvalidInput(
            f"payload.path: {path.name} has {size} bytes; at most {MOST_FILE_BYTES} are read"
        )
    entries: list[Recorded] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
                if number == 1:
                    _check_head(value)
                    continue
                entry = _entry(value)
                if entries and entry.time_s < entries[-1].time_s:
                    raise ValueError("t is below that of the line before")
            except (ValueError, KeyError, TypeError, binascii.Error) as error:
                raise InvalidInput(f"payload.path: line {number} of {path.name}: {error}") from None
            if model is None or model_of(entry.path) == model:
                entries.append(entry)
    return entries


def _check_head(value: Any) -> None:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(f"it must say that its format is {FORMAT}")
    if value.get("version") != VERSION:
        raise ValueError(f"version is {value.get('version')!r}; it must be {VERSION}")


def _entry(value: Any) -> Recorded:
    time_s, path = float(value["t"]), str(value["path"])
    if not (math.isfinite(time_s) and time_s >= 0):
        raise ValueError(f"t is {time_s}; it must be a number of seconds")
    if model_of(path) is None:
        raise ValueError(f"path is {path[:80]!r}; it must be one of an inference")
    if "head" not in value:
        return Recorded(time_s, path, json.dumps(value["body"], separators=(",", ":")).encode())
    head = json.dumps(value["head"], separators=(",", ":")).encode()
    binary = base64.b64decode(value["binary"], validate=True)
    return Recorded(time_s, path, head + binary, len(head))
