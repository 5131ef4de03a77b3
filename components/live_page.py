"""The Live page: is it fine, since when not, which model, which phase, what can be pressed."""

from __future__ import annotations

from dash import html

from components.alerts import firing_panel
from components.catalogue import CatalogueEntries
from components.chart_specs import SATURATION, TRAFFIC
from components.charts import chart_panel
from components.heat import heat_panel
from components.phases import phases_panel
from components.tables import caches_panel, events_panel, models_panel, queues_panel
from components.tiles import tiles


def live_page(entries: CatalogueEntries = ()) -> html.Div:
    """Every panel of the Live page, empty."""
    return html.Div(
        [
            tiles(entries),
            html.Div(
                [
                    *(chart_panel(spec, entries) for spec in TRAFFIC),
                    heat_panel(),
                    chart_panel(SATURATION, entries),
                    firing_panel(),
                    models_panel(),
                    phases_panel(),
                    caches_panel(),
                    queues_panel(),
                    events_panel(),
                ],
                className="grid",
            ),
        ],
        id="live-page",
    )
