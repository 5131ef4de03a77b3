"""The System page: what the host and the process have left, and what waits for it."""

from __future__ import annotations

from dash import html

from components.catalogue import CatalogueEntries
from components.chart_specs import CORES, SYSTEM
from components.charts import chart_panel, cores_figure
from components.tables import queues_panel


def system_page(entries: CatalogueEntries = ()) -> html.Div:
    """Host and process over time, then everything that can fill up."""
    return html.Div(
        [
            *(chart_panel(spec, entries) for spec in SYSTEM),
            chart_panel(CORES, figure=cores_figure(CORES)),
            queues_panel("system-"),
        ],
        className="grid",
    )
