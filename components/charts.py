"""Time charts: what each draws, its figure, its panel.

    ChartSpec
      series   lines, each one column of the live answer; drawn in order
      areas    fills under or between columns, drawn below the lines
      extras   columns that are only read out in words (another unit, no second axis)

The console mounts every figure empty; charts.js finds each trace's column and colour in
the trace's meta and extends it. An area is a trace of its own whose gaps are zero, because
Plotly's fills run across gaps. MARGIN is in layout.meta too, for the cursor's arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dash import dcc, html

from components.catalogue import CatalogueEntries, by_name
from components.marks import panel
from components.theme import TOKENS, Figure, Theme, template

MARGIN = {"l": 48, "r": 64, "t": 8, "b": 36, "pad": 0}
CONFIG = {
    "displayModeBar": False,
    "doubleClick": False,
    "scrollZoom": False,
    "showTips": False,
}

Row = Sequence[float | None]


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
    """One time chart; name gives the element ids panel-, chart-, graph- and readout-<name>."""

    name: str
    title: str
    unit: str
    height_px: int
    span: int
    series: tuple[Series, ...]
    areas: tuple[Area, ...] = ()
    extras: tuple[Extra, ...] = ()


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
            Series("outside_ms", "in sockets", "series-6"),
        ),
        (Area("p99_ms", "latency-band", lower="p50_ms"),),
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
    ),
)

SYSTEM = (
    ChartSpec(
        "cpu",
        "CPU",
        "%",
        160,
        3,
        (
            Series("system_cpu_percent", "host", "series-6"),
            Series("cpu_percent", "server", "series-1"),
        ),
    ),
    ChartSpec(
        "memory",
        "Memory",
        "MB",
        160,
        3,
        (Series("memory_mb", "server", "series-1"),),
        (Area("memory_mb", "series-1-fill"),),
        (Extra("system_memory_percent", "host", "%"),),
    ),
    ChartSpec(
        "disk",
        "Disk",
        "MB/s",
        160,
        3,
        (
            Series("disk_read_mb_s", "read", "series-1"),
            Series("disk_write_mb_s", "write", "series-2"),
        ),
    ),
    ChartSpec(
        "network",
        "Network",
        "MB/s",
        160,
        3,
        (
            Series("net_in_mb_s", "in", "series-1"),
            Series("net_out_mb_s", "out", "series-2"),
        ),
    ),
)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _trace(
    column: str, columns: Sequence[str], points: Sequence[Row], *, gap: float | None
) -> dict[str, Any]:
    at = columns.index(column) if column in columns else None
    drawn = points if at is not None else ()
    values = [_finite(row[at or 0]) for row in drawn]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [_milliseconds(row[0]) for row in drawn],
        "y": [gap if value is None else value for value in values],
        "connectgaps": False,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _line(
    series: Series, theme: Theme, columns: Sequence[str], points: Sequence[Row]
) -> dict[str, Any]:
    return _trace(series.column, columns, points, gap=None) | {
        "name": series.label,
        "line": {"color": TOKENS[theme][series.token], "width": 1.5},
        "meta": {"column": series.column, "token": series.token},
    }


def _area(
    area: Area, theme: Theme, columns: Sequence[str], points: Sequence[Row]
) -> list[dict[str, Any]]:
    edges = [_edge(name, columns, points) for name in (area.lower, area.upper) if name]
    edges[-1]["fill"] = "tonexty" if area.lower else "tozeroy"
    edges[-1]["fillcolor"] = TOKENS[theme][area.token]
    edges[-1]["meta"]["fill_token"] = area.token
    return edges


def _edge(column: str, columns: Sequence[str], points: Sequence[Row]) -> dict[str, Any]:
    """An unseen line: one edge of an area."""
    return _trace(column, columns, points, gap=0.0) | {
        "line": {"width": 0},
        "meta": {"column": column, "area": True},
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000.0


def time_figure(
    spec: ChartSpec,
    theme: Theme = "dark",
    columns: Sequence[str] = (),
    points: Sequence[Row] = (),
) -> Figure:
    """A figure over time, as plain data.

    points: rows in the order of columns, column 0 the time in seconds; None and NaN are gaps.
    """
    areas = [edge for area in spec.areas for edge in _area(area, theme, columns, points)]
    return {
        "data": areas + [_line(series, theme, columns, points) for series in spec.series],
        "layout": {
            "template": template(theme),
            "height": spec.height_px,
            "margin": MARGIN,
            "uirevision": spec.name,
            "dragmode": "zoom",
            "hovermode": False,
            "showlegend": False,
            "xaxis": {
                "type": "date",
                "nticks": 6 if spec.span >= 6 else 3,
                "showgrid": False,
                "ticks": "",
                "ticklabelstandoff": 6,
                "tickformatstops": [
                    {"dtickrange": [None, 59_999], "value": "%H:%M:%S"},
                    {"dtickrange": [60_000, None], "value": "%H:%M"},
                ],
            },
            "yaxis": {
                "rangemode": "tozero",
                "fixedrange": True,
                "nticks": 5,
                "separatethousands": True,
                "zeroline": False,
                "exponentformat": "none",
            },
            "meta": {
                "margin": MARGIN,
                "unit": spec.unit,
                "extras": [extra._asdict() for extra in spec.extras],
            },
        },
    }


def _explanation(spec: ChartSpec, entries: CatalogueEntries) -> str:
    known: Mapping[str, Any] = by_name(entries)
    named = [known[series.column] for series in spec.series if series.column in known]
    return "\n".join(f"{entry['label']}: {entry['help']}" for entry in named)


def chart_panel(spec: ChartSpec, entries: CatalogueEntries = ()) -> html.Section:
    """A panel with one time chart: title and unit, the read-out, the mounted empty graph."""
    body = html.Div(
        [
            dcc.Graph(
                id=f"graph-{spec.name}",
                figure=time_figure(spec),
                config=CONFIG,
                responsive=True,
                style={"height": f"{spec.height_px}px"},
            ),
            html.Div(className="chart-labels", **{"aria-hidden": "true"}),
            html.Div(className="chart-cursor", hidden=True),
            html.Div(className="chart-empty", id=f"empty-{spec.name}", hidden=True),
        ],
        id=f"chart-{spec.name}",
        className="chart",
        tabIndex=0,
        role="group",
        style={"height": f"{spec.height_px}px"},
        title=_explanation(spec, entries) or None,
        **{
            "data-chart": spec.name,
            "aria-label": f"{spec.title} over time; arrow keys move the cursor",
            "aria-describedby": f"readout-{spec.name}",
        },
    )
    readout = html.Div(id=f"readout-{spec.name}", className="readout num")
    return panel(f"panel-{spec.name}", spec.title, spec.unit, body, span=spec.span, head=(readout,))
