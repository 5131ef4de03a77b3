"""Alerts: what fires, in short and in full, the objectives, and the way to the rules."""

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
OBJECTIVE_COLUMNS = (
    Column("objective", "Objective"),
    Column("good", "Good", "end"),
    Column("budget", "Error budget left"),
    Column("requests", "Requests", "end"),
    Column("burn", "Burn rate"),
)


def firing_panel() -> html.Section:
    """What fires, waits to fire or has just ended, and the way to all alerts."""
    note = html.Div(id="readout-firing", className="readout num")
    all_alerts = html.A("All alerts", href="/alerts", className="action btn btn-sm btn-link")
    return panel(
        "panel-firing",
        "Alerts",
        "",
        table("firing", ALERT_COLUMNS),
        span=12,
        head=(note, all_alerts),
    )


def objectives_panel() -> html.Section:
    """Every objective, how much of its error budget is left and how fast it burns."""
    note = html.Div(className="readout")
    return panel(
        "panel-objectives",
        "Objectives",
        "",
        table("objectives", OBJECTIVE_COLUMNS),
        span=12,
        head=(note,),
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
