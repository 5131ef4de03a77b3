"""What a process tells its peers, and how that is read: one form, judged strictly.

    {"format": 1, "histogram": {"low_ns", "growth", "buckets"}, "run", "version", "address",
     "time", "started", "since", "seq", "ready", "draining", "resources": {...},
     "alerts": [{"name", "severity"}], "models": [{"name", "version", "state", "digest", "form",
     "serving"}], "models_left_out", "remote", "shared",
     "steps": [{"number", "seconds", "counts": [4], "packed": base64, "models": {name: {...}}}]}

`steps` hold the seconds after `since` up to `seq`, of the run `run`: whoever adds up each
answer's steps has every second once. A process that began anew has another `run`, and its
`since` is 0 whatever was asked for.
"""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from engine.fleet.steps import COUNTS, STEPS, ModelPart, Step
from engine.telemetry.histogram import BUCKETS, GROWTH, LOW_NS

FORMAT = 1
HISTOGRAM = {"low_ns": LOW_NS, "growth": GROWTH, "buckets": BUCKETS}
MOST_BYTES = 4 * 1024 * 1024
"""A longer answer is not read."""
MOST_MODELS, MOST_ALERTS, MOST_NAME = 200, 20, 200
MOST_APART = 16
"""Models whose durations are told apart; those with the most requests."""
MOST_FURTHER_BYTES = 16_384
"""Of what a process tells of its executor, and of its shared tier."""
RESOURCES = ("cpu_percent", "memory_mb", "queued", "queue_used_percent")
MOST_COUNT = 2**53
_RUN = re.compile(r"[0-9a-f]{1,64}")
CELL_BYTES = 6
"""Of a packed histogram: a bucket of 2, a count of 4."""


class BadExport(ValueError):
    """An answer that is no export; says why."""


class Incompatible(ValueError):
    """An export of another form, or of another histogram: it cannot be added to ours."""


@dataclass(frozen=True, slots=True)
class Export:
    """One process' answer. See the module."""

    run: str
    version: str
    address: str
    time: float
    started: float
    since: int
    seq: int
    ready: bool
    draining: bool
    resources: Mapping[str, float | None]
    alerts: Sequence[Mapping[str, Any]] = ()
    models: Sequence[Mapping[str, Any]] = ()
    models_left_out: int = 0
    remote: Mapping[str, Any] | None = None
    shared: Mapping[str, Any] | None = None
    steps: Sequence[Step] = field(default=())

    def as_bytes(self) -> bytes:
        """As it is sent."""
        told = {
            "format": FORMAT,
            "histogram": HISTOGRAM,
            **{name: getattr(self, name) for name in _SENT},
            "steps": [_sent_step(step) for step in self.steps],
        }
        return orjson.dumps(told)


_SENT = (
    *("run", "version", "address", "time", "started", "since", "seq", "ready", "draining"),
    *("resources", "alerts", "models", "models_left_out", "remote", "shared"),
)


def _sent_step(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "seconds": round(step.seconds, 3),
        "counts": step.counts,
        "packed": b64encode(step.packed).decode(),
        "models": {
            name: {
                "requests": part.requests,
                "errors": part.errors,
                "packed": b64encode(part.packed).decode(),
            }
            for name, part in step.models.items()
        },
    }


def further(told: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What is told of an executor or a tier; a remark in its place where it is too long."""
    if told is None or len(orjson.dumps(told)) <= MOST_FURTHER_BYTES:
        return told
    return {"left_out": f"over {MOST_FURTHER_BYTES} bytes"}


def read_export(content: bytes) -> Export:
    """An export from its bytes. Raises BadExport, or Incompatible where it cannot be merged."""
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise BadExport("the answer is no JSON") from None
    if not isinstance(told, dict) or "format" not in told:
        raise BadExport("the answer is no export of a Pyrometer")
    _check_form(told)
    try:
        return _export_of(told)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, BadExport):
            raise
        raise BadExport(f"the export is malformed: {type(error).__name__}") from None


def _check_form(told: Mapping[str, Any]) -> None:
    version, given = str(told.get("version"))[:40], str(told["format"])[:20]
    if told["format"] != FORMAT:
        raise Incompatible(f"version {version} tells format {given}; ours is {FORMAT}")
    if told.get("histogram") != HISTOGRAM:
        raise Incompatible(f"version {version} counts durations in other buckets")


def _export_of(told: Mapping[str, Any]) -> Export:
    steps, models, alerts = (_list(told[name]) for name in ("steps", "models", "alerts"))
    if len(steps) > 2 * STEPS or len(models) > MOST_MODELS or len(alerts) > MOST_ALERTS:
        raise BadExport("the export is longer than any of ours")
    seq, since = _count(told["seq"]), _count(told["since"])
    if since > seq:
        raise BadExport(f"since is {since}, after seq, which is {seq}")
    return Export(
        run=_run(told["run"]),
        version=_name(told["version"]),
        address=_name(told["address"]),
        time=_number(told["time"]),
        started=_number(told["started"]),
        since=since,
        seq=seq,
        ready=bool(told["ready"]),
        draining=bool(told["draining"]),
        resources={name: _known(told["resources"].get(name)) for name in RESOURCES},
        alerts=[{key: _name(one[key]) for key in ("name", "severity")} for one in alerts],
        models=[_model(one) for one in models],
        models_left_out=_count(told["models_left_out"]),
        remote=further(_dict(told.get("remote"))),
        shared=further(_dict(told.get("shared"))),
        steps=[_step(one) for one in steps],
    )


def _model(told: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {key: _name(told[key]) for key in ("name", "version", "state")}
    for key in ("digest", "form"):
        named[key] = None if told.get(key) is None else _name(told[key])
    return named | {"serving": bool(told.get("serving"))}


def _step(told: Mapping[str, Any]) -> Step:
    counts = tuple(_count(one) for one in told["counts"])
    models = told["models"]
    if len(counts) != len(COUNTS) or len(models) > MOST_APART + 1:
        raise BadExport("a step has other counts, or more models, than any of ours")
    parts = {
        _name(name): ModelPart(
            _count(one["requests"]), _count(one["errors"]), _packed(one["packed"])
        )
        for name, one in models.items()
    }
    seconds = _number(told["seconds"])
    if not 0 <= seconds <= 3600:
        raise BadExport(f"a step has {seconds:g} seconds")
    return Step(_count(told["number"]), seconds, counts, _packed(told["packed"]), parts)


def _packed(text: str) -> bytes:
    try:
        content = b64decode(text, validate=True)
    except binascii.Error:
        raise BadExport("a histogram is no base64") from None
    if len(content) % CELL_BYTES or len(content) > BUCKETS * CELL_BYTES:
        raise BadExport(f"a histogram has {len(content)} bytes")
    buckets = np.frombuffer(content, dtype="<u2")[:: CELL_BYTES // 2]
    if len(buckets) and buckets.max() >= BUCKETS:
        raise BadExport(f"a histogram has a bucket past {BUCKETS - 1}")
    return content


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadExport("a list is none")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise BadExport("a name is no text")
    return value[:MOST_NAME]


def _run(value: Any) -> str:
    """It is sent back in an address and a header."""
    if not isinstance(value, str) or not _RUN.fullmatch(value):
        raise BadExport("its run is not of 1 to 64 hexadecimal digits")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MOST_COUNT:
        raise BadExport("a count is no whole number from zero on")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadExport("a figure is no number")
    return float(value)


def _known(value: Any) -> float | None:
    return None if value is None else _number(value)


def _dict(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None
