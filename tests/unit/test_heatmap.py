"""The heat map of latency."""

from __future__ import annotations

import numpy as np
import pytest

from engine.telemetry.frames import Frames, Grid
from engine.telemetry.heatmap import BANDS, heatmap
from engine.telemetry.histogram import BUCKETS, histogram_of


def frames_of(*durations_ms: list[float]) -> Frames:
    frames = Frames(Grid(1000.0, 10.0, len(durations_ms)))
    for place, values in enumerate(durations_ms):
        frames.histograms[place] = histogram_of(np.array(values) * 1e6)
    return frames


def test_every_request_is_in_the_band_of_its_duration() -> None:
    found = heatmap(frames_of([0.05, 0.05, 3.0], [], [200.0]))
    assert found["times"] == [1000, 1010, 1020]
    counts, bounds = np.array(found["counts"]), np.array(found["bounds_ms"])
    assert counts.sum(axis=1).tolist() == [3, 0, 1]
    assert len(bounds) == counts.shape[1] + 1 <= BANDS + 1
    for step, value, count in ((0, 0.05, 2), (0, 3.0, 1), (2, 200.0, 1)):
        band = int(np.searchsorted(bounds, value, "right")) - 1
        assert counts[step, band] == count


def test_one_duration_is_one_band() -> None:
    found = heatmap(frames_of([5.0]))
    assert found["counts"] == [[1]]
    low, high = found["bounds_ms"]
    assert low <= 5.0 < high
    assert high / low == pytest.approx(1.02)


def test_the_longest_durations_are_counted() -> None:
    frames = frames_of([0.001])
    frames.histograms[0, BUCKETS - 1] = 7
    assert np.sum(heatmap(frames)["counts"]) == 8


def test_without_requests_there_are_no_bands() -> None:
    assert heatmap(frames_of([], [])) == {"times": [1000, 1010], "bounds_ms": [], "counts": []}
