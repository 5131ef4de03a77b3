"""The alerts panel: what fires, what is silenced, and the way to the rules."""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import html

from components.marks import icon, panel
from components.tables import Column, table

ALERT_COLUMNS = (
    Column("alert", "Alert"),
    Column("state", "State"),
    Column("value", "Measured"),
    Column("since", "For", "end"),
    Column("action", "", "end"),
)


def alerts_panel() -> html.Section:
    """Every alert with its state; alerts.js fills the rows and opens the dialogs."""
    rules = dbc.Button(
        [icon("events"), html.Span("Edit rules", className="button-text")],
        id="edit-rules",
        className="action",
        color="link",
        size="sm",
    )
    note = html.Div(id="readout-alerts", className="readout num")
    return panel(
        "panel-alerts",
        "Alerts",
        "",
        table("alerts", ALERT_COLUMNS),
        span=12,
        head=(note, rules),
    )
