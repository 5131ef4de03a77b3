"""Totals since start: exact, per series, for scrapers and for the models' table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.telemetry.histogram import BUCKETS
from engine.telemetry.labels import OUTCOMES, Labels
from engine.telemetry.tally import AT, SUMS, Tally


@dataclass(slots=True)
class SeriesTotal:
    """Sums by SUMS; histograms of durations and of queue waits."""

    sums: np.ndarray = field(default_factory=lambda: np.zeros(len(SUMS), dtype=np.int64))
    durations: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    queue: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))

    def add(self, other: SeriesTotal) -> None:
        self.sums += other.sums
        self.durations += other.durations
        self.queue += other.queue

    def __getitem__(self, name: str) -> int:
        """A sum by its name."""
        return int(self.sums[AT[name]])


class Totals:
    """Written by the ticker alone."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.by_series: dict[int, SeriesTotal] = {}
        self.requests = 0

    def add(self, tally: Tally) -> None:
        """Add one second."""
        for place, number in enumerate(tally.series.tolist()):
            total = self.by_series.get(number)
            if total is None:
                total = self.by_series[number] = SeriesTotal()
            total.sums += tally.sums[place]
        numbers = tally.series.tolist()
        for cells, name in ((tally.cells, "durations"), (tally.queue, "queue")):
            for place in np.unique(cells[:, 0]).tolist():
                own = cells[cells[:, 0] == place]
                getattr(self.by_series[numbers[place]], name)[own[:, 1]] += own[:, 2]
        service = self.labels.is_service()[tally.series // len(OUTCOMES)]
        self.requests += int(tally.sums[service, 0].sum())

    def of_model(self, model: str) -> tuple[SeriesTotal, dict[str, int]]:
        """A model's total over versions, routes and outcomes, and its requests by outcome."""
        merged, outcomes = SeriesTotal(), dict.fromkeys(OUTCOMES, 0)
        for number, total in tuple(self.by_series.items()):
            label, outcome = self.labels.series(number)
            if label.model == model and label.is_service:
                merged.add(total)
                outcomes[outcome] += total["requests"]
        return merged, outcomes
