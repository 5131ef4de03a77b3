"""Targets: met, missed, no data, and by which figure."""

from __future__ import annotations

from typing import Any

import pytest

from app.reports.targets import TARGETS, counts, judged
from tests.unit.reports.made import RUN, WINDOW, run_of


def row(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in rows if one["id"] == name)


def test_without_a_run_nothing_is_met_and_each_says_why() -> None:
    rows = judged(None, {}, None)
    assert len(rows) == len(TARGETS) + 1
    assert {one["status"] for one in rows} == {"no data"}
    assert all(one["why"] for one in rows)
    assert counts(rows) == {"met": 0, "missed": 0, "no data": len(rows)}


def test_a_good_run_meets_all_but_the_day() -> None:
    rows = judged(run_of(), {}, None)
    assert [one["id"] for one in rows if one["status"] != "met"] == ["growth"]
    assert all(one["figure"]["run"] == RUN for one in rows if one["status"] == "met")


def test_the_worst_model_is_judged_and_named() -> None:
    cold = row(judged(run_of(), {}, None), "cold_start")
    assert (cold["subject"], cold["figure"]["value"]) == ("linear", 600.0)
    rate = row(judged(run_of(), {}, None), "rate")
    assert (rate["subject"], rate["figure"]["value"]) == ("forest", 9000.0)


def test_a_model_that_was_not_measured_may_be_the_worst() -> None:
    cold = row(judged(run_of(plan__linear__cold_start_ms=None), {}, None), "cold_start")
    assert (cold["status"], cold["why"]) == ("no data", "it failed")


@pytest.mark.parametrize(
    ("name", "figure", "value", "status"),
    [
        ("cold_start", "plan__forest__cold_start_ms", 999.9, "met"),
        ("cold_start", "plan__forest__cold_start_ms", 1000.0, "missed"),
        ("hits", "plan__server__hit_percent", 70.0, "missed"),
        ("hits", "plan__server__hit_percent", 70.1, "met"),
        ("loaded", "plan__server__memory_loaded_mb", 600.1, "missed"),
        ("gzip_ratio", "plan__server__gzip_ratio", 2.2, "missed"),
        ("errors", "plan__server__errors_at_50_percent", 1.0, "missed"),
    ],
)
def test_limits(name: str, figure: str, value: float, status: str) -> None:
    assert row(judged(run_of(**{figure: value}), {}, None), name)["status"] == status


def test_a_day_of_soak_is_one_too() -> None:
    memory = {"slope_per_h": 0.5, "first": 200.0}
    soak = {"id": RUN, "valid": True, "requests": 9, "soak": {"seconds": 86_400, "rss_mb": memory}}
    found = row(judged(run_of(), {}, None, [soak]), "growth")
    assert (found["status"], found["figure"]["value"]) == ("missed", pytest.approx(6.0))
    short = soak | {"soak": {"seconds": 720, "rss_mb": memory}}
    found = row(judged(run_of(), {}, None, [short]), "growth")
    assert (found["status"], "0.2 h" in found["why"]) == ("no data", True)


def test_live_figures_stand_beside_with_the_window_they_are_from() -> None:
    live = row(judged(run_of(), {"p99_ms": 0.9}, WINDOW), "warm")["live"]
    assert (live["value"], live["run"], live["key"]) == (0.9, WINDOW["id"], "p99_ms")


@pytest.mark.parametrize(
    ("slope", "hours", "status"),
    [(4.0, 24.0, "met"), (12.0, 24.0, "missed"), (4.0, 5.0, "no data"), (None, 24.0, "no data")],
)
def test_a_day_without_growth_needs_a_day(slope: float | None, hours: float, status: str) -> None:
    totals = {"growth_mb_per_day": slope, "growth_hours": hours, "memory_then_mb": 200.0}
    assert row(judged(run_of(), totals, WINDOW), "growth")["status"] == status
