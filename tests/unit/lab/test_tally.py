"""Counts, percentiles and the bounded series."""

from __future__ import annotations

import numpy as np
import pytest

from bench.lab.tally import MOST_POINTS, MOST_TEXTS, Tally
from engine.telemetry.histogram import histogram_of


def answer(tally: Tally, *latencies_ms: float) -> None:
    for latency_ms in latencies_ms:
        tally.requests += 1
        tally.latency.waiting.append(int(latency_ms * 1e6))


def test_percentiles_are_within_one_percent_and_mean_and_maximum_exact() -> None:
    tally = Tally()
    answer(tally, *range(1, 1001))
    tally.tick(1.0)
    figures = tally.latency.figures()
    assert figures["p50"] == pytest.approx(500, rel=0.01)
    assert figures["p99"] == pytest.approx(990, rel=0.01)
    assert figures["mean"] == 500.5
    assert figures["max"] == 1000.0


def test_nothing_counted_is_no_figure() -> None:
    tally = Tally()
    tally.tick(1.0)
    record = tally.record(True)
    assert record["latency_ms"]["p99"] is None
    assert record["server_ms"] is None
    assert record["histogram"] == {"edges_ms": [], "counts": []}


def test_a_day_of_seconds_is_at_most_600_points_that_lose_no_request() -> None:
    tally = Tally()
    for second in range(1, 5001):
        answer(tally, 1.0, 2.0)
        tally.tick(float(second))
    rows = tally.record(False)["series"]["points"]
    widths = np.diff([row[0] for row in rows] + [5000.0])
    assert len(rows) <= MOST_POINTS
    assert sum(row[2] * width for row, width in zip(rows, widths, strict=True)) == pytest.approx(
        10_000
    )
    assert set(widths[:-1]) == {16.0}


def test_joined_points_have_the_percentiles_of_both() -> None:
    tally = Tally()
    for second in range(1, MOST_POINTS + 2):
        answer(tally, *([1.0] * 9), 100.0 if second == 1 else 1.0)
        tally.tick(float(second))
    first = tally.points[0]
    expected = histogram_of(np.array([1e6] * 19 + [1e8]))
    assert (first.counts == expected).all()


def test_error_texts_are_bounded() -> None:
    tally = Tally()
    for number in range(100):
        tally.failed(f"error {number}")
    assert len(tally.error_texts) == MOST_TEXTS
    assert sum(tally.error_texts.values()) == tally.errors == 100
    assert tally.error_texts["other errors"] == 100 - (MOST_TEXTS - 1)


def test_the_histogram_has_one_edge_more_than_counts() -> None:
    tally = Tally()
    answer(tally, 1.0, 1.5)
    tally.tick(1.0)
    histogram = tally.record(False)["histogram"]
    assert len(histogram["edges_ms"]) == len(histogram["counts"]) + 1
    assert sum(histogram["counts"]) == 2
    assert histogram["edges_ms"][0] <= 1.0 < histogram["edges_ms"][1]


def test_a_sliver_at_the_end_is_part_of_the_last_second() -> None:
    tally = Tally()
    answer(tally, 1.0)
    tally.tick(1.0)
    answer(tally, 1.0)
    tally.tick(1.01)
    (row,) = tally.record(False)["series"]["points"]
    assert row[2] == pytest.approx(2 / 1.01, abs=0.01)
