"""What a benchmark started from the console may ask: fields, bounds, defaults, targets.

The load lab has bounds of its own; these are the console's, and no wider. From here only servers
on this machine are loaded: whoever reaches the console must not reach others through it.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.config import Settings
from engine.errors import InvalidInput

Spec = dict[str, Any]
MOST_FILES = 100
MOST_TEXT = 200
MOST_NAME = 80
LONGEST_S = 3600.0
FOLDERS = {"file": "payloads", "traffic": "traffic"}
"""Folders of the state directory that a payload's file may come from, by its source."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "rate_per_s": (0.1, 200_000),
    "connections": (1, 1000),
    "seconds": (1, LONGEST_S),
    "warmup_s": (0, 60),
    "timeout_s": (0.1, 60),
    "payload.rows": (1, 10_000),
    "payload.speed": (0.01, 100),
    "slo.p99_ms": (0.01, 60_000),
    "slo.error_percent": (0, 100),
    "ramp.from_per_s": (0.1, 200_000),
    "ramp.to_per_s": (0.1, 200_000),
    "ramp.steps": (2, 50),
    "ramp.step_s": (1, 600),
    "seed": (0, 2**31 - 1),
}
WHOLE = frozenset({"connections", "payload.rows", "ramp.steps", "seed"})
MAY_BE_NULL = frozenset({"rate_per_s", "payload.speed", "slo.p99_ms", "slo.error_percent"})
CHOICES: Mapping[str, tuple[str, ...]] = {
    "loop": ("open", "closed"),
    "arrivals": ("constant", "poisson"),
    "payload.source": ("samples", *FOLDERS),
}
DEFAULTS: Mapping[str, Any] = {
    "name": "",
    "url": None,
    "model": "",
    "version": None,
    "loop": "open",
    "arrivals": "poisson",
    "rate_per_s": 500.0,
    "connections": 50,
    "seconds": 20.0,
    "warmup_s": 2.0,
    "timeout_s": 5.0,
    "payload": {"source": "samples", "path": None, "rows": 500, "speed": None, "cache": False},
    "slo": {"p99_ms": 100.0, "error_percent": 1.0},
    "ramp": None,
    "seed": 1,
}
RAMP: Mapping[str, Any] = {"from_per_s": 500.0, "to_per_s": 4000.0, "steps": 8, "step_s": 5.0}


def spec_of(body: Mapping[str, Any], own_url: str | None, state: Path) -> Spec:
    """A whole specification for the load lab; what is absent takes its default.

    own_url: this server's own address, for a body without one. Raises InvalidInput.
    """
    spec = _merged(body, DEFAULTS, "")
    spec["ramp"] = _merged(body["ramp"], RAMP, "ramp.") if body.get("ramp") is not None else None
    spec["url"] = target_of(spec["url"], own_url)
    for field in ("name", "model"):
        spec[field] = _text(spec[field], field, MOST_NAME if field == "name" else MOST_TEXT)
    if spec["version"] is not None:
        spec["version"] = _text(spec["version"], "version", MOST_TEXT)
    if not spec["model"]:
        raise InvalidInput("model is missing; it names the model that is asked")
    for field, known in CHOICES.items():
        if (value := _at(spec, field)) not in known:
            raise InvalidInput(f"{field} is {str(value)[:40]!r}; it must be {' or '.join(known)}")
    for field, bounds in BOUNDS.items():
        if spec["ramp"] is not None or not field.startswith("ramp."):
            _put(spec, field, _number(_at(spec, field), field, bounds))
    return _consistent(spec, state)


def _consistent(spec: Spec, state: Path) -> Spec:
    """What one field means for another; the load lab's own checks come last."""
    from bench.lab.spec import spec_from  # only here: a server that measures nothing needs none

    payload, ramp = spec["payload"], spec["ramp"]
    if ramp is not None and ramp["steps"] * ramp["step_s"] > LONGEST_S:
        raise InvalidInput(f"ramp.steps times ramp.step_s must be at most {LONGEST_S:g} s")
    if payload["source"] != "traffic":
        payload["speed"] = None
    if spec["loop"] == "closed" or ramp is not None or payload["speed"] is not None:
        spec["rate_per_s"] = None
    payload["path"] = payload_path(payload["path"], payload["source"], state)
    return spec_from(spec).as_dict()


