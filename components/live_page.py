"""The Live page: is it fine, since when not, which model, which phase, what can be pressed."""

from __future__ import annotations

from dash import html

from components.alerts import alerts_panel
from components.catalogue import CatalogueEntries
from components.charts import SYSTEM, TRAFFIC, chart_panel
from components.frame import Place
from components.phases import phases_panel
from components.tables import caches_panel, events_panel, models_panel, queues_panel
from components.tiles import tiles

PLACES = (
    Place("/", "Live", "live"),
    Place("#panel-alerts", "Alerts", "alerts"),
    Place("#panel-models", "Models", "models"),
    Place("#panel-phases", "Phases", "phases"),
    Place("#panel-caches", "Caches", "caches"),
    Place("#panel-queues", "Queues", "queues"),
    Place("#panel-cpu", "System", "system"),
    Place("#panel-events", "Events", "events"),
)


def live_page(entries: CatalogueEntries = ()) -> html.Div:
    """Every panel of the Live page, empty."""
    return html.Div(
        [
            tiles(entries),
            html.Div(
                [
                    *(chart_panel(spec, entries) for spec in TRAFFIC),
                    alerts_panel(),
                    models_panel(),
                    phases_panel(),
                    caches_panel(),
                    queues_panel(),
                    *(chart_panel(spec, entries) for spec in SYSTEM),
                    events_panel(),
                ],
                className="grid",
            ),
        ],
        id="live-page",
    )
