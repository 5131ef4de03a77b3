"""The product's targets, one a row."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """One target. best: "low" is met below the limit, "high" above it.

    figure: a name of the run's, of every model where per_model. live: the figure of the window
    that says the same of live traffic.
    """

    id: str
    group: str
    label: str
    words: str
    best: str
    limit: float
    unit: str
    figure: str
    per_model: bool = False
    live: str = ""


TARGETS = (
    Target(
        "cold_start",
        "Time",
        "Process start to first answer",
        "under 1,000 ms",
        "low",
        1000,
        "ms",
        "cold_start_ms",
        True,
    ),
    Target(
        "cold_model",
        "Time",
        "Cold model, first answer",
        "under 1,000 ms",
        "low",
        1000,
        "ms",
        "cold_model_ms",
        True,
    ),
    Target(
        "warm",
        "Time",
        "Warm, p99, no cache",
        "under 100 ms",
        "low",
        100,
        "ms",
        "warm_p99_ms",
        True,
        "p99_ms",
    ),
    Target(
        "hits",
        "Time",
        "Cache hits under the mix",
        "over 70 %",
        "high",
        70,
        "%",
        "hit_percent",
        False,
        "hit_percent",
    ),
    Target(
        "reduction",
        "Time",
        "Time saved to scikit-learn",
        "50 to 70 %",
        "high",
        50,
        "%",
        "reduction_from_warm_percent",
    ),
    Target(
        "base",
        "Memory",
        "Memory, no model loaded",
        "about 200 MB",
        "low",
        220,
        "MB",
        "memory_base_mb",
    ),
    Target(
        "loaded",
        "Memory",
        "Memory, all models loaded",
        "400 to 600 MB",
        "low",
        600,
        "MB",
        "memory_loaded_mb",
        False,
        "memory_mb",
    ),
    Target(
        "peak",
        "Memory",
        "Memory, peak",
        "under 1,000 MB",
        "low",
        1000,
        "MB",
        "memory_peak_mb",
        False,
        "memory_peak_mb",
    ),
    Target(
        "cache",
        "Memory",
        "Memory of filled caches",
        "100 to 200 MB",
        "low",
        200,
        "MB",
        "cache_overhead_mb",
    ),
    Target("idle", "Processor", "CPU, idle", "under 5 %", "low", 5, "%", "cpu_idle_percent"),
    Target(
        "at20",
        "Processor",
        "CPU at 20 requests/s",
        "20 to 40 %",
        "low",
        40,
        "%",
        "cpu_at_20_percent",
    ),
    Target(
        "cpu_peak",
        "Processor",
        "CPU, peak, all cores",
        "under 80 %",
        "low",
        80,
        "%",
        "cpu_peak_percent",
    ),
    Target(
        "errors",
        "Load",
        "Errors at 50 connections",
        "under 1 %",
        "low",
        1,
        "%",
        "errors_at_50_percent",
        False,
        "error_percent",
    ),
    Target(
        "rate",
        "Load",
        "Rate at 50 connections",
        "well over 20/s",
        "high",
        20,
        "req/s",
        "throughput_per_s",
        True,
    ),
    Target("gzip_ratio", "Answers", "gzip, ratio", "about 2.5x", "high", 2.25, "x", "gzip_ratio"),
    Target(
        "gzip_ms",
        "Answers",
        "gzip, 100 kB answer",
        "under 5 ms",
        "low",
        5,
        "ms",
        "gzip_ms",
    ),
)
