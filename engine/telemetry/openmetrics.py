"""Everything that scrapers are given, as prometheus-client's families, from the totals.

Histograms are summed up to every twentieth of our bounds, so that a quantile computed from
them lies in the bucket that holds the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from engine.telemetry.catalogue import FAMILIES
from engine.telemetry.histogram import UPPER_NS
from engine.telemetry.record import PHASES
from engine.telemetry.tally import BATCH_LIMITS, BATCHES
from engine.telemetry.totals import SeriesTotal, Totals

EVERY = 20
BOUND_PLACES = np.arange(EVERY - 1, len(UPPER_NS), EVERY)
BOUNDS = [f"{UPPER_NS[place] / 1e9:.6g}" for place in BOUND_PLACES]
GAUGES = (
    ("pyrometer_resident_memory_bytes", "memory_mb", 1e6),
    ("pyrometer_cpu_ratio", "cpu_percent", 0.01),
    ("pyrometer_open_files", "open_files", 1),
    ("pyrometer_threads", "threads", 1),
    ("pyrometer_gil_wait_seconds", "gil_wait_ms", 1e-3),
    ("pyrometer_gc_pause_ratio", "gc_pause_ms", 1e-3),
    ("pyrometer_outside_seconds", "outside_ms", 1e-3),
    ("pyrometer_queued_requests", "queued", 1),
    ("pyrometer_open_connections", "connections", 1),
    ("pyrometer_system_cpu_ratio", "system_cpu_percent", 0.01),
    ("pyrometer_system_memory_ratio", "system_memory_percent", 0.01),
)
"""Family, gauge of the ring, factor to base units."""
KINDS = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
_FAMILY = {family.name: family for family in FAMILIES}

Labelled = Sequence[tuple[tuple[str, ...], float]]


class EngineCollector(Collector):
    """One engine's families. state: further families as labelled values, by name."""

    def __init__(
        self,
        totals: Totals,
        gauges: Callable[[], Mapping[str, float | None]],
        state: Callable[[], Mapping[str, Labelled]],
    ) -> None:
        self._totals, self._gauges, self._state = totals, gauges, state

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        service, other = self._series()
        yield from _of_series(service)
        yield from _of_models(_merged(service))
        http = _family("pyrometer_http_requests")
        for (*_, route, outcome), total in other.items():
            http.add_metric((route, outcome), total["requests"])
        yield http
        values = self._gauges()
        for name, gauge, factor in GAUGES:
            value = values.get(gauge)
            if value is not None:
                family = _family(name)
                family.add_metric((), value * factor)
                yield family
        for name, labelled in self._state().items():
            family = _family(name)
            for labels, value in labelled:
                family.add_metric(labels, value)
            yield family

    def _series(self) -> tuple[dict[tuple[str, ...], SeriesTotal], ...]:
        service: dict[tuple[str, ...], SeriesTotal] = {}
        other: dict[tuple[str, ...], SeriesTotal] = {}
        for number, total in self._totals.copied().items():
            label, outcome = self._totals.labels.series(number)
            (service if label.is_service else other)[(*label[:4], outcome)] = total
        return service, other


def registry_of(collector: EngineCollector) -> CollectorRegistry:
    """A registry of its own for one engine."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def _family(name: str) -> Any:
    family = _FAMILY[name]
    return KINDS[family.kind](family.name, family.help, labels=family.labels)


def _of_series(service: Mapping[tuple[str, ...], SeriesTotal]) -> Iterator[Any]:
    requests = _family("pyrometer_requests")
    durations = _family("pyrometer_request_duration_seconds")
    for labels, total in service.items():
        requests.add_metric(labels, total["requests"])
        durations.add_metric(labels, _buckets(total.durations), total["duration_ns"] / 1e9)
    yield from (requests, durations)


def _of_models(models: Mapping[tuple[str, ...], SeriesTotal]) -> Iterator[Any]:
    waits, phases = _family("pyrometer_queue_wait_seconds"), _family("pyrometer_phase_seconds")
    lookups, batches = _family("pyrometer_cache_lookups"), _family("pyrometer_batch_rows")
    counters = [
        (_family("pyrometer_cold_starts"), "cold_starts"),
        (_family("pyrometer_rows"), "rows"),
        (_family("pyrometer_request_bytes"), "bytes_in"),
        (_family("pyrometer_response_bytes"), "bytes_out"),
    ]
    for labels, total in models.items():
        waits.add_metric(labels, _buckets(total.queue), total["queue_ns"] / 1e9)
        spent = {phase: total[f"{phase}_ns"] for phase in PHASES}
        spent["unaccounted"] = total["duration_ns"] - sum(spent.values())
        for phase, ns in spent.items():
            phases.add_metric((*labels, phase), ns / 1e9)
        hits = {tier: total[f"{tier}_hits"] for tier in ("response", "result", "disk", "redis")}
        for result, count in hits.items():
            lookups.add_metric((*labels, result), count)
        lookups.add_metric((*labels, "miss"), total["lookups"] - sum(hits.values()))
        for family, name in counters:
            family.add_metric(labels, total[name])
        sizes = np.cumsum([total[name] for name in BATCHES]).tolist()
        bounds = [*map(str, BATCH_LIMITS), "+Inf"]
        batches.add_metric(labels, [*zip(bounds, sizes, strict=True)], total["batch_rows"])
    yield from (waits, phases, lookups, *(family for family, _ in counters), batches)


def _merged(service: Mapping[tuple[str, ...], SeriesTotal]) -> dict[tuple[str, ...], SeriesTotal]:
    """Totals over outcomes."""
    found: dict[tuple[str, ...], SeriesTotal] = {}
    for labels, total in service.items():
        found.setdefault(labels[:4], SeriesTotal()).add(total)
    return found


def _buckets(histogram: np.ndarray) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound, seconds."""
    sums = np.cumsum(histogram)
    counts = [float(count) for count in sums[BOUND_PLACES]]
    return [*zip(BOUNDS, counts, strict=True), ("+Inf", float(sums[-1]))]
