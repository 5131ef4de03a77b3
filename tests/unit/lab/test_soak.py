"""When a soak is green."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bench.lab.aged import age
from bench.lab.soak import judged, noise_mb_per_h, soak_spec
from engine.telemetry.ring import SECONDS, Ring
from tests.conftest import ROOT

SPEC = soak_spec("http://127.0.0.1:1", 720.0, 100.0, 8, "soak")
GOOD: dict[str, Any] = {"valid": True, "errors": 0, "error_texts": {}, "expected_errors": 7}


def samples(
    growth_mb_per_h: float = 0.0, files: float = 20, more_files_per_h: float = 0.0
) -> list[tuple[float, float, int, int]]:
    """One a second: a warm-up that grows, then 100 MB with some noise and growth."""
    random = np.random.default_rng(5)
    rows = []
    for second in range(720):
        over_h = max(0.0, second - SPEC.warmup_s) / 3600
        rss_mb = 100 + min(second / SPEC.warmup_s, 1) + growth_mb_per_h * over_h
        rss_mb += float(random.normal(scale=0.05))
        rows.append((float(second), rss_mb, int(files + more_files_per_h * over_h), 12))
    return rows


def test_growth_of_the_warm_up_is_no_growth() -> None:
    verdict = judged(samples(), SPEC, GOOD)
    assert verdict["green"], verdict["because"]
    assert abs(verdict["rss_mb"]["slope_per_h"]) < 1
    assert verdict["expected_errors"] == 7


def test_a_leak_is_red() -> None:
    verdict = judged(samples(growth_mb_per_h=40), SPEC, GOOD)
    assert not verdict["green"]
    assert "memory grows" in verdict["because"][0]
    assert verdict["rss_mb"]["slope_per_h"] == pytest.approx(40, rel=0.1)


def test_files_that_pile_up_are_red() -> None:
    verdict = judged(samples(more_files_per_h=60), SPEC, GOOD)
    assert verdict["because"] == ["open files grow from 21 to 27.5"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"errors": 1, "error_texts": {"status 500": 1}}, "1 unexpected errors"),
        ({"valid": False, "invalid_because": "sending fell behind"}, "sending fell behind"),
    ],
)
def test_an_error_or_an_invalid_run_is_red(change: dict[str, Any], word: str) -> None:
    assert word in judged(samples(), SPEC, GOOD | change)["because"][0]


def test_too_few_samples_are_red() -> None:
    verdict = judged(samples()[:150], SPEC, GOOD)
    assert verdict["rss_mb"] is None
    assert not verdict["green"]


def test_the_noise_of_a_short_run_is_two_megabytes_and_of_a_day_one_an_hour() -> None:
    assert noise_mb_per_h(3600) == 2.0
    assert noise_mb_per_h(360) == 20.0
    assert noise_mb_per_h(86_400) == 1.0


def test_an_aged_ring_holds_an_hour_in_which_nothing_happened() -> None:
    ring = Ring()
    age(ring, 10_000.0)
    stretch = ring.stretch(SECONDS)
    assert len(stretch.elapsed_s) == SECONDS
    assert stretch.monotonic_s[[0, -1]].tolist() == [10_000.0 - SECONDS, 9_999.0]
    assert not stretch.totals.any()
    assert not stretch.histograms.any()
    assert np.isnan(stretch.gauges).all()


IN_A_PROCESS_OF_ITS_OWN = """
import psutil
from bench.lab.aged import age
from engine.telemetry.ring import Ring
rss = psutil.Process().memory_info
before = rss().rss
ring = Ring()
begun = rss().rss
age(ring, 10_000.0)
print(begun - before, rss().rss - begun)
"""


def test_a_ring_takes_its_memory_at_the_start() -> None:
    command = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    at_start, afterwards = map(int, told.split())
    assert at_start > 30e6
    assert afterwards < 2e6
