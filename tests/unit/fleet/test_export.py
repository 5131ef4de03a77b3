"""Exports: what is read is what was told, and nothing else is taken."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import orjson
import pytest

from engine.fleet.export import (
    HISTOGRAM,
    MOST_MODELS,
    BadExport,
    Incompatible,
    further,
    read_export,
)
from tests.unit.fleet.exports import START_S, at, export_of, model, step_of


def told(**changes: Any) -> bytes:
    """A good export with some fields changed; None takes a field away."""
    export = export_of("d1", [step_of(at(START_S), [1.0, 2.0])], models=[model("m")])
    fields = orjson.loads(export.as_bytes()) | changes
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})


def step(**changes: Any) -> list[dict[str, Any]]:
    return [orjson.loads(told())["steps"][0] | changes]


def test_what_is_read_is_what_was_told() -> None:
    export = export_of(
        "d1",
        [step_of(at(START_S), [1.0, 2.0, 300.0], errors=1)],
        since=4,
        models=[model("m", "2", "bb", "slow")],
        alerts=[{"name": "errors", "severity": "critical"}],
        remote={"executor": "ray"},
    )
    assert read_export(export.as_bytes()) == export


def test_another_format_or_histogram_is_incompatible() -> None:
    with pytest.raises(Incompatible, match=r"version 9\.9 tells format 2; ours is 1"):
        read_export(told(format=2))
    with pytest.raises(Incompatible, match="other buckets"):
        read_export(told(histogram=HISTOGRAM | {"growth": 1.05}))
    with pytest.raises(Incompatible, match="other buckets"):
        read_export(told(histogram=None))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"error": "not found"}',
        told(run=None),
        told(run=7),
        told(run=""),
        told(run="a1&since=0"),
        told(run="a1\r\nx: y"),
        told(run="a1\n"),
        told(run="A1"),
        told(run="a" * 65),
        told(seq=-1),
        told(seq=True),
        told(since=11),
        told(time="now"),
        told(steps={}),
        told(steps=[{}]),
        told(models=[model("m")] * (MOST_MODELS + 1)),
        told(models=[{"name": "m"}]),
        told(alerts=[{"name": "a"}]),
        told(resources=[]),
        told(steps=step(counts=[1, 2, 3])),
        told(steps=step(counts=[1, 2, 3, -4])),
        told(steps=step(seconds=1e9)),
        told(steps=step(packed="%%")),
        told(steps=step(packed=b64encode(b"12345").decode())),
        told(steps=step(packed=b64encode(b"\xc6\x03\x01\x00\x00\x00").decode())),
        told(steps=step(packed=b64encode(b"\x00\x00\x01\x00\x00\x00" * 967).decode())),
        told(steps=step(models={str(n): {} for n in range(18)})),
        told(steps=step() * 241),
    ],
)
def test_what_is_no_export_is_refused(content: bytes) -> None:
    with pytest.raises(BadExport):
        read_export(content)


def test_the_last_bucket_is_taken() -> None:
    packed = b64encode(b"\xc5\x03\x01\x00\x00\x00").decode()
    assert read_export(told(steps=step(packed=packed))).steps[0].packed[:2] == b"\xc5\x03"


def test_long_names_are_cut() -> None:
    assert len(read_export(told(version="v" * 5000)).version) == 200


def test_what_an_executor_tells_is_bounded() -> None:
    assert further({"executor": "ray"}) == {"executor": "ray"}
    assert further({"nodes": ["n" * 20_000]}) == {"left_out": "over 16384 bytes"}
    assert further(None) is None
