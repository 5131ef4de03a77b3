"""The Flame graph page: which code ran, in any window, beside any other.

Everything here is mounted empty; assets/flame_*.js fill it from GET /performance/flame-graph
and keep what is chosen in the address.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from dash import html

from components.flame_colours import flame_palette
from components.marks import icon, panel


class Choice(NamedTuple):
    """A filter: a key of the query, and what it says while nothing is chosen."""

    key: str
    label: str
    nothing: str


FILTERS = (
    Choice("capture", "Source", "always on"),
    Choice("model", "Model", "all"),
    Choice("version", "Version", "all"),
    Choice("route", "Route", "all"),
    Choice("thread", "Thread", "all"),
    Choice("kind", "Work", "all but idle"),
)
COMPARE = Choice("compare", "Compare with", "nothing")
MEASURES = (("cpu", "CPU time"), ("wall", "wall time"), ("samples", "samples"))
TOGGLES = (
    ("collapse", "Collapse recursion", "Shows a function that calls itself once"),
    ("invert", "Invert", "Starts with the functions that ran, their callers below them"),
)
COLUMNS = (
    ("name", "Function", "By name"),
    ("self", "Self, %", "Share of its own"),
    ("total", "Total, %", "Share with all that it called"),
    ("grown", "Points", "How much its own share has grown, in points"),
)


def _select(choice: Choice) -> html.Label:
    options = [html.Option(choice.nothing, value="")]
    return html.Label(
        [
            html.Span(choice.label, className="flame-field-label"),
            html.Select(options, id=f"flame-{choice.key}", className="flame-select"),
        ],
        className="flame-field",
        **{"data-field": choice.key},
    )


def _tab(name: str, label: str, title: str, *, chosen: bool) -> html.Button:
    return html.Button(
        label,
        id=f"flame-tab-{name}",
        className="flame-tab",
        title=title,
        role="tab",
        tabIndex=0 if chosen else -1,
        **{
            "type": "button",
            "aria-selected": "true" if chosen else "false",
            "aria-controls": "panel-flame",
            "data-view": name,
        },
    )


def _menu(name: str, icon_name: str, word: str) -> html.Details:
    return html.Details(
        [
            html.Summary(
                [icon(icon_name), html.Span(word, id=f"flame-{name}-word")],
                className="flame-summary",
                id=f"flame-{name}-button",
            ),
            html.Div(id=f"flame-{name}-menu", className="flame-menu-body"),
        ],
        id=f"flame-{name}",
        className="flame-menu",
    )


def _bar() -> html.Div:
    tabs = html.Div(
        [
            _tab("code", "Code", "Which functions ran", chosen=True),
            _tab("phases", "Phases", "Time by model, route and phase", chosen=False),
        ],
        className="flame-tabs",
        role="tablist",
        **{"aria-label": "What the flame graph shows"},
    )
    refresh = html.Button("Refresh", id="flame-refresh", className="chip", **{"type": "button"})
    tools = html.Div(
        [refresh, _menu("capturing", "warm", "Capture"), _menu("export", "export", "Export")],
        className="flame-tools",
    )
    return html.Div([tabs, tools], className="flame-bar")


def _filters() -> html.Details:
    return html.Details(
        [
            html.Summary(
                [html.Span("Filters"), html.Span(id="flame-filters-words", className="muted")],
                className="flame-filters-summary",
            ),
            html.Div(
                [*(_select(choice) for choice in FILTERS), _select(COMPARE)],
                className="flame-fields",
            ),
        ],
        id="flame-filters",
        className="flame-filters",
        open=True,
    )


def _head() -> tuple[Any, ...]:
    measure = html.Select(
        [html.Option(label, value=name) for name, label in MEASURES],
        id="flame-measure",
        className="flame-select",
        **{"aria-label": "What is measured"},
    )
    toggles = [
        html.Button(
            label,
            id=f"flame-{name}",
            className="flame-toggle",
            title=title,
            **{"type": "button", "aria-pressed": "false"},
        )
        for name, label, title in TOGGLES
    ]
    return (html.Div([measure, *toggles], className="flame-shape"),)


def _chart() -> html.Section:
    body = html.Div(
        [
            html.Div(id="flame-find", className="flame-find"),
            html.Div(
                [
                    html.Div(id="flame-panel", className="flame-panel"),
                    html.Div(
                        "Asking for the samples",
                        id="flame-note",
                        className="flame-note",
                        role="status",
                    ),
                ],
                className="flame-stage",
            ),
        ]
    )
    return panel("panel-flame", "Where the code spends its time", "", body, span=12, head=_head())


def _heading(name: str, title: str, tip: str) -> html.Th:
    sort = html.Button(
        title, className="flame-sort", title=tip, **{"type": "button", "data-sort": name}
    )
    return html.Th(sort, scope="col", className=f"col-{name}", **{"aria-sort": "none"})


def _top() -> html.Section:
    table = html.Div(
        [
            html.Table(
                [
                    html.Thead(html.Tr([_heading(*column) for column in COLUMNS])),
                    html.Tbody(id="flame-top-body"),
                ],
                className="table table-flame-top",
            ),
            html.Div(id="empty-flame-top", className="table-empty", hidden=True),
        ],
        id="flame-top-table",
        className="table-scroll flame-top",
        tabIndex=0,
        role="region",
        **{"aria-label": "List of functions"},
    )
    note = html.Div(id="readout-flame-top", className="readout num")
    return panel("panel-flame-top", "Functions", "", table, span=12, head=(note,))


def flame_page() -> html.Div:
    """The page, empty: views, filters, the chart's stage and the table beside it."""
    return html.Div(
        [
            _bar(),
            _filters(),
            html.Div([_chart(), _top()], className="flame-body"),
            html.Div(id="flame-asof", className="flame-asof num"),
            html.Div(
                id="flame-palette", hidden=True, **{"data-palette": json.dumps(flame_palette())}
            ),
        ],
        id="flame-page",
        className="flame-page",
        **{"data-state": "loading"},
    )
