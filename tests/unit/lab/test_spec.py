"""What a run may be asked to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.lab.spec import spec_from
from engine.errors import InvalidInput

GOOD: dict[str, Any] = {"url": "http://127.0.0.1:8050/base", "model": "m"}
RAMP = {"from_per_s": 10, "to_per_s": 100, "steps": 3, "step_s": 1}


def test_the_json_form_comes_back_whole() -> None:
    spec = spec_from(GOOD | {"loop": "open", "rate_per_s": 100, "slo": {"p99_ms": 20}})
    assert spec_from(spec.as_dict()) == spec
    assert spec.rate_per_s == 100.0
    assert spec.slo.error_percent is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conections": 5}, "conections: there is no such field; the nearest is connections"),
        ({"payload": {"rowz": 5}}, "payload.rowz: there is no such field"),
        ({"connections": 0}, "connections is '0'; it must be a whole number, 1 to 1000"),
        ({"connections": 1001}, "connections"),
        ({"connections": 1.5}, "connections"),
        ({"connections": True}, "connections"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": "long"}, "seconds"),
        ({"seconds": 86_401}, "seconds"),
        ({"name": "x" * 81}, "name"),
        ({"loop": "half"}, "loop is 'half'; it must be one of closed, open"),
        ({"seed": -1}, "seed"),
        ({"payload": []}, "payload is '[]'; it must be an object"),
        ({"payload": {"cache": 1}}, "payload.cache"),
        ({"payload": {"source": "file"}}, "payload.path is empty"),
        ({"payload": {"source": "file", "path": "/no/such"}}, "payload.path"),
        ({"payload": {"path": "/etc/hostname"}}, "payload.path is given"),
        ({"payload": {"speed": 2}}, "payload.speed is given; only traffic"),
        ({"slo": {"p99_ms": 0}}, "slo.p99_ms"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://x:99999"}, "url"),
        ({"url": "http://x/\r\nevil: 1"}, "url"),
        ({"model": ""}, "model is empty"),
        ({"rate_per_s": 5}, "rate_per_s is 5; a closed loop takes no rate"),
        ({"loop": "open"}, "rate_per_s is empty"),
        ({"loop": "open", "ramp": RAMP}, "slo is empty"),
        ({"ramp": RAMP, "slo": {"p99_ms": 5}}, "ramp is given; it needs loop open"),
        (
            {"loop": "open", "slo": {"p99_ms": 5}, "ramp": RAMP | {"to_per_s": 10}},
            "ramp.to_per_s is 10; it must be above ramp.from_per_s, 10",
        ),
        ({"loop": "open", "rate_per_s": 5, "generator": "wrk"}, "generator is wrk"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        spec_from(GOOD | change)
    assert words in str(refused.value)


@pytest.mark.parametrize("given", [None, [], "spec", 5])
def test_a_spec_must_be_an_object(given: Any) -> None:
    with pytest.raises(InvalidInput, match="spec is"):
        spec_from(given)


def test_traffic_may_go_without_a_model_and_at_its_own_speed(tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    file.write_text("")
    payload = {"source": "traffic", "path": str(file), "speed": 2}
    spec = spec_from({"url": GOOD["url"], "loop": "open", "payload": payload})
    assert spec.payload.speed == 2.0
    with pytest.raises(InvalidInput, match=r"payload\.speed"):
        spec_from({"url": GOOD["url"], "loop": "open", "rate_per_s": 5, "payload": payload})
