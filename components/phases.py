"""Where the time of the last minute's requests went: an icicle.

Widths are each node's whole time; the heat scale is its own time, so that what burns is
hot and what merely contains it is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from dash import dcc, html

from components.charts import CONFIG
from components.marks import panel
from components.theme import Figure, Theme, heat_scale, template

HEIGHT_PX = 236


class PhaseNode(NamedTuple):
    """One node. total_ms: its time with that of its children; requests: how many passed it."""

    node: str
    label: str
    parent: str
    total_ms: float
    requests: int


def own_times(nodes: Sequence[PhaseNode]) -> list[float]:
    """Each node's time without its children's, never negative; ms.

    Plotly refuses to draw "total" values whose children exceed their parent by a rounding
    error, so the icicle is given each node's own time ("remainder") instead.
    """
    total = {node.node: node.total_ms if math.isfinite(node.total_ms) else 0.0 for node in nodes}
    own = dict(total)
    for node in nodes:
        if node.parent in own:
            own[node.parent] -= total[node.node]
    return [max(0.0, own[node.node]) for node in nodes]


def phases_figure(nodes: Sequence[PhaseNode] = (), theme: Theme = "dark") -> Figure:
    """The icicle, root at the top, as plain data. charts.js draws the same from live data."""
    return {
        "data": [
            {
                "type": "icicle",
                "ids": [node.node for node in nodes],
                "labels": [node.label for node in nodes],
                "parents": [node.parent for node in nodes],
                "values": own_times(nodes),
                "branchvalues": "remainder",
                "sort": False,
                "tiling": {"orientation": "v", "pad": 1},
                "pathbar": {"visible": False},
                "texttemplate": "%{label} %{percentRoot:.0%}",
                "textposition": "middle left",
                "hovertemplate": "%{customdata}<extra></extra>",
                "customdata": [f"{node.requests} requests" for node in nodes],
                "marker": {
                    "colors": own_times(nodes),
                    "colorscale": heat_scale(),
                    "cmin": 0,
                    "line": {"width": 0},
                },
            }
        ],
        "layout": {
            "template": template(theme),
            "height": HEIGHT_PX,
            "margin": {"l": 12, "r": 12, "t": 4, "b": 12},
            "uniformtext": {"minsize": 11, "mode": "hide"},
            "uirevision": "phases",
        },
    }


def phases_panel() -> html.Section:
    """The panel with the icicle, mounted empty."""
    body = html.Div(
        [
            dcc.Graph(
                id="graph-phases",
                figure=phases_figure(),
                config=CONFIG,
                responsive=True,
                style={"height": f"{HEIGHT_PX}px"},
            ),
            html.Div(className="chart-empty", id="empty-phases", hidden=True),
        ],
        id="chart-phases",
        className="chart",
        role="group",
        style={"height": f"{HEIGHT_PX}px"},
        **{"aria-label": "Time by model and phase", "data-phases": ""},
    )
    note = html.Div(id="readout-phases", className="readout num")
    return panel("panel-phases", "Where time goes", "last minute", body, span=6, head=(note,))
