"""Intended send times."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from bench.lab import arrivals


def test_constant_arrivals_are_even_and_do_not_drift() -> None:
    times = list(arrivals.constant(300.0, 100.0))
    assert len(times) == 30_000
    assert times[0] == 0.0
    assert times[29_999] == 29_999 / 300


def test_the_end_is_not_an_arrival() -> None:
    assert list(arrivals.constant(2.0, 1.0)) == [0.0, 0.5]


def test_poisson_gaps_are_exponential() -> None:
    times = np.array(list(arrivals.poisson(1000.0, 200.0, seed=3)))
    gaps = np.diff(times)
    assert len(times) == pytest.approx(200_000, rel=0.01)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)  # true of exponential gaps only
    assert (gaps > 2e-3).mean() == pytest.approx(np.exp(-2), rel=0.03)


def test_a_seed_gives_the_same_times_and_another_gives_others() -> None:
    first = list(islice(arrivals.poisson(10.0, 1e9, seed=1), 10_000))
    assert first == list(islice(arrivals.poisson(10.0, 1e9, seed=1), 10_000))
    assert first != list(islice(arrivals.poisson(10.0, 1e9, seed=2), 10_000))
    assert first == sorted(first)


def test_recorded_times_are_played_as_many_times_faster() -> None:
    assert list(arrivals.recorded([0.0, 1.0, 4.0, 9.0], 2.0, 3.0)) == [0.0, 0.5, 2.0]
