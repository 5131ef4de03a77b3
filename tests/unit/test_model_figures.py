"""What the Models page is told of: bars of a histogram, the newest request, who waits."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from app.api.models import bars_of
from engine.executors.scheduler import Job, Scheduler
from engine.telemetry.histogram import BUCKETS, histogram_of
from engine.telemetry.labels import OUTCOMES, Label, Labels
from engine.telemetry.rows import COLUMN, WIDTH
from engine.telemetry.tally import tally_of
from engine.telemetry.totals import Totals


def test_bars_hold_every_request_within_their_bounds() -> None:
    random = np.random.default_rng(1)
    durations = (10 ** random.uniform(3.2, 8.5, 5000)).astype(np.int64)
    bounds, counts = bars_of(histogram_of(durations))
    assert len(bounds) == len(counts) + 1 <= 61
    assert sum(counts) == 5000
    expected, _ = np.histogram(durations / 1e6, bounds)
    assert np.abs(expected - counts).sum() <= 2  # on a bound, a rounding decides


def test_bars_are_equal_on_a_log_scale_and_keep_their_places() -> None:
    first, _ = bars_of(histogram_of(np.array([200_000, 210_000, 400_000, 900_000])))
    ratios = np.diff(np.log(first))
    assert ratios == pytest.approx(ratios[0])
    again, _ = bars_of(histogram_of(np.array([230_000, 400_000, 900_000])))
    steps = np.log(again[0] / first[0]) / ratios[0]
    assert steps == pytest.approx(round(steps), abs=1e-6)


@pytest.mark.parametrize("places", [[], [0], [BUCKETS - 1], [0, BUCKETS - 1], [400, 459], [7, 67]])
def test_bars_of_odd_histograms(places: list[int]) -> None:
    counts = np.zeros(BUCKETS, dtype=np.int64)
    counts[places] = 3
    bounds, bars = bars_of(counts)
    assert sum(bars) == 3 * len(places)
    assert len(bars) <= 60
    assert bounds == sorted(bounds)


def test_totals_know_when_a_model_was_last_used() -> None:
    labels = Labels()
    number = labels.id_of(Label("m", "1", "", "/v2/models/{model}/infer"))
    rows = np.zeros((1, WIDTH), dtype=np.int64)
    rows[0, 0], rows[0, COLUMN["status"]] = number, 200
    totals = Totals(labels)
    assert totals.of_model("m")[0].newest_s == 0.0
    totals.add(tally_of(rows), 100.0)
    rows[0, COLUMN["status"]] = 500
    totals.add(tally_of(rows), 101.5)
    totals.add(tally_of(rows[:0]), 103.0)
    assert totals.of_model("m")[0].newest_s == 101.5
    assert {total.newest_s for total in totals.copied().values()} == {100.0, 101.5}
    assert len(OUTCOMES) > 1


def test_a_scheduler_says_how_many_of_a_group_wait_and_run() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def execute(_: list[Job]) -> None:
        begun.set()
        go_on.wait(5)

    scheduler = Scheduler(1, 8, execute)
    assert scheduler.waiting("m") == (0, 0)
    scheduler.submit(Job("m"))
    assert begun.wait(5)
    scheduler.submit(Job("m"))
    scheduler.submit(Job("other"))
    assert scheduler.waiting("m") == (1, 1)
    assert scheduler.waiting("other") == (1, 0)
    go_on.set()
    scheduler.close(wait_s=5)
    assert scheduler.waiting("m") == (0, 0)
