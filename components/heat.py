"""Latency as a heat map: time across, duration up, brighter where more requests were."""

from __future__ import annotations

import json

from dash import html

from components.marks import panel
from components.theme import HEAT

HEIGHT_PX = 216


def heat_panel() -> html.Section:
    """The panel, empty; heat.js draws on its canvas."""
    body = html.Div(
        [
            html.Canvas(id="heat-canvas", className="heat-canvas", **{"aria-hidden": "true"}),
            html.Div(className="chart-empty", id="empty-heat", hidden=True),
            html.P(id="heat-summary", className="visually-hidden"),
        ],
        id="heat-chart",
        className="chart heat",
        style={"height": f"{HEIGHT_PX}px"},
        tabIndex=0,
        role="group",
        **{
            "aria-label": "Latency heat map; arrow keys move between its steps",
            "aria-describedby": "readout-heat heat-summary",
            "data-heat": json.dumps(HEAT),
        },
    )
    note = html.Div(id="readout-heat", className="readout num", **{"aria-live": "polite"})
    return panel("panel-heat", "Latency, all requests", "ms", body, span=6, head=(note,))
