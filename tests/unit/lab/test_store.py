"""Runs on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.lab import store as lab_store
from bench.lab.store import RunStore, new_id
from engine.errors import InvalidInput


def a_run(started: float = 1_770_000_000.0, **changes: Any) -> dict[str, Any]:
    run = {
        "id": new_id(started),
        "kind": "load",
        "name": "a",
        "started": started,
        "valid": True,
        "latency_ms": {"p99": 1.5},
        "spec": {"url": "http://x", "model": "m"},
    }
    return run | changes


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    run = a_run()
    assert store.write(run) == run["id"]
    assert store.read(run["id"]) == run


def test_runs_are_listed_newest_first_with_url_and_model(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for second in (2, 1, 3):
        store.write(a_run(1_770_000_000.0 + second, name=str(second)))
    listed = store.list()
    assert [one["name"] for one in listed] == ["3", "2", "1"]
    assert listed[0]["url"] == "http://x"
    assert listed[0]["model"] == "m"
    assert "histogram" not in listed[0]


def test_a_list_sees_what_another_store_has_changed(tmp_path: Path) -> None:
    store, other = RunStore(tmp_path), RunStore(tmp_path)
    run = a_run()
    store.write(run)
    assert len(store.list()) == 1
    other.delete(run["id"])
    assert store.list() == []


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_store, "MOST_RUNS", 3)
    store = RunStore(tmp_path)
    for second in range(5):
        store.write(a_run(1_770_000_000.0 + second, name=str(second)))
    assert [one["name"] for one in store.list()] == ["4", "3", "2"]


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "", "20260301T120000Z-0a1b2", "x" * 200])
def test_only_an_id_is_read(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(InvalidInput, match="id is"):
        RunStore(tmp_path).read(run_id)


def test_a_damaged_file_is_left_out_of_the_list_and_named_when_read(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = a_run()
    store.write(run)
    (tmp_path / "20250101T000000Z-aaaaaa.json").write_text('{"id": ')
    assert len(store.list()) == 1
    with pytest.raises(InvalidInput, match="damaged"):
        store.read("20250101T000000Z-aaaaaa")


def test_a_figure_that_is_no_number_is_stored_as_none(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = a_run(latency_ms={"p99": float("nan"), "max": float("inf")})
    path = store.path_of(store.write(run))
    assert json.loads(path.read_text())["latency_ms"] == {"p99": None, "max": None}


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="kind is 'other'"):
        RunStore(tmp_path).write(a_run(kind="other"))


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    store = RunStore(tmp_path)
    store.write(a_run())
    assert len(store.list()) == 1
    assert (tmp_path / "notes.json").exists()
