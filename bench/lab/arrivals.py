"""When requests are due: seconds from the start, rising, known before anything is sent.

An iterator yields one time a request and ends before `until_s`; a day of arrivals takes no more
memory than a second of them. The same seed gives the same times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

CHUNK = 4096


def constant(rate_per_s: float, until_s: float) -> Iterator[float]:
    """One every 1 / rate seconds, the first at 0. Times do not drift: n / rate, not a sum."""
    number = 0
    while (due_s := number / rate_per_s) < until_s:
        yield due_s
        number += 1


def poisson(rate_per_s: float, until_s: float, seed: int) -> Iterator[float]:
    """Independent arrivals: gaps are exponential with mean 1 / rate."""
    random = np.random.default_rng(seed)
    last_s = 0.0
    while True:
        times = last_s + np.cumsum(random.exponential(1 / rate_per_s, CHUNK))
        for due_s in times.tolist():
            if due_s >= until_s:
                return
            yield due_s
        last_s = float(times[-1])


def recorded(times_s: Iterable[float], speed: float, until_s: float) -> Iterator[float]:
    """Times of recorded requests, `speed` times as fast."""
    for time_s in times_s:
        due_s = time_s / speed
        if due_s >= until_s:
            return
        yield due_s
