"""The Settings page: effective values, where each came from, and what runs here.

Mounted empty; assets/settings.js fills it from GET /performance/settings.
"""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import html

from components.catalogue import CatalogueEntries
from components.marks import icon, panel
from components.tables import Column, table

HEADINGS = (
    ("name", "Setting"),
    ("value", "Value"),
    ("range", "Range"),
    ("source", "From"),
)
AUDIT_COLUMNS = (
    Column("time", "When"),
    Column("who", "Who"),
    Column("what", "What"),
    Column("result", "Result"),
)


def _filters() -> html.Div:
    """Search and what is left out; settings.js puts the field into its label."""
    return html.Div(
        [
            html.Label(
                html.Span("Search settings", className="visually-hidden"),
                id="settings-search-field",
                className="settings-search",
            ),
            html.Button(
                "Changed only",
                id="settings-changed",
                className="chip settings-toggle",
                **{"type": "button", "aria-pressed": "false"},
            ),
        ],
        className="settings-filters",
    )


def _list() -> html.Section:
    headings = [html.Th(title, scope="col", className=f"col-{name}") for name, title in HEADINGS]
    table = html.Div(
        [
            html.Table(
                [html.Thead(html.Tr(headings))],
                id="settings-table",
                className="table table-settings",
            ),
            html.Div(
                "Asking for the settings",
                id="empty-settings",
                className="table-empty",
                role="status",
            ),
        ],
        className="settings-list",
    )
    copy = dbc.Button(
        [icon("export"), html.Span("Copy as environment lines", className="button-text")],
        id="settings-copy",
        className="action",
        color="link",
        size="sm",
        disabled=True,
        title="Copies a line for each setting that is listed and was changed; no secret is in them",
    )
    note = html.Div(id="readout-settings", className="readout num", role="status")
    return panel(
        "panel-settings", "Effective values", "", _filters(), table, span=12, head=(note, copy)
    )


def _about() -> html.Section:
    body = html.Div(
        id="settings-about",
        className="settings-about",
        tabIndex=0,
        role="group",
        **{"aria-labelledby": "panel-about-title"},
    )
    return panel("panel-about", "About", "", body, span=12)


def _access() -> html.Section:
    """Who one is here, and what was done last; settings_access.js fills it."""
    leave = html.Button(
        "Log out", id="settings-log-out", className="chip", hidden=True, **{"type": "button"}
    )
    note = html.Div(id="readout-audit", className="readout num", role="status")
    who = html.Div(
        "Asking who is logged in", id="settings-who", className="settings-who", role="status"
    )
    listed = table("audit", AUDIT_COLUMNS)
    return panel("panel-audit", "Access and actions", "", who, listed, span=12, head=(note, leave))


def settings_page(entries: CatalogueEntries = ()) -> html.Div:
    """The list and what runs here, empty."""
    return html.Div(
        [_access(), _list(), _about()],
        id="settings-page",
        className="settings-page",
        **{"data-state": "loading"},
    )
