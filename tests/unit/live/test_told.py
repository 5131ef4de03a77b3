"""What scrapers, the inventory and the snapshot say of an engine, against requests made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from engine.engine import Engine
from engine.errors import InvalidInput
from engine.inventory import inventory
from engine.telemetry.record import RequestMetrics
from engine.types import MISSED, RESULT_HIT, InferRequest

MS = 1_000_000


def record(**fields: Any) -> RequestMetrics:
    usual = {"model": "times", "version": "1", "rows": 2, "duration_ns": 10 * MS}
    return RequestMetrics("r", "/infer", fields.pop("status", 200), **usual | fields)


def scraped(engine: Engine) -> dict[tuple[str, str], float]:
    """Values by sample name and the labels that are not empty."""
    text = generate_latest(engine.scraped).decode()
    return {
        (s.name, ",".join(f"{k}={v}" for k, v in sorted(s.labels.items()) if v)): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


@pytest.fixture
def counted(engine: Engine) -> Engine:
    """Three answers of 10 ms, one of which was kept; one error; one look of the console."""
    recorder = engine.recorder
    recorder.append(record(cache=MISSED, inference_ns=6 * MS, queue_ns=1 * MS, bytes_in=100))
    recorder.append(record(cache=MISSED, inference_ns=6 * MS, cold_start=True, batch_rows=8))
    recorder.append(record(cache=RESULT_HIT, bytes_out=50))
    recorder.append(record(status=500, duration_ns=2 * MS, error="it broke"))
    recorder.append(RequestMetrics("c", "/performance/live", 200, duration_ns=MS), False)
    engine.ticker.tick()
    return engine


def test_scrapers_get_the_exact_counts(counted: Engine) -> None:
    found = scraped(counted)
    model = "model=times,route=/infer,version=1"
    by_outcome = {
        key[1].split("outcome=")[1].split(",")[0]: value
        for key, value in found.items()
        if key[0] == "pyrometer_requests_total"
    }
    assert sorted(by_outcome.values()) == [1, 3]
    assert found["pyrometer_rows_total", model] == 8
    assert found["pyrometer_cold_starts_total", model] == 1
    assert found["pyrometer_request_bytes_total", model] == 100
    assert found["pyrometer_response_bytes_total", model] == 50
    looked = "model=times,result={},route=/infer,version=1"
    assert found["pyrometer_cache_lookups_total", looked.format("result")] == 1
    assert found["pyrometer_cache_lookups_total", looked.format("miss")] == 2


def test_phases_and_what_they_leave_add_up_to_the_time(counted: Engine) -> None:
    found = scraped(counted)
    spent = sum(v for (name, _), v in found.items() if name == "pyrometer_phase_seconds_total")
    took = sum(
        v for (name, _), v in found.items() if name == "pyrometer_request_duration_seconds_sum"
    )
    assert spent == pytest.approx(took) == pytest.approx(0.032)
    phase = "model=times,phase={},route=/infer,version=1"
    assert found["pyrometer_phase_seconds_total", phase.format("inference")] == pytest.approx(0.012)
    assert found["pyrometer_phase_seconds_total", phase.format("unaccounted")] == pytest.approx(
        0.032 - 0.012 - 0.001
    )


def test_buckets_only_grow_and_end_with_all(counted: Engine) -> None:
    found = scraped(counted)
    buckets = [
        (float(key.split("le=")[1].split(",")[0]), value)
        for (name, key), value in found.items()
        if name == "pyrometer_queue_wait_seconds_bucket"
    ]
    buckets.sort()
    values = [value for _, value in buckets]
    assert values == sorted(values)
    assert buckets[-1] == (float("inf"), 4)
    batch = {
        key.split("le=")[1].split(",")[0]: value
        for (name, key), value in found.items()
        if name == "pyrometer_batch_rows_bucket"
    }
    assert batch["+Inf"] == max(batch.values())


def test_the_consoles_own_requests_are_counted_apart(counted: Engine) -> None:
    found = scraped(counted)
    own = {k: v for k, v in found.items() if k[0] == "pyrometer_http_requests_total"}
    assert list(own.values()) == [1]
    assert "route=/performance/live" in next(iter(own))[1]


def test_states_of_models_and_alerts_are_told(counted: Engine) -> None:
    found = scraped(counted)
    models = {k[1]: v for k, v in found.items() if k[0] == "pyrometer_models"}
    assert sum(models.values()) == len(counted.registry.slots())
    alerts = [v for k, v in found.items() if k[0] == "pyrometer_alerts"]
    assert sum(alerts) == len(counted.monitoring.alerts.as_list(0.0))
    assert found["pyrometer_recorder_dropped_total", ""] == 0


def test_the_inventory_has_each_models_figures(counted: Engine) -> None:
    counted.infer(InferRequest("times", {"x": np.ones((1, 2))}))
    held = inventory(counted)
    one = next(m for m in held["models"] if (m["name"], m["version"]) == ("times", "1"))
    assert (one["requests"], one["cold_starts"], one["state"]) == (4, 1, "warm")
    assert one["hit_percent"] == pytest.approx(100 / 3)
    assert one["p50_ms"] == pytest.approx(10, rel=0.02)
    assert (one["backend"], one["plan"], one["speedup"]) == ("python", "python", 1.0)
    assert one["quality"] is None
    tiers = {tier["tier"]: tier for tier in held["caches"]}
    assert (tiers["models"]["items"], tiers["models"]["misses"]) == (1, 1)
    assert (tiers["results"]["misses"], tiers["results"]["hit_percent"]) == (1, 0.0)
    assert tiers["embeddings"]["hit_percent"] is None
    assert {row["queue"] for row in held["queues"]} >= {"slots", "models", "loads"}


def test_a_look_back_finds_what_was_counted(counted: Engine) -> None:
    frames = counted.monitoring.look_back(60, 60).frames
    assert int(frames.totals[:, 0].sum()) == 4
    with pytest.raises(InvalidInput, match=r"window is 0\.5 s"):
        counted.monitoring.look_back(0.5)


def test_events_between_two_times_are_those_within(engine: Engine) -> None:
    engine.ticker.event("rules", "one")
    events = engine.ticker.events()
    at = events[-1]["t"]
    told = engine.monitoring.events_between(at, at)
    assert told[-1] == {"t": at, "kind": "rules", "text": "one"}
    assert engine.monitoring.events_between(at + 1, at + 2) == []


def test_a_test_of_notifications_goes_to_every_destination(engine: Engine) -> None:
    labels = engine.monitoring.test_notification()
    assert labels == [notifier.label for notifier in engine.monitoring.dispatcher.notifiers]


def test_preview_of_rules_needs_rules(engine: Engine) -> None:
    with pytest.raises(InvalidInput):
        engine.monitoring.preview_rules("[[rule]]")
    rules = "[[rule]]\nname = 'e'\nmetric = 'error_percent'\nwarning = 1\nwindow = '1m'\n"
    (alert,) = engine.monitoring.preview_rules(rules, 3600.0)
    assert (alert["key"], alert["fired"]) == ("e/warning", 0)
