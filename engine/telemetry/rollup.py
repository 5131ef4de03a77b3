"""Seconds added up to the stretches that history keeps.

    TIERS   10 s for a day, 1 min for 30 days, 1 h for two years, and steps between that keep
            a look back short: 10 min, 6 h, a day

A bucket holds the sums and histogram of each series, and of all service traffic as TOTAL
together with the gauges. The running bucket is copied now and then, so that little is lost
when the process is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from engine.telemetry.histogram import BUCKETS
from engine.telemetry.labels import OUTCOMES, Labels, Series
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import Tally, total_of


class Tier(NamedTuple):
    """One resolution. step_s: of its buckets; keep_s: how long they are kept."""

    step_s: int
    keep_s: int


DAY_S = 86_400
TIERS = (
    Tier(10, DAY_S),
    Tier(60, 30 * DAY_S),
    Tier(600, 60 * DAY_S),
    Tier(3600, 730 * DAY_S),
    Tier(21_600, 730 * DAY_S),
    Tier(DAY_S, 730 * DAY_S),
)
TOTAL = None
"""The key of all service traffic among series."""


@dataclass(slots=True)
class Part:
    """Sums and durations of one series in one bucket."""

    sums: np.ndarray
    histogram: np.ndarray


@dataclass(slots=True)
class Bucket:
    """One stretch of the finest tier. start_s: UTC, a multiple of the step."""

    start_s: int
    seconds: float = 0.0
    parts: dict[Series | None, Part] = field(default_factory=dict)
    gauge_sums: np.ndarray = field(default_factory=lambda: np.zeros(len(GAUGES)))
    gauge_counts: np.ndarray = field(default_factory=lambda: np.zeros(len(GAUGES)))
    gauge_maxima: np.ndarray = field(default_factory=lambda: np.full(len(GAUGES), np.nan))

    def add(self, seconds: float, tally: Tally, gauges: np.ndarray, labels: Labels) -> None:
        """Add one second. gauges: in the order of GAUGES, NaN = no data."""
        self.seconds += seconds
        known = ~np.isnan(gauges)
        self.gauge_sums[known] += gauges[known]
        self.gauge_counts += known
        self.gauge_maxima = np.fmax(self.gauge_maxima, gauges)
        service = labels.is_service()[tally.series // len(OUTCOMES)]
        self._add(TOTAL, *total_of(tally, service))
        for place, number in enumerate(tally.series.tolist()):
            own = tally.cells[tally.cells[:, 0] == place]
            counts = np.zeros(BUCKETS, dtype=np.int64)
            counts[own[:, 1]] = own[:, 2]
            self._add(labels.series(number), tally.sums[place], counts)

    def _add(self, series: Series | None, sums: np.ndarray, histogram: np.ndarray) -> None:
        part = self.parts.get(series)
        if part is None:
            self.parts[series] = Part(sums.copy(), histogram.copy())
        else:
            part.sums += sums
            part.histogram += histogram

    def gauges(self) -> np.ndarray:
        """Means and maxima, float32 (2, len(GAUGES))."""
        with np.errstate(invalid="ignore"):
            means = self.gauge_sums / self.gauge_counts
        return np.stack([means, self.gauge_maxima]).astype(np.float32)

    def copied(self) -> Bucket:
        """A copy that further seconds do not change."""
        parts = {
            series: Part(part.sums.copy(), part.histogram.copy())
            for series, part in self.parts.items()
        }
        return Bucket(
            self.start_s,
            self.seconds,
            parts,
            self.gauge_sums.copy(),
            self.gauge_counts.copy(),
            self.gauge_maxima.copy(),
        )
