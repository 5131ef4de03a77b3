"""Records to sums and histograms, against plain Python over the same records."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine.telemetry.figures import figures_of_window
from engine.telemetry.histogram import histogram_of, pack, percentile_ms, unpack
from engine.telemetry.labels import MAX_LABELS, OTHER, OUTCOMES, Label, Labels
from engine.telemetry.record import PHASES, RequestMetrics
from engine.telemetry.recorder import MAX_PENDING, Recorder
from engine.telemetry.ring import SECONDS, Ring
from engine.telemetry.rows import ROW_BYTES
from engine.telemetry.tally import AT, Tally, empty_tally, tally_of
from engine.telemetry.totals import Totals
from engine.types import DISK_HIT, MISSED, NO_LOOKUP, RESPONSE_HIT, RESULT_HIT, SHARED_HIT


def made(rng: random.Random) -> RequestMetrics:
    """A record of every kind: models, outcomes, caches, phases that add up to no more than all."""
    phases = {f"{phase}_ns": rng.randrange(0, 2_000_000) for phase in PHASES}
    return RequestMetrics(
        f"id-{rng.random()}",
        rng.choice(["/v2/models/{model}/infer", "/analyze/fraud"]),
        rng.choice([200, 200, 200, 400, 404, 429, 499, 500, 503, 504]),
        rng.choice(["a", "b", "c"]),
        rng.choice(["1", "2"]),
        rows=rng.randrange(1, 40),
        batch_rows=rng.choice([0, 1, 2, 40, 129, 5000]),
        cold_start=rng.random() < 0.1,
        cache=rng.choice([NO_LOOKUP, MISSED, RESPONSE_HIT, RESULT_HIT, DISK_HIT, SHARED_HIT]),
        degraded=rng.random() < 0.1,
        bytes_in=rng.randrange(10_000),
        bytes_out=rng.randrange(10_000),
        duration_ns=sum(phases.values()) + rng.randrange(1000),
        **phases,
    )


@pytest.fixture(scope="module")
def records() -> list[RequestMetrics]:
    rng = random.Random(7)
    return [made(rng) for _ in range(9000)]


@pytest.fixture(scope="module")
def recorder(records: list[RequestMetrics]) -> Recorder:
    recorder = Recorder("r")
    for record in records:
        recorder.append(record)
    return recorder


@pytest.fixture(scope="module")
def drained(recorder: Recorder) -> Any:
    return recorder.drain()


@pytest.fixture(scope="module")
def tally(drained: Any) -> Tally:
    return tally_of(drained.rows)


def outcome(status: int) -> str:
    named = {429: "shed", 499: "cancelled", 504: "expired"}
    if status in named:
        return named[status]
    return "server_error" if status >= 500 else "client_error" if status >= 400 else "ok"


def test_every_series_counts_exactly_its_own(
    records: list[RequestMetrics], recorder: Recorder, tally: Tally
) -> None:
    expected = Counter(
        (r.model, r.version, r.variant, r.endpoint, outcome(r.status)) for r in records
    )
    found = {
        (*series.label[:4], series.outcome): int(sums[AT["requests"]])
        for series, sums in zip(
            map(recorder.labels.series, tally.series.tolist()), tally.sums, strict=True
        )
    }
    assert found == expected


@pytest.mark.parametrize(
    "name", ["rows", "bytes_in", "bytes_out", "duration_ns", *(f"{p}_ns" for p in PHASES)]
)
def test_sums_are_exact(records: list[RequestMetrics], tally: Tally, name: str) -> None:
    assert tally.sums[:, AT[name]].sum() == sum(getattr(r, name) for r in records)


def test_caches_cold_starts_and_batch_sizes_are_counted_exactly(
    records: list[RequestMetrics], tally: Tally
) -> None:
    sums = dict(zip(AT, tally.sums.sum(axis=0).tolist(), strict=True))
    assert sums["lookups"] == sum(r.cache != NO_LOOKUP for r in records)
    assert sums["response_hits"] == sum(r.cache == RESPONSE_HIT for r in records)
    assert sums["result_hits"] == sum(r.cache == RESULT_HIT for r in records)
    assert sums["disk_hits"] == sum(r.cache == DISK_HIT for r in records)
    assert sums["redis_hits"] == sum(r.cache == SHARED_HIT for r in records)
    assert sums["cold_starts"] == sum(r.cold_start for r in records)
    assert sums["degraded"] == sum(r.degraded for r in records)
    assert sums["batch_le_1"] == sum(r.batch_rows == 1 for r in records)
    assert sums["batch_le_64"] == sum(r.batch_rows == 40 for r in records)
    assert sums["batch_le_256"] == sum(r.batch_rows == 129 for r in records)
    assert sums["batch_larger"] == sum(r.batch_rows == 5000 for r in records)


def test_durations_and_queue_waits_are_all_in_the_histograms(
    records: list[RequestMetrics], tally: Tally
) -> None:
    durations = histogram_of(np.array([r.duration_ns for r in records]))
    queue = histogram_of(np.array([r.queue_ns for r in records]))
    for cells, expected in ((tally.cells, durations), (tally.queue, queue)):
        found = np.bincount(cells[:, 1], cells[:, 2], len(expected))
        assert found.tolist() == expected.tolist()


def test_a_record_comes_back_as_it_was_given(
    records: list[RequestMetrics], recorder: Recorder, drained: Any
) -> None:
    back = recorder.records(drained.rows[-50:], drained.names)
    for found, given in zip(back, records[-50:], strict=True):
        found.finished_at = given.finished_at
        assert found == given


def test_totals_of_a_model_are_over_versions_routes_and_outcomes(
    records: list[RequestMetrics], recorder: Recorder, tally: Tally
) -> None:
    totals = Totals(recorder.labels)
    totals.add(tally)
    totals.add(tally)
    merged, outcomes = totals.of_model("b")
    own = [r for r in records if r.model == "b"]
    assert merged["requests"] == 2 * len(own)
    assert merged.durations.sum() == 2 * len(own)
    assert outcomes["shed"] == 2 * sum(r.status == 429 for r in own)
    assert totals.requests == 2 * len(records)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_percentiles_of_merged_seconds_are_within_one_percent(share: float) -> None:
    durations = np.random.default_rng(3).lognormal(15, 1.2, 50_000)
    seconds = np.array_split(durations, 60)
    merged = sum(histogram_of(second).astype(np.int64) for second in seconds)
    exact = np.sort(durations)[int(np.ceil(share * len(durations))) - 1] / 1e6
    assert percentile_ms(np.asarray(merged), share) == pytest.approx(exact, rel=0.01)


def test_a_packed_histogram_comes_back_and_adds_up() -> None:
    one = histogram_of(np.random.default_rng(1).lognormal(14, 1, 1000)).astype(np.int64)
    rows = np.array([0, 2, 2])
    assert unpack([pack(one), pack(one), pack(one)], rows, 3).tolist() == [
        one.tolist(),
        [0] * len(one),
        (2 * one).tolist(),
    ]


def test_labels_are_bounded_and_the_rest_is_one(recorder: Recorder) -> None:
    labels = Labels()
    for number in range(MAX_LABELS + 50):
        labels.id_of(Label(f"m{number}", "1", "", "/r"))
    assert len(labels) == MAX_LABELS
    assert labels[labels.id_of(Label("late", "1", "", "/r"))].model == OTHER
    assert labels.refused == 53


def test_a_recorder_that_nobody_drains_stays_bounded() -> None:
    recorder = Recorder()
    recorder.extend(bytes(ROW_BYTES * MAX_PENDING))
    recorder.append(RequestMetrics("late", "/r", 200))
    assert recorder.dropped == 1
    assert len(recorder.drain().rows) == MAX_PENDING


def test_the_consoles_own_traffic_is_no_service_traffic() -> None:
    recorder, ring = Recorder(), Ring()
    recorder.append(RequestMetrics("a", "/performance/live", 200), is_service=False)
    recorder.append(RequestMetrics("b", "/v2/models/{model}/infer", 200, "m", duration_ns=5))
    ring.append(1.0, 1.0, {}, tally_of(recorder.drain().rows), recorder.labels.is_service())
    totals, histogram = ring.window(1)
    assert totals["requests"] == 1
    assert histogram.sum() == 1


def test_the_ring_holds_an_hour_and_forgets_the_rest() -> None:
    recorder, ring = Recorder(), Ring()
    for second in range(SECONDS + 5):
        recorder.append(RequestMetrics("a", "/r", 200, "m", duration_ns=1_000_000))
        tally = tally_of(recorder.drain().rows)
        ring.append(float(second), 1.0, {"memory_mb": second}, tally, recorder.labels.is_service())
    assert ring.gauge("memory_mb", 2).tolist() == [SECONDS + 3, SECONDS + 4]
    assert ring.window(60)[0]["requests"] == 60
    assert ring.window(2 * SECONDS)[0]["requests"] == SECONDS
    rows, cells = ring.series(10, np.ones(len(recorder.labels) * len(OUTCOMES), dtype=bool))
    assert rows["seq"].tolist() == cells["seq"].tolist() == list(range(SECONDS - 4, SECONDS + 6))


def test_a_window_without_requests_has_rates_and_no_shares() -> None:
    ring = Ring()
    ring.append(1.0, 1.0, {}, empty_tally(), np.ones(2, dtype=bool))
    figures = figures_of_window(1, *ring.window(1))
    assert figures["requests_per_s"] == 0
    assert figures["p99_ms"] is figures["hit_percent"] is figures["mean_ms"] is None
