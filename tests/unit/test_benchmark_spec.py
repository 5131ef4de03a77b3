"""What a benchmark from the console may ask, and of whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.benchmark_spec import BOUNDS, CHOICES, DEFAULTS, files_of, own_url, spec_of, target_of
from bench.lab.spec import spec_from
from engine.config import Settings
from engine.errors import InvalidInput

OWN = "http://127.0.0.1:8050"


def made(state: Path = Path("/nowhere"), **body: Any) -> dict[str, Any]:
    return spec_of({"model": "m", **body}, OWN, state)


def test_a_model_alone_is_a_whole_specification() -> None:
    spec = made()
    assert (spec["url"], spec["loop"], spec["rate_per_s"]) == (OWN, "open", 500)
    assert spec_from(spec).as_dict() == spec, "the load lab takes it as it is"


def test_what_does_not_go_together_is_left_out() -> None:
    ramp = {"from_per_s": 10, "to_per_s": 100}
    assert made(loop="closed")["rate_per_s"] is None
    assert made(ramp=ramp)["rate_per_s"] is None
    assert made(ramp=ramp)["ramp"]["steps"] == 8
    assert made(payload={"speed": 2.0})["payload"]["speed"] is None


@pytest.mark.parametrize("field", BOUNDS)
def test_every_number_is_held_within_its_bounds(field: str) -> None:
    low, high = BOUNDS[field]
    place, _, name = field.rpartition(".")
    further = {"to_per_s": 100, "from_per_s": 10} if place == "ramp" else {}
    for value in (high * 2, low - 1, "much", True, float("nan")):
        body = {place: {**further, name: value}} if place else {name: value}
        with pytest.raises(InvalidInput, match=field.replace(".", r"\.")):
            made(**body)


@pytest.mark.parametrize("field", CHOICES)
def test_a_choice_is_one_of_those_that_there_are(field: str) -> None:
    place, _, name = field.rpartition(".")
    body = {place: {name: "else"}} if place else {name: "else"}
    with pytest.raises(InvalidInput, match="must be"):
        made(**body)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"speed": 1}, "speed"),
        ({"payload": {"speeds": 1}}, r"payload\.speeds"),
        ({"payload": []}, "payload"),
        ({"ramp": {"step": 1}}, r"ramp\.step"),
        ({"ramp": {"from_per_s": 100, "to_per_s": 10}}, r"ramp\.to_per_s"),
        ({"ramp": {"steps": 50, "step_s": 100}}, r"ramp\.steps"),
        ({"ramp": {}, "loop": "closed"}, "ramp"),
        ({"connections": 1.5}, "connections"),
        ({"name": "x" * 81}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"version": 7}, "version"),
        ({"rate_per_s": None}, "rate_per_s"),
        ({"payload": {"cache": 1}}, r"payload\.cache"),
    ],
)
def test_what_is_wrong_is_refused_by_name(body: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        made(**body)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (None, OWN),
        ("", OWN),
        (OWN, OWN),
        ("http://localhost:9000/", "http://127.0.0.1:9000"),
        ("http://127.0.0.2:9000", "http://127.0.0.2:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
    ],
)
def test_servers_on_this_machine_are_targets(url: str | None, target: str) -> None:
    assert target_of(url, OWN) == target


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://10.0.0.1:8050",
        "http://127.0.0.1.example.org",
        "http://2130706433:80",
        "http://0.0.0.0:8050",
        "http://169.254.169.254/latest",
    ],
)
def test_other_machines_are_no_targets_and_the_error_says_why(url: str) -> None:
    with pytest.raises(InvalidInput, match="url is"):
        target_of(url, OWN)
    if url.count("/") == 2:
        with pytest.raises(InvalidInput, match="load other machines through it"):
            target_of(url, OWN)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8050",
        "ftp://127.0.0.1",
        "http://user:secret@127.0.0.1:8050",
        "http://127.0.0.1:8050/v2?x=1",
        "http://127.0.0.1:99999",
        "http://[::1",
        "127.0.0.1:8050",
        "http://127.0.0.1:8050\r\nX: 1",
        7,
    ],
)
def test_what_is_no_plain_address_is_refused(url: Any) -> None:
    with pytest.raises(InvalidInput, match="url"):
        target_of(url, OWN)


@pytest.mark.parametrize(
    ("settings", "header", "url"),
    [
        ({"port": 8050}, "", OWN),
        ({"port": 0}, "127.0.0.1:41234", "http://127.0.0.1:41234"),
        ({"port": 0}, "127.0.0.1", None),
        ({"port": 0}, "[::1]:41234", "http://127.0.0.1:41234"),
        ({"host": "::1"}, "", "http://[::1]:8050"),
        ({"host": "0.0.0.0"}, "", OWN),
        ({"host": "localhost"}, "", OWN),
    ],
)
def test_this_servers_own_address(settings: dict[str, Any], header: str, url: str | None) -> None:
    assert own_url(Settings(**settings), header) == url


def test_a_payload_is_a_file_of_the_state_directory(tmp_path: Path) -> None:
    (tmp_path / "payloads").mkdir()
    (tmp_path / "payloads/rows.jsonl").write_text("{}")
    (tmp_path / "secret").write_text("s")
    assert files_of(tmp_path) == {"file": ["rows.jsonl"], "traffic": []}
    spec = made(tmp_path, payload={"source": "file", "path": "rows.jsonl"})
    assert spec["payload"]["path"] == str((tmp_path / "payloads/rows.jsonl").resolve())
    for path in ("../secret", str(tmp_path / "secret"), "", None, 7, "other"):
        with pytest.raises(InvalidInput, match=r"payload\.path"):
            made(tmp_path, payload={"source": "file", "path": path})


def test_the_console_asks_no_more_than_the_load_lab_takes() -> None:
    for field, (low, high) in BOUNDS.items():
        place, _, name = field.rpartition(".")
        kept = DEFAULTS | {"model": "m", "url": OWN}
        if place == "ramp":
            kept |= {"ramp": {"from_per_s": 0.1, "to_per_s": 2e5}, "rate_per_s": None}
        for value in (low, high):
            body = {**kept, place: {**kept[place], name: value}} if place else kept | {name: value}
            if field in ("ramp.from_per_s", "ramp.to_per_s"):
                continue  # each bound goes with the other
            if field == "payload.speed":
                body = kept | {"rate_per_s": None}
                body["payload"] = {"source": "traffic", "path": __file__, "speed": value}
            spec_from(body)
