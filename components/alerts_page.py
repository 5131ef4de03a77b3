"""The Alerts page: every alert with its state, and the objectives with their budgets."""

from __future__ import annotations

from dash import html

from components.alerts import alerts_panel, objectives_panel
from components.catalogue import CatalogueEntries


def alerts_page(entries: CatalogueEntries = ()) -> html.Div:
    """Alerts and objectives, empty; alerts.js fills them."""
    return html.Div([alerts_panel(), objectives_panel()], className="grid")
