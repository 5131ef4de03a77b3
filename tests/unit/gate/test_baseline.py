"""Baselines on disk: whole, or refused with the field's name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench.gate.baseline import checked, differences, read_baseline, write_baseline
from bench.gate.sender import FIGURES
from engine.errors import InvalidInput, PyrometerError

MACHINE = {"cpus": 2, "cpu": "EPYC", "memory_bytes": 8, "system": "Linux 6", "python": "3.11.7"}
PAYLOAD = {"models": {"m": "aa"}, "cases": {"forest": {"requests": 500, "digest": "bb"}}}
GOOD: dict[str, Any] = {
    "format": 1,
    "name": "before",
    "created": 1.5,
    "commit": "ab" * 20,
    "clean": True,
    "machine": MACHINE,
    "versions": {"numpy": "2.0"},
    "payload": PAYLOAD,
    "settings": ["--spin-us", "0"],
    "cases": {"forest": {"blocks": {figure: [[1.0, 2.0], [3.0]] for figure in FIGURES}}},
}


def broken(path: str, value: Any) -> dict[str, Any]:
    """GOOD with another value at a dotted path; None deletes."""
    found = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    place: Any = found
    for name in way:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_baseline(tmp_path / "b.json", GOOD)
    assert read_baseline(tmp_path / "b.json") == GOOD


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((name, None) for name in GOOD if name != "commit"),
        ("format", 2),
        ("name", 7),
        ("clean", 1),
        ("commit", 7),
        ("machine.cpu", None),
        ("machine.cpus", True),
        ("payload.models", None),
        ("payload.cases", []),
        ("cases.forest", 3),
        ("cases.forest.blocks", None),
        ("cases.forest.blocks.cpu_us", None),
        ("cases.forest.blocks.cpu_us", [[]]),
        ("cases.forest.blocks.p99_ms", [[1.0, 0.0]]),
        ("cases.forest.blocks.p99_ms", [["1"]]),
        ("cases.forest.blocks.p99_ms", [[True]]),
        ("cases.forest.blocks.p99_ms", [[float("nan")]]),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(broken(path, value))
    assert str(caught.value).startswith(f"baseline.{path}")


def test_a_baseline_outside_git_has_no_commit() -> None:
    assert checked(GOOD | {"commit": None})["commit"] is None


@pytest.mark.parametrize("content", [b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(InvalidInput, match="baseline"):
        read_baseline(tmp_path / "b.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.json.*No such file"):
        read_baseline(tmp_path / "none.json")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PyrometerError, match="cannot be written"):
        write_baseline(tmp_path / "none/b.json", GOOD)


def test_alike_machines_do_not_differ() -> None:
    more_memory = MACHINE | {"memory_bytes": 9}
    assert differences(GOOD, more_memory, {"numpy": "2.0"}, PAYLOAD) == []


def test_what_differs_is_said() -> None:
    other = {"models": {"m": "cc"}, "cases": {"forest": PAYLOAD["cases"]["forest"]}}
    found = differences(GOOD, MACHINE | {"cpus": 4}, {"numpy": "2.1", "uvloop": "1"}, other)
    assert found == [
        "machine.cpus: 2 then, 4 now",
        "versions.numpy: 2.0 then, 2.1 now",
        "versions.uvloop: none then, 1 now",
        "payload.models.m: another than then",
    ]


def test_a_baseline_is_json_that_others_can_read(tmp_path: Path) -> None:
    write_baseline(tmp_path / "b.json", GOOD)
    assert json.loads((tmp_path / "b.json").read_text())["name"] == "before"
