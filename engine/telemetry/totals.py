"""Totals since start: exact, per series, for scrapers and for the models' table."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np

from engine.telemetry.histogram import BUCKETS
from engine.telemetry.labels import OUTCOMES, Labels
from engine.telemetry.tally import AT, SUMS, Tally


@dataclass(slots=True)
class SeriesTotal:
    """Sums by SUMS; histograms of durations and of queue waits; UTC seconds of the newest."""

    sums: np.ndarray = field(default_factory=lambda: np.zeros(len(SUMS), dtype=np.int64))
    durations: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    queue: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    newest_s: float = 0.0

    def add(self, other: SeriesTotal) -> None:
        self.sums += other.sums
        self.durations += other.durations
        self.queue += other.queue
        self.newest_s = max(self.newest_s, other.newest_s)

    def __getitem__(self, name: str) -> int:
        """A sum by its name."""
        return int(self.sums[AT[name]])


class Totals:
    """Written by the ticker alone."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.by_series: dict[int, SeriesTotal] = {}
        self.requests = 0
        self._lock = threading.Lock()

    def add(self, tally: Tally, time_s: float = 0.0) -> None:
        """Add one second that ended at time_s, UTC."""
        service = self.labels.is_service()[tally.series // len(OUTCOMES)]
        with self._lock:
            self.requests += int(tally.sums[service, 0].sum())
            for place, number in enumerate(tally.series.tolist()):
                total = self.by_series.setdefault(number, SeriesTotal())
                total.sums += tally.sums[place]
                total.newest_s = time_s
                for cells, into in ((tally.cells, total.durations), (tally.queue, total.queue)):
                    own = cells[cells[:, 0] == place]
                    into[own[:, 1]] += own[:, 2]

    def copied(self) -> dict[int, SeriesTotal]:
        """All totals, none of them half of a second."""
        with self._lock:
            return {
                number: replace(
                    total,
                    sums=total.sums.copy(),
                    durations=total.durations.copy(),
                    queue=total.queue.copy(),
                )
                for number, total in self.by_series.items()
            }

    def of_model(self, model: str) -> tuple[SeriesTotal, dict[str, int]]:
        """A model's total over versions, routes and outcomes, and its requests by outcome."""
        merged, outcomes = SeriesTotal(), dict.fromkeys(OUTCOMES, 0)
        for number, total in tuple(self.by_series.items()):
            label, outcome = self.labels.series(number)
            if label.model == model and label.is_service:
                merged.add(total)
                outcomes[outcome] += total["requests"]
        return merged, outcomes
