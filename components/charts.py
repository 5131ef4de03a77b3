"""Time charts: figures and panels of the specs in chart_specs.

The console mounts every figure empty; charts.js finds each trace's column and colour in
the trace's meta and extends it. An area is a trace of its own whose gaps are zero, because
Plotly's fills run across gaps. MARGIN is in layout.meta too, for the cursor's arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from components.catalogue import CatalogueEntries, by_name
from components.chart_specs import Area, ChartSpec, Series
from components.marks import panel
from components.theme import TOKENS, Figure, Theme, heat_scale, template

MARGIN = {"l": 48, "r": 64, "t": 8, "b": 36, "pad": 0}
CONFIG = {
    "displayModeBar": False,
    "doubleClick": False,
    "scrollZoom": False,
    "showTips": False,
}

Row = Sequence[float | None]


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


def _before(spec: ChartSpec, theme: Theme) -> list[dict[str, Any]]:
    """The line of the period before, empty until it is compared."""
    if not spec.headline:
        return []
    (label,) = (series.label for series in spec.series if series.column == spec.headline)
    line = _trace(spec.headline, (), (), gap=None) | {
        "name": "before",
        "line": {"color": TOKENS[theme]["ink-3"], "width": 1, "dash": "dash"},
        "meta": {"column": spec.headline, "token": "ink-3", "previous": True, "of": label},
    }
    return [line]


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
    lines = [_line(series, theme, columns, points) for series in spec.series]
    layout = _layout(spec, theme)
    layout["xaxis"]["showticklabels"] = bool(points)  # an empty axis would begin in 1970
    layout["yaxis"] = {
        "showticklabels": bool(points),
        "rangemode": "tozero",
        "fixedrange": True,
        "nticks": 5,
        "separatethousands": True,
        "zeroline": False,
        "exponentformat": "none",
        "ticklabeloverflow": "allow",
    }
    return {"data": areas + _before(spec, theme) + lines, "layout": layout}


def cores_figure(spec: ChartSpec, theme: Theme = "dark") -> Figure:
    """The cores over time, a row each, empty; cores.js finds them in the history's columns."""
    trace = {
        "type": "heatmap",
        "x": [],
        "y": [],
        "z": [],
        "zmin": 0,
        "zmax": 100,
        "colorscale": heat_scale(),
        "showscale": False,
        "hoverinfo": "skip",
        "ygap": 1,
        "meta": {"column": "core_0_percent"},
    }
    layout = _layout(spec, theme)
    layout["xaxis"]["showticklabels"] = False
    layout["yaxis"] = {
        "type": "category",
        "fixedrange": True,
        "nticks": 8,
        "showgrid": False,
        "ticks": "",
        "ticklabelstandoff": 6,
    }
    return {"data": [trace], "layout": layout}


def _layout(spec: ChartSpec, theme: Theme) -> dict[str, Any]:
    """What every chart over time shares; the y axis is its own.

    Labels stay level and within MARGIN: to turn or hide them Plotly would measure each wherever
    it has moved to, twice a tick, and keep the boxes.
    """
    return {
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
            "tickangle": 0,
            "ticklabeloverflow": "allow",
            "tickformatstops": [
                {"dtickrange": [None, 59_999], "value": "%H:%M:%S"},
                {"dtickrange": [60_000, 43_199_999], "value": "%H:%M"},
                {"dtickrange": [43_200_000, None], "value": "%-d %b"},
            ],
        },
        "meta": {
            "margin": MARGIN,
            "unit": spec.unit,
            "clips": spec.clips,
            "extras": [extra._asdict() for extra in spec.extras],
        },
    }


def _explanation(spec: ChartSpec, entries: CatalogueEntries) -> str:
    known: Mapping[str, Any] = by_name(entries)
    columns = [*(one.column for one in spec.series), *(one.column for one in spec.extras)]
    named = [known[column] for column in columns if column in known]
    return "\n".join(f"{entry['label']}: {entry['help']}" for entry in named)


def chart_panel(
    spec: ChartSpec, entries: CatalogueEntries = (), figure: Figure | None = None
) -> html.Section:
    """A panel with one time chart: title and unit, the read-out, the mounted empty graph."""
    body = html.Div(
        [
            dcc.Graph(
                id=f"graph-{spec.name}",
                figure=time_figure(spec) if figure is None else figure,
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
