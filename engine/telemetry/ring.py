"""The ring: one row a second for an hour, in fixed memory.

    columns     float64 (SECONDS, len(COLUMNS))   NaN = no data
    histograms  uint32 (SECONDS, BUCKETS)         durations of that second

Rows are numbered by a sequence that only grows; row `seq` lies at `seq % SECONDS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.telemetry.histogram import BUCKETS

SECONDS = 3600
COLUMNS = (
    "t",
    "requests_per_s",
    "errors_per_s",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "hit_percent",
    "error_percent",
    "cpu_percent",
    "memory_mb",
    "system_cpu_percent",
    "system_memory_percent",
    "disk_read_mb_s",
    "disk_write_mb_s",
    "net_in_mb_s",
    "net_out_mb_s",
)
COUNTS = ("requests", "errors_4xx", "errors_5xx", "hits", "lookups")


class Ring:
    """Written by the ticker alone; readers take copies."""

    def __init__(self) -> None:
        self.seq = 0
        self._columns = np.full((SECONDS, len(COLUMNS)), np.nan)
        self._histograms = np.zeros((SECONDS, BUCKETS), dtype=np.uint32)
        self._counts = np.zeros((SECONDS, len(COUNTS)), dtype=np.int64)

    def append(
        self, row: Mapping[str, float | None], counts: Mapping[str, int], histogram: np.ndarray
    ) -> int:
        """Store the next second; returns its sequence number, the first being 1."""
        place = (self.seq + 1) % SECONDS
        values = (row.get(name) for name in COLUMNS)
        self._columns[place] = [np.nan if value is None else value for value in values]
        self._counts[place] = [counts[name] for name in COUNTS]
        self._histograms[place] = histogram
        self.seq += 1
        return self.seq

    def window(self, seconds: int, ending_before: int = 0) -> tuple[dict[str, int], np.ndarray]:
        """Summed counts and merged histogram of `seconds` rows, `ending_before` rows ago."""
        last = self.seq - ending_before
        places = np.arange(max(1, last - seconds + 1), last + 1) % SECONDS
        totals = self._counts[places].sum(axis=0)
        merged = self._histograms[places].sum(axis=0, dtype=np.int64)
        return dict(zip(COUNTS, (int(total) for total in totals), strict=True)), merged

    def rows(self, seconds: int) -> list[list[float | None]]:
        """The last rows, oldest first, None where there is no data."""
        places = np.arange(max(1, self.seq - seconds + 1), self.seq + 1) % SECONDS
        return [
            [None if value != value else value for value in row]
            for row in self._columns[places].tolist()
        ]
