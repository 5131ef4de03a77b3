"""The Reports page: what optimising brought, against the targets, and what to do next.

Mounted empty; assets/reports*.js fill it from GET /performance/reports and
/performance/reports/optimization, and from the pictures that this browser has put aside.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import html

from components.marks import icon, panel
from components.tables import Column, table

TARGET_COLUMNS = (
    Column("label", "Target"),
    Column("limit", "Wanted"),
    Column("value", "Measured", "end"),
    Column("live", "In the range", "end"),
    Column("status", "Status"),
)
STORED_COLUMNS = (
    Column("made", "Made"),
    Column("text", "It says"),
    Column("by", "By"),
    Column("files", "Files"),
    Column("action", "", "end"),
)
FORMATS = (("html", "HTML"), ("md", "Markdown"), ("json", "JSON"), ("pdf", "PDF"))
DRAWN = (
    ("cold_start_ms", "Cold start"),
    ("warm_p99_ms", "Warm, p99"),
    ("throughput_per_s", "At 50 connections"),
)
FORMS = ("before", "warm", "plan")


def _button(element_id: str, icon_name: str, words: str, title: str) -> dbc.Button:
    return dbc.Button(
        [icon(icon_name), html.Span(words, className="button-text")],
        id=element_id,
        className="action",
        color="link",
        size="sm",
        title=title,
    )


def _note(name: str) -> html.Div:
    return html.Div(id=f"readout-reports-{name}", className="readout num")


def _empty(name: str) -> html.Div:
    return html.Div(id=f"empty-reports-{name}", className="reports-empty", role="status")


def _files() -> html.Div:
    """Links to the report of the range as files; reports.js keeps their addresses."""
    links = [
        html.A(words, id=f"reports-file-{name}", className="chip", href="#", download="")
        for name, words in FORMATS
    ]
    view = html.A("Open as a page", id="reports-open", className="chip", href="#", target="_blank")
    return html.Div(
        [view, *links],
        id="reports-files",
        className="reports-files",
        role="group",
        **{"aria-label": "The report of this range"},
    )


def _progress() -> html.Div:
    line = html.Div(html.Div(id="reports-fill", className="reports-fill"), className="reports-line")
    cancel = html.Button("Cancel", id="reports-cancel", className="chip", type="button")
    words = html.Div(id="reports-doing", className="reports-doing num")
    return html.Div([words, line, cancel], id="reports-progress", className="reports-progress")


def _summary() -> html.Section:
    measure = _button(
        "reports-measure",
        "capture",
        "Measure now",
        "Before and after on this machine, at most 150 s: starts servers of its own and loads "
        "the machine",
    )
    store = _button(
        "reports-store", "report", "Store this report", "Keeps the report of the range as data"
    )
    return panel(
        "panel-reports-summary",
        "Optimisation report",
        "",
        html.P("Asking what was measured", id="reports-lead", className="reports-lead"),
        html.P(id="reports-meta", className="reports-meta"),
        html.Div([_files(), _progress()], className="reports-foot"),
        span=12,
        head=(_note("summary"), store, measure),
    )


def _bars() -> html.Section:
    choices = [
        html.Button(
            words,
            id=f"reports-draw-{name}",
            className="chip reports-choice",
            **{"type": "button", "aria-pressed": "false", "data-figure": name},
        )
        for name, words in DRAWN
    ]
    keys = [
        html.Span([html.I(className=f"reports-key reports-{form}"), html.Span(form)])
        for form in FORMS
    ]
    return panel(
        "panel-reports-bars",
        "Before and after",
        "",
        html.Div(
            [
                html.Div(choices, className="reports-choices", role="group"),
                html.Div(keys, id="reports-keys", className="reports-keys"),
            ],
            className="reports-tools",
        ),
        html.Div(id="reports-bars", className="reports-bars"),
        _empty("bars"),
        span=6,
        head=(_note("bars"),),
    )


def _targets() -> html.Section:
    return panel(
        "panel-reports-targets",
        "Targets",
        "",
        table("targets", TARGET_COLUMNS, "reports-"),
        span=6,
        head=(_note("targets"),),
    )


def _advice() -> html.Section:
    return panel(
        "panel-reports-advice",
        "Recommendations",
        "",
        html.Ol(id="reports-advice", className="reports-advice"),
        _empty("advice"),
        span=12,
        head=(_note("advice"),),
    )


def _stored() -> html.Section:
    return panel(
        "panel-reports-stored",
        "Stored reports",
        "",
        table("stored", STORED_COLUMNS, "reports-"),
        span=12,
        head=(_note("stored"),),
    )


def _basket() -> html.Section:
    """The pictures put aside; reports_basket.js puts the title's field into its label."""
    title = html.Label(
        html.Span("Title of the file"), id="reports-title-field", className="reports-title"
    )
    whole = html.Label(
        html.Span("With the optimisation report"),
        id="reports-whole-field",
        className="reports-whole",
    )
    buttons: list[Any] = [
        _button("reports-save", "export", "Make a report with these pictures", "One HTML file"),
        _button("reports-print", "report", "Print or save as PDF", "By the browser's own print"),
        _button("reports-clear", "flush", "Remove all", "Asks first"),
    ]
    return panel(
        "panel-reports-basket",
        "Pictures put aside",
        "",
        html.Div(
            [title, whole, html.Div(buttons, className="reports-buttons")],
            id="reports-basket-tools",
            className="reports-tools",
        ),
        html.Ol(id="reports-basket", className="reports-basket", tabIndex=-1),
        _empty("basket"),
        span=12,
        head=(_note("basket"),),
    )


def reports_page() -> html.Div:
    """Every panel of the page, empty."""
    return html.Div(
        [_summary(), _targets(), _bars(), _advice(), _stored(), _basket()],
        id="reports-page",
        className="grid",
        **{"data-state": "loading"},
    )
