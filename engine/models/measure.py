"""Time and memory of a backend, measured in the tournament's child."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from engine.models.backends import Backend
from engine.models.files import private_bytes

TIMING_BUDGET_S = 0.15
MAX_RUNS = 200
MIN_RUNS = 5
SLOW_S = 1.0


def time_batches(
    backend: Backend, inputs: Mapping[str, np.ndarray], output: str, sizes: tuple[int, ...]
) -> dict[int, float]:
    """Median microseconds of a run by batch size, the rows taken in turn from `inputs`."""
    medians = {}
    for rows in sizes:
        batches = _batches(inputs, rows)
        backend.run(batches[0], (output,))
        times: list[int] = []
        while not _enough(times):
            batch = batches[len(times) % len(batches)]
            started_ns = time.perf_counter_ns()
            backend.run(batch, (output,))
            times.append(time.perf_counter_ns() - started_ns)
        medians[rows] = statistics.median(times) / 1e3
    return medians


def _enough(times_ns: list[int]) -> bool:
    spent_s = sum(times_ns) / 1e9
    if len(times_ns) >= MAX_RUNS or spent_s > SLOW_S:
        return True
    return spent_s > TIMING_BUDGET_S and len(times_ns) >= MIN_RUNS


def memory_of(
    open_again: Callable[[], Backend],
    rows: Mapping[str, np.ndarray],
    file: Path,
    sizes: tuple[int, ...],
) -> int:
    """Private bytes that opening a form and running it adds, at least its file's size.

    The libraries are loaded already, so only the model itself is counted.
    """
    before = private_bytes()
    backend = open_again()
    for count in sizes:
        batch = {name: array[:count] for name, array in rows.items()}
        backend.run(batch, tuple(sorted(backend.covers))[:1])
    return max(private_bytes() - before, file.stat().st_size)


def _batches(inputs: Mapping[str, np.ndarray], rows: int) -> list[dict[str, np.ndarray]]:
    total = len(next(iter(inputs.values())))
    picks = [np.arange(start, start + rows) % total for start in range(0, 16 * rows, rows)]
    return [{name: array[pick] for name, array in inputs.items()} for pick in picks]