def _merged(given: Any, defaults: Mapping[str, Any], place: str) -> Spec:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{place.rstrip('.') or 'body'} must be an object")
    for name in given:
        if name not in defaults:
            known = ", ".join(f"{place}{one}" for one in defaults)
            raise InvalidInput(f"unknown field {f'{place}{name}'[:80]!r}; known: {known}")
    spec: Spec = {}
    for name, default in defaults.items():
        value = given.get(name, default)
        nested = isinstance(default, Mapping)
        spec[name] = _merged(value, default, f"{place}{name}.") if nested else value
    return spec


def _at(spec: Spec, field: str) -> Any:
    first, _, second = field.partition(".")
    return spec[first][second] if second else spec[first]


def _put(spec: Spec, field: str, value: Any) -> None:
    first, _, second = field.partition(".")
    if second:
        spec[first][second] = value
    else:
        spec[first] = value


def _text(value: Any, field: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise InvalidInput(f"{field} must be a text of at most {most} characters, in one line")
    return value.strip()


def _number(value: Any, field: str, bounds: tuple[float, float]) -> float | None:
    if value is None and field in MAY_BE_NULL:
        return None
    low, high = bounds
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise InvalidInput(f"{field} is {str(value)[:40]!r}; it must be {low:g} to {high:g}")
    if field in WHOLE and value != int(value):
        raise InvalidInput(f"{field} is {value:g}; it must be a whole number")
    return int(value) if field in WHOLE else float(value)


def target_of(url: Any, own_url: str | None) -> str:
    """The server to load: this one, or another on this machine. Raises InvalidInput."""
    if url is None or url == "" or (own_url is not None and url == own_url):
        if own_url is None:
            raise InvalidInput("url is missing, and this server does not listen on loopback")
        return own_url
    if not isinstance(url, str) or len(url) > MOST_TEXT:
        raise InvalidInput(f"url must be a text of at most {MOST_TEXT} characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        raise InvalidInput(f"url is {url[:80]!r}; it must be like http://127.0.0.1:8050") from None
    plain = parts.scheme == "http" and parts.path in ("", "/") and not parts.query
    if not plain or parts.username is not None or parts.fragment:
        raise InvalidInput(f"url is {url[:80]!r}; it must be like http://127.0.0.1:8050")
    if not _is_loopback(host):
        raise InvalidInput(
            f"url is {url[:80]!r}; only a loopback address, a server on this machine, can be a "
            "target here: whoever reaches this console could load other machines through it. "
            "Use `pyrometer bench run --url` for those"
        )
    host = "127.0.0.1" if host == "localhost" else host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_url(settings: Settings, host_header: str) -> str | None:
    """This server's own address; None where it listens on none that is known.

    host_header: what the caller asked for, which has the port where a free one was taken.
    """
    named = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
    host = named.get(settings.host, settings.host)
    port = settings.port or _port_in(host_header)
    if port is None:
        return None
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port_in(host_header: str) -> int | None:
    port = host_header.rpartition("]")[2].rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 else None


def files_of(state: Path) -> dict[str, list[str]]:
    """The payload files that may be chosen, by source; at most MOST_FILES each."""
    found: dict[str, list[str]] = {}
    for source, folder in FOLDERS.items():
        try:
            names = [one.name for one in (state / folder).iterdir() if one.is_file()]
        except OSError:
            names = []
        found[source] = sorted(names)[:MOST_FILES]
    return found


def payload_path(name: Any, source: str, state: Path) -> str | None:
    """The whole path of a payload's file, chosen by its name. Raises InvalidInput.

    Only files of the state directory's own folders: a path would let a caller have any file
    read.
    """
    folder = FOLDERS.get(source)
    if folder is None:
        return None
    known = files_of(state)[source]
    if not isinstance(name, str) or name not in known:
        raise InvalidInput(
            f"payload.path is {str(name)[:80]!r}; it must be the name of a file in <state>/{folder}"
        )
    return str((state / folder / name).resolve())
