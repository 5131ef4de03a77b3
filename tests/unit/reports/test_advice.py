"""Recommendations: each rule finds its case, keeps quiet otherwise, and says what it would save."""

from __future__ import annotations

from typing import Any

import pytest

from app.reports.callers import benchmark_spans, without
from app.reports.rules import MOST, advice
from engine.telemetry.frames import Frames, Grid
from engine.telemetry.tally import TOTAL_AT
from tests.unit.reports.made import WINDOW, facts_of, model_of, phases_of, run_of

TIER = {
    "tier": "results",
    "label": "Results",
    "bytes": 95,
    "budget_bytes": 100,
    "evictions": 7,
    "median_s": 30.0,
}


def only(facts: dict[str, Any], run: dict[str, Any] | None = None) -> dict[str, Any]:
    (found,) = advice(facts, run or run_of())
    return found


def test_nothing_is_recommended_where_nothing_is_wrong() -> None:
    assert advice(facts_of(model_of()), run_of()) == []


def test_without_a_run_measuring_comes_first() -> None:
    first = advice(facts_of(model_of(cold_starts=5, load_ns=10**12)), None)[0]
    assert first["action"]["path"] == "/performance/reports/measure"


def test_figures_of_another_version_are_measured_again() -> None:
    assert only(facts_of(version="0.2.0"))["id"] == "measure"


def test_a_model_met_cold_is_pinned() -> None:
    found = only(facts_of(model_of(cold_starts=5, load_ns=5_000_000_000)))
    assert found["action"]["path"] == "/performance/models/forest/pin"
    assert found["action"]["body"] == {"pinned": True}
    assert found["saving"]["ms_per_hour"] == pytest.approx(5000.0)
    values = {fact["label"]: fact["value"] for fact in found["evidence"]}
    assert values["requests that met it cold"] == 5
    assert values["first answer of it cold"] == 8.0


def test_a_pinned_model_is_not_pinned_again() -> None:
    assert advice(facts_of(model_of(cold_starts=5, load_ns=1, pinned=True)), run_of()) == []


def test_a_model_that_was_met_cold_at_its_first_load_alone_is_not_to_be_pinned() -> None:
    first = model_of(cold_starts=1, load_ns=10**11, loads=1)
    assert advice(facts_of(first), run_of()) == []
    later = only(facts_of(first | {"preload": False}))
    assert later["action"] is None
    assert "preload = true" in later["why"]


def test_a_small_saving_is_not_worth_a_word() -> None:
    assert advice(facts_of(model_of(cold_starts=1, load_ns=2_900_000)), run_of()) == []


def test_two_minutes_do_not_tell_of_an_hour() -> None:
    window = WINDOW | {"covered_s": 120.0}
    found = only(facts_of(model_of(cold_starts=5, load_ns=10**10), window=window))
    assert found["saving"]["ms_per_hour"] is None
    assert "in this window; 2.0 minutes do not tell of an hour" in found["saving"]["text"]


def test_benchmark_traffic_is_not_what_callers_ask() -> None:
    bench = model_of(lookups=0, response_hits=0)
    assert only(facts_of(bench))["id"] == "bypass-forest"
    callers = {"models": [model_of()], "judged_s": 3000.0}
    assert advice(facts_of(bench, callers=callers), run_of()) == []


def test_steps_that_a_benchmark_touches_are_left_out() -> None:
    frames = Frames(Grid(0.0, 10.0, 6))
    frames.seconds[:] = 10.0
    frames.totals[:, TOTAL_AT["requests"]] = [1, 20, 300, 4000, 50_000, 600_000]
    told = [
        {"t": 5.0, "kind": "flush", "text": "started to flush"},
        {"t": 15.0, "kind": "benchmark", "text": "started forest, 100 requests/s"},
        {"t": 25.0, "kind": "benchmark", "text": "finished forest: p99 1 ms"},
        {"t": 50.0, "kind": "benchmark", "text": "started forest, 100 requests/s"},
    ]
    spans = benchmark_spans(told, 0.0, 60.0)
    assert spans == [(15.0, 25.0), (50.0, 60.0)]
    kept = without(frames, spans)
    assert (kept.totals[TOTAL_AT["requests"]], kept.covered_s) == (54_001, 30.0)


def benchmark(t: float, text: str) -> dict[str, object]:
    return {"t": t, "kind": "benchmark", "text": text}


def test_a_benchmark_that_is_longer_than_the_window_covers_all_of_it() -> None:
    told = [benchmark(-500.0, "started forest"), benchmark(90.0, "finished forest")]
    assert benchmark_spans(told, 0.0, 60.0) == [(0.0, 60.0)]
    assert benchmark_spans(told[:1], 0.0, 60.0) == [(0.0, 60.0)]
    over = [benchmark(-500.0, "started forest"), benchmark(-10.0, "finished forest")]
    assert benchmark_spans(over, 0.0, 60.0) == []


def test_a_benchmark_that_a_crash_ended_is_over_at_the_next_start() -> None:
    start = {"t": 20.0, "kind": "start", "text": "started with 3 models"}
    assert benchmark_spans([benchmark(10.0, "started forest"), start], 0.0, 60.0) == [(10.0, 20.0)]
    before = [benchmark(-90.0, "started forest"), start | {"t": -5.0}]
    assert benchmark_spans(before, 0.0, 60.0) == []
    assert benchmark_spans([start], 0.0, 60.0) == []


