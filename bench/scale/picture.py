"""docs/scale.png: what was measured, by formula and by simulation, with the errors in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bench.picture import write_png
from bench.scale.fit import Point

COLOURS = {"p50_ms": "#1f77b4", "p99_ms": "#d62728"}
SHOWN = {"p50_ms": "p50", "p99_ms": "p99"}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Raises playwright's errors where there is no Chromium."""
    write_png(figure_of(found), path, width=1300, height=560)


def figure_of(found: Mapping[str, Any]) -> go.Figure:
    """Three panels: a quick model, a slow one, and the slow one on two nodes."""
    quick, slow, two = found["subjects"]["quick"], found["subjects"]["slow"], found["two_nodes"]
    titles = [
        _title("quick, on the event loop", quick["errors_percent"]),
        _title("slow, one slot", slow["errors_percent"]),
        _title("slow, two nodes behind nginx", two["errors_percent"]),
    ]
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.06)
    for column, given in enumerate((quick, slow), 1):
        _points(figure, column, given["fitted"], "fitted", "circle-open")
        _points(figure, column, given["held_out"], "not fitted", "circle")
        _lines(figure, column, given["formula"], "formula", "dot")
        _lines(figure, column, given["simulated"], "simulated", "solid")
    _points(figure, 3, two["points"], "not fitted", "circle")
    _lines(figure, 3, two["simulated"], "simulated", "solid")
    figure.update_xaxes(title="requests/s offered", rangemode="tozero")
    figure.update_yaxes(type="log", dtick="D2")
    figure.update_yaxes(title="latency, ms", col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(template="plotly_white", margin={"t": 90, "l": 60, "r": 20, "b": 90})
    figure.update_layout(legend={"orientation": "h", "y": -0.18})
    load = found["about"]["highest_load_1"]
    words = f"{found['about']['machine']['cpus']} cores; load average up to {load:g} meanwhile"
    figure.add_annotation(
        **{"text": words, "xref": "paper", "yref": "paper", "x": 1, "y": -0.32},
        showarrow=False,
        font={"size": 11},
    )
    return figure


def _title(what: str, errors: Mapping[str, Mapping[str, float]]) -> str:
    words = [
        f"{way}: " + ", ".join(f"{SHOWN[name]} {by[name]:.0f} %" for name in SHOWN)
        for way, by in errors.items()
    ]
    return f"<b>{what}</b><br>mean error at rates not fitted<br>{'; '.join(words)}"


def _points(
    figure: go.Figure, column: int, points: Sequence[Point], name: str, symbol: str
) -> None:
    for quantile, colour in COLOURS.items():
        values = [point[quantile] for point in points]
        low, high = zip(*(point["intervals"][quantile] for point in points), strict=True)
        figure.add_scatter(
            x=[point["rate_per_s"] for point in points],
            y=values,
            error_y={
                "type": "data",
                "array": [max(0.0, top - y) for top, y in zip(high, values, strict=True)],
                "arrayminus": [max(0.0, y - end) for end, y in zip(low, values, strict=True)],
                "thickness": 1,
            },
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            name=f"{SHOWN[quantile]}, measured, {name}",
            showlegend=column == 1,
            row=1,
            col=column,
        )


def _lines(figure: go.Figure, column: int, points: Sequence[Point], name: str, dash: str) -> None:
    for quantile, colour in COLOURS.items():
        figure.add_scatter(
            x=[point["rate_per_s"] for point in points],
            y=[point[quantile] for point in points],
            mode="lines",
            line={"color": colour, "dash": dash, "width": 1.5},
            name=f"{SHOWN[quantile]}, {name}",
            showlegend=column == 1,
            row=1,
            col=column,
        )
