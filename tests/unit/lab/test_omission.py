"""The arithmetic of coordinated omission."""

from __future__ import annotations

import numpy as np
import pytest

from bench.lab.omission import corrected, expected_ms
from engine.telemetry.histogram import histogram_of, percentile_ms


def test_the_arithmetic_of_one_second_in_ten() -> None:
    assert expected_ms(0.5, 2.0, 1.0, 10.0) == 2.0
    assert expected_ms(0.9, 2.0, 1.0, 10.0) == 2.0
    assert expected_ms(0.95, 2.0, 1.0, 10.0) == pytest.approx(502.0)
    assert expected_ms(0.99, 2.0, 1.0, 10.0) == pytest.approx(902.0)


def test_a_wait_is_counted_once_for_each_send_it_held_back() -> None:
    counts = histogram_of(np.array([10.0, 10.0, 100.0]) * 1e6)
    fixed = corrected(counts, 10.0)
    # 100 ms held back sends after 10, 20, ..., 90 ms: 90, 80, ..., 10 ms are added
    assert fixed.sum() == 3 + 9
    assert percentile_ms(fixed, 8 / 12) == pytest.approx(60, rel=0.02)


def test_what_is_no_longer_than_the_interval_is_left_as_it_is() -> None:
    counts = histogram_of(np.array([1.0, 5.0, 9.0]) * 1e6)
    assert (corrected(counts, 10.0) == counts).all()


def test_the_correction_of_a_closed_loop_gives_the_arithmetic() -> None:
    service_ms, stall_ms = 2.0, 1000.0
    closed = np.array([service_ms] * 4500 + [stall_ms])
    counts = histogram_of(closed * 1e6)
    assert percentile_ms(counts, 0.99) == pytest.approx(2.0, rel=0.02)
    fixed = corrected(counts, service_ms)
    assert percentile_ms(fixed, 0.99) == pytest.approx(expected_ms(0.99, 2, 1, 10), rel=0.02)
