"""Stored reports are bounded, and damaged ones stay away; stored runs are found by kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.reports import runs
from app.reports.daily import Daily, next_at
from app.reports.store import MOST_REPORTS, ReportStore, UnknownReport
from engine.config import Settings
from engine.errors import ConfigurationError
from tests.unit.reports.made import run_of

DAY = 86_400.0


def report(made: float) -> dict[str, Any]:
    summary = {"text": "fine", "met": 1, "missed": 0, "no_data": 0}
    return {"made": made, "by": "demand", "version": "1", "summary": summary, "window": None}


def test_a_report_is_kept_listed_and_deleted(tmp_path: Path) -> None:
    store = ReportStore(tmp_path / "reports")
    name = store.write(report(1e9))
    assert store.read(name)["id"] == name
    assert [one["id"] for one in store.summaries()] == [name]
    store.delete(name)
    assert store.summaries() == []
    with pytest.raises(UnknownReport):
        store.read(name)


def test_the_oldest_make_room(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    names = [store.write(report(1e9 + n)) for n in range(MOST_REPORTS + 3)]
    assert [one["id"] for one in store.summaries()] == names[::-1][:MOST_REPORTS]


@pytest.mark.parametrize("name", ["../x", "20260301T120000Z-zzzzzz", "x" * 300, ""])
def test_what_is_no_id_is_unknown(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownReport):
        ReportStore(tmp_path).read(name)


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    name = store.write(report(1e9))
    (tmp_path / "20260301T120000Z-0a1b2c.json").write_text("{")
    (tmp_path / "20260301T120000Z-0a1b2d.json").write_text("[]")
    assert [one["id"] for one in store.summaries()] == [name]


def write(folder: Path, run: dict[str, Any]) -> None:
    (folder / f"{run['id']}.json").write_text(json.dumps(run))


def test_the_newest_valid_run_is_taken(tmp_path: Path) -> None:
    for hour, valid in ((10, True), (11, True), (12, False)):
        write(tmp_path, run_of() | {"id": f"20260301T{hour}0000Z-0a1b2c", "valid": valid})
    write(tmp_path, {"id": "20260301T130000Z-0a1b2c", "kind": "load", "valid": True})
    found = runs.newest(tmp_path, "optimization")
    assert found is not None
    assert found["id"] == "20260301T110000Z-0a1b2c"
    assert [one["kind"] for one in runs.of_kind(tmp_path, "load")] == ["load"]
    assert runs.newest(tmp_path / "nowhere", "optimization") is None


def test_a_daily_report_is_made_once_each_day() -> None:
    made: list[float] = []
    daily = Daily("06:30", 5 * 3600.0, made.append)
    for now in (6 * 3600, 6.5 * 3600, 6.6 * 3600, DAY, DAY + 6.4 * 3600, DAY + 7 * 3600):
        daily.look(now)
    assert made == [6.5 * 3600, DAY + 7 * 3600]


def test_when_the_next_is_due() -> None:
    assert next_at("", 0.0) is None
    assert next_at("06:30", 6.5 * 3600) == DAY + 6.5 * 3600
    assert next_at("06:30", 6 * 3600) == 6.5 * 3600


@pytest.mark.parametrize("text", ["24:00", "6:30", "06:60", "noon", "06:30 "])
def test_a_time_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="report_at"):
        Settings(report_at=text)