def test_a_cold_model_is_warmed_by_what_its_first_answer_took() -> None:
    found = only(facts_of(model_of(state="cold", requests=0, lookups=0)))
    assert found["action"]["body"] == {"models": ["forest"]}
    assert found["evidence"][0]["key"] == "plan/forest/cold_model_ms"


def test_a_model_on_scikit_learn_says_why() -> None:
    plan = model_of()["plan"] | {"chosen": "scikit-learn", "reason": "no other form agrees"}
    found = only(facts_of(model_of(plan=plan, inference_ns=2 * 10**9)))
    assert "no other form agrees" in found["why"]
    assert found["action"] is None
    assert found["saving"]["kind"] == "at most"


def test_batching_that_is_off_is_turned_on_where_the_plan_pays() -> None:
    slow = {"1": 4000.0, "32": 9600.0}
    settings = {"optimise": True, "batching": False}
    found = only(facts_of(model_of(served_us=slow), settings=settings))
    assert found["action"]["variable"] == "PYROMETER_BATCHING"
    assert found["saving"]["ms_per_hour"] == pytest.approx(1000 * (4000 - 300) / 1e3)
    assert advice(facts_of(model_of(), settings=settings), run_of()) == []


def test_a_bypassed_cache_with_repeats_is_named_with_its_saving() -> None:
    model = model_of(requests=1000, lookups=200, response_hits=100, inference_ns=9_000_000_000)
    found = only(facts_of(model))
    assert "no-cache" in found["why"]
    assert found["saving"]["ms_per_hour"] == pytest.approx(800 * 0.5 * 10.0)


def test_unique_traffic_may_bypass_the_cache() -> None:
    model = model_of(requests=1000, lookups=200, response_hits=2)
    assert advice(facts_of(model), run_of()) == []


def test_a_cache_that_is_off_leads_to_its_setting() -> None:
    model = model_of(lookups=0, response_hits=0)
    off = [{"tier": "results", "setting": "result_cache"}]
    found = only(facts_of(model, off=off))
    assert found["action"]["flag"] == "--result-cache on"
    assert found["saving"]["kind"] == "unknown"


def test_a_full_tier_that_evicts_young_items_gets_a_budget() -> None:
    found = only(facts_of(tiers=[TIER]))
    assert (found["action"]["setting"], found["action"]["value"]) == ("result_cache_bytes", "200")
    assert advice(facts_of(tiers=[TIER | {"median_s": 7200.0}]), run_of()) == []
    assert advice(facts_of(tiers=[TIER | {"evictions": 0}]), run_of()) == []


def test_gzip_that_takes_a_tenth_of_the_time_says_on_which_links_it_pays() -> None:
    gzip = {
        "level": 6,
        "responses": 10,
        "bytes_in": 1000,
        "bytes_out": 500,
        "ms_per_100_kb": {"6": 4.0},
    }
    totals = {"compress_ns": 2_000_000_000, "duration_ns": 10_000_000_000}
    found = only(facts_of(gzip=gzip, totals=totals))
    # 100 kB become 50 kB in 4 ms: 50,000 bytes x 8 bits / 4 ms are 100 Mbit/s.
    assert "slower than 100 Mbit/s" in found["why"]
    assert found["saving"]["ms_per_hour"] == pytest.approx(2000.0)


def test_a_heavy_phase_is_named_unless_it_is_short() -> None:
    heavy = facts_of(model_of(), phases=phases_of("forest", decode=1900.0, inference=100.0))
    found = only(heavy)
    assert "binary" in found["why"]
    assert found["saving"]["ms_per_hour"] == pytest.approx(1900.0)
    short = facts_of(model_of(), phases=phases_of("forest", decode=90.0, inference=10.0))
    assert advice(short, run_of()) == []


def test_a_stand_in_is_replaced_first() -> None:
    models = (
        model_of("slow", cold_starts=9, load_ns=10**12),
        model_of(degraded="onnxruntime-f32 failed", degraded_requests=3),
    )
    assert advice(facts_of(*models), run_of())[0]["id"] == "degraded-forest"


def test_the_largest_saving_comes_first_and_there_are_not_too_many() -> None:
    models = [model_of(f"m{n}", cold_starts=1, load_ns=n * 1_000_000_000) for n in range(1, 40)]
    found = advice(facts_of(*models), run_of())
    assert len(found) == MOST
    assert [one["id"] for one in found[:2]] == ["cold-m39", "cold-m38"]
    assert [one["rank"] for one in found] == list(range(1, MOST + 1))


def test_every_fact_is_from_somewhere() -> None:
    model = model_of(cold_starts=5, load_ns=10**10)
    for one in advice(facts_of(model, tiers=[TIER]), run_of()):
        assert one["evidence"]
        assert all(fact["run"] and fact["key"] for fact in one["evidence"])
        assert WINDOW["id"] in {fact["run"] for fact in one["evidence"]}


def test_a_busy_machine_is_measured_again() -> None:
    busy = run_of(plan__server__other_cpu_percent=60.0)
    found = only(facts_of(model_of()), busy)
    assert found["id"] == "measure"
    assert found["evidence"][0]["value"] == 60.0
    quiet = run_of(plan__server__other_cpu_percent=4.0)
    assert advice(facts_of(model_of()), quiet) == []
