"""What the console's time charts draw: lines, areas, colours.

ChartSpec
  series   lines, each one column of the live answer or the history; drawn in order
  areas    fills under or between columns, drawn below the lines
  extras   columns that are only read out in words (another unit, no second axis)
"""

from __future__ import annotations

from typing import NamedTuple


class Series(NamedTuple):
    """One line. token: its colour."""

    column: str
    label: str
    token: str


class Area(NamedTuple):
    """A fill from the column `lower`, or from zero where that is "", up to `upper`."""

    upper: str
    token: str
    lower: str = ""


class Extra(NamedTuple):
    """A column read out beside the lines."""

    column: str
    label: str
    unit: str


class ChartSpec(NamedTuple):
    """One time chart; name gives the element ids panel-, chart-, graph- and readout-<name>.

    headline: the column drawn also for the period before, where that is compared; "" for none.
    clips: the axis need not reach the few seconds that tower over all others; they are marked.
    """

    name: str
    title: str
    unit: str
    height_px: int
    span: int
    series: tuple[Series, ...]
    areas: tuple[Area, ...] = ()
    extras: tuple[Extra, ...] = ()
    headline: str = ""
    clips: bool = False


TRAFFIC = (
    ChartSpec(
        "latency",
        "Latency",
        "ms",
        216,
        6,
        (
            Series("p50_ms", "p50", "latency-1"),
            Series("p95_ms", "p95", "latency-2"),
            Series("p99_ms", "p99", "latency-3"),
        ),
        (Area("p99_ms", "latency-band", lower="p50_ms"),),
        # A mean of what no percentile here holds: a line of its own would flatten them.
        (Extra("outside_ms", "in sockets, mean", "ms"),),
        headline="p99_ms",
        clips=True,
    ),
    ChartSpec(
        "throughput",
        "Throughput",
        "requests/s",
        216,
        6,
        (
            Series("requests_per_s", "requests", "series-1"),
            Series("errors_per_s", "errors", "critical"),
        ),
        (Area("requests_per_s", "series-1-fill"), Area("errors_per_s", "critical-fill")),
        headline="requests_per_s",
    ),
)

SATURATION = ChartSpec(
    "saturation",
    "Saturation",
    "%, fullest queue and CPU",
    216,
    6,
    (
        Series("queue_used_percent", "queue", "series-2"),
        Series("cpu_percent", "CPU", "series-6"),
    ),
    (),
    (
        Extra("queued", "queued", ""),
        Extra("threads_busy", "busy threads", ""),
        Extra("gil_wait_ms", "GIL wait", "ms"),
    ),
    headline="queue_used_percent",
)

SYSTEM = (
    ChartSpec(
        "cpu",
        "CPU",
        "%",
        184,
        6,
        (
            Series("system_cpu_percent", "host", "series-6"),
            Series("cpu_percent", "server", "series-1"),
        ),
        headline="cpu_percent",
    ),
    ChartSpec(
        "memory",
        "Memory",
        "MB",
        184,
        6,
        (Series("memory_mb", "server", "series-1"),),
        (Area("memory_mb", "series-1-fill"),),
        (Extra("system_memory_percent", "host", "%"),),
        headline="memory_mb",
    ),
    ChartSpec(
        "disk",
        "Disk",
        "MB/s",
        184,
        6,
        (
            Series("disk_read_mb_s", "read", "series-1"),
            Series("disk_write_mb_s", "write", "series-2"),
        ),
        headline="disk_read_mb_s",
    ),
    ChartSpec(
        "network",
        "Network",
        "MB/s",
        184,
        6,
        (
            Series("net_in_mb_s", "in", "series-1"),
            Series("net_out_mb_s", "out", "series-2"),
        ),
        headline="net_in_mb_s",
    ),
    ChartSpec(
        "profiler",
        "Profiler's own cost",
        "% of one core",
        184,
        12,
        (Series("profiler_cpu_percent", "looking", "series-1"),),
        (Area("profiler_cpu_percent", "series-1-fill"),),
        (
            Extra("profiler_hz", "looks", "Hz"),
            Extra("profiler_missed_per_s", "missed", "1/s"),
        ),
        headline="profiler_cpu_percent",
    ),
)

CORES = ChartSpec("cores", "Cores", "%, each by its number", 184, 12, ())
