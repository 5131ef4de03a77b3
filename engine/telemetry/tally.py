"""What a second of requests amounts to: sums and histograms per series, and of all service.

    series  int64 (k,)               numbers of the series that had requests, ascending
    sums    int64 (k, len(SUMS))     added up over the series' requests
    cells   int64 (c, 3)             place in `series`, bucket, count: durations
    queue   int64 (q, 3)             the same of queue waits

Tallies add up: over seconds, over series, over both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.telemetry.histogram import BUCKETS, buckets_of
from engine.telemetry.labels import OUTCOMES, outcomes_of
from engine.telemetry.record import PHASES
from engine.telemetry.rows import COLD, COLUMN, DEGRADED, places_of
from engine.types import MISSED, RESPONSE_HIT, SHARED_HIT

BATCH_LIMITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
"""Upper bounds of batch sizes, rows; the last class has no bound."""
BATCHES = (*(f"batch_le_{limit}" for limit in BATCH_LIMITS), "batch_larger")
COUNTS = (
    "requests",
    "lookups",
    "response_hits",
    "result_hits",
    "disk_hits",
    "redis_hits",
    "cold_starts",
    "degraded",
    *BATCHES,
)
SUMMED = (
    *("rows", "batch_rows", "bytes_in", "bytes_out", "duration_ns"),
    *(f"{phase}_ns" for phase in PHASES),
)
SUMS = (*COUNTS, *SUMMED)
AT = {name: place for place, name in enumerate(SUMS)}
_SUMMED_COLUMNS = [COLUMN[name] for name in SUMMED]
_BATCH_CLASS = np.searchsorted(BATCH_LIMITS, np.arange(BATCH_LIMITS[-1] + 2)) + 1
_BATCH_CLASS[0] = 0
CHUNK = 4096
"""Rows summed at a time: short enough that a request waits for none of it."""


@dataclass(slots=True)
class Tally:
    """See the module. Empty where nothing was recorded."""

    series: np.ndarray
    sums: np.ndarray
    cells: np.ndarray
    queue: np.ndarray


def empty_tally() -> Tally:
    cells = np.zeros((0, 3), dtype=np.int64)
    sums = np.zeros((0, len(SUMS)), dtype=np.int64)
    return Tally(np.zeros(0, dtype=np.int64), sums, cells, cells)


def tally_of(rows: np.ndarray) -> Tally:
    """The tally of recorded rows (n, WIDTH)."""
    if not len(rows):
        return empty_tally()
    numbers = rows[:, 0] * len(OUTCOMES) + outcomes_of(rows[:, COLUMN["status"]])
    series = np.flatnonzero(np.bincount(numbers))
    place_of = np.zeros(series[-1] + 1, dtype=np.int64)
    place_of[series] = np.arange(len(series))
    sums = np.zeros((len(series), len(SUMS)), dtype=np.int64)
    cells = np.zeros(len(series) * BUCKETS, dtype=np.int64)
    queue = np.zeros(len(series) * BUCKETS, dtype=np.int64)
    for first in range(0, len(rows), CHUNK):
        part, at = rows[first : first + CHUNK], place_of[numbers[first : first + CHUNK]]
        _add(sums, at, part)
        durations, waits = part[:, COLUMN["duration_ns"]], part[:, COLUMN["queue_ns"]]
        cells += np.bincount(at * BUCKETS + buckets_of(durations), minlength=len(cells))
        queue += np.bincount(at * BUCKETS + buckets_of(waits), minlength=len(queue))
    return Tally(series, sums, _cells(cells), _cells(queue))


def _add(sums: np.ndarray, at: np.ndarray, part: np.ndarray) -> None:
    """Add rows to their series' sums, at[i] being the place of row i."""
    height, counts = len(sums), len(COUNTS)
    for place in np.flatnonzero(np.bincount(at)):
        own = part[places_of(at == place)]
        sums[place, counts:] += own.sum(axis=0)[_SUMMED_COLUMNS]
    sums[:, AT["requests"]] += np.bincount(at, minlength=height)
    flags = part[:, COLUMN["flags"]]
    if flags.any():
        sums[:, AT["cold_starts"]] += np.bincount(at[flags & COLD != 0], minlength=height)
        sums[:, AT["degraded"]] += np.bincount(at[flags & DEGRADED != 0], minlength=height)
    caches = _table(at, part[:, COLUMN["cache"]], height, SHARED_HIT + 1)
    sums[:, AT["lookups"]] += caches[:, MISSED:].sum(axis=1)
    sums[:, AT["response_hits"] : AT["redis_hits"] + 1] += caches[:, RESPONSE_HIT:]
    sizes = _BATCH_CLASS[np.minimum(part[:, COLUMN["batch_rows"]], len(_BATCH_CLASS) - 1)]
    batches = _table(at, sizes, height, len(BATCHES) + 1)
    sums[:, AT[BATCHES[0]] : AT[BATCHES[0]] + len(BATCHES)] += batches[:, 1:]


def _table(at: np.ndarray, values: np.ndarray, height: int, width: int) -> np.ndarray:
    """How often each value, below width, is at each place: int64 (height, width)."""
    return np.bincount(at * width + values, minlength=height * width).reshape(height, width)


def _cells(counts: np.ndarray) -> np.ndarray:
    filled = np.flatnonzero(counts)
    return np.stack([filled // BUCKETS, filled % BUCKETS, counts[filled]], axis=1)


def dense(cells: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """One histogram, int64 (BUCKETS,), of the cells whose series is chosen, bool (k,)."""
    kept = cells[chosen[cells[:, 0]]] if len(cells) else cells
    return np.bincount(kept[:, 1], weights=kept[:, 2], minlength=BUCKETS).astype(np.int64)


def total_of(tally: Tally, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums with errors by class, and durations, over the series chosen, bool (k,).

    sums: int64 (len(TOTALS),).
    """
    outcomes = tally.series % len(OUTCOMES)
    requests = tally.sums[:, 0] * chosen
    by_outcome = np.bincount(outcomes, weights=requests, minlength=len(OUTCOMES)).astype(np.int64)
    sums = tally.sums[chosen].sum(axis=0)
    return np.concatenate([sums, by_outcome]), dense(tally.cells, chosen)


TOTALS = (*SUMS, *(f"requests_{outcome}" for outcome in OUTCOMES))
TOTAL_AT = {name: place for place, name in enumerate(TOTALS)}
