"""The Requests page: the slowest requests of each minute and a sample, and where each one's
time went.

Mounted empty; assets/requests.js lists GET /performance/slow-requests, requests_detail.js
draws the chosen one.
"""

from __future__ import annotations

from typing import NamedTuple

from dash import html

from components.marks import panel


class Heading(NamedTuple):
    """A column that can be sorted by. align: "start" | "end"."""

    key: str
    title: str
    align: str = "start"


HEADINGS = (
    Heading("time", "Time"),
    Heading("model", "Model"),
    Heading("route", "Route"),
    Heading("status", "Status"),
    Heading("duration", "Duration, ms", "end"),
    Heading("why", "Kept as"),
    Heading("cache", "Cache"),
    Heading("form", "Form"),
)
OUTCOMES = (("", "all"), ("answered", "answered"), ("failed", "failed"))


def _select(key: str, label: str, options: tuple[tuple[str, str], ...]) -> html.Label:
    return html.Label(
        [
            html.Span(label, className="flame-field-label"),
            html.Select(
                [html.Option(words, value=value) for value, words in options],
                id=f"requests-{key}",
                className="flame-select",
            ),
        ],
        className="flame-field",
    )


def _filters() -> html.Div:
    return html.Div(
        [
            _select("model", "Model", (("", "all"),)),
            _select("route", "Route", (("", "all"),)),
            _select("outcome", "Outcome", OUTCOMES),
            html.Label(
                [html.Span("At least, ms", className="flame-field-label")],
                id="requests-least-field",
                className="flame-field",
            ),
        ],
        className="requests-filters",
    )


def _heading(heading: Heading) -> html.Th:
    sort = html.Button(
        heading.title, className="flame-sort", **{"type": "button", "data-sort": heading.key}
    )
    return html.Th(
        sort,
        scope="col",
        className=f"col-{heading.key} text-{heading.align}",
        **{"aria-sort": "none"},
    )


def _list() -> html.Section:
    table = html.Div(
        [
            html.Table(
                [
                    html.Thead(html.Tr([_heading(heading) for heading in HEADINGS])),
                    html.Tbody(id="requests-body"),
                ],
                className="table table-requests",
            ),
            html.Div(
                "Asking for the requests",
                id="empty-requests",
                className="table-empty",
                role="status",
            ),
        ],
        id="requests-table",
        className="table-scroll",
        tabIndex=0,
        role="region",
        **{"aria-label": "List of requests"},
    )
    note = html.Div(id="readout-requests", className="readout num")
    return panel(
        "panel-requests",
        "Requests",
        "the slowest of each minute and a sample",
        _filters(),
        table,
        span=12,
        head=(note,),
    )


def _detail() -> html.Section:
    body = html.Div(
        html.P(
            "Choose a request: where its time went will appear here.", className="requests-note"
        ),
        id="requests-detail",
        className="requests-detail",
        tabIndex=0,
        role="region",
        **{"aria-label": "The chosen request"},
    )
    close = html.Button(
        className="btn-close",
        id="requests-close",
        hidden=True,
        **{"type": "button", "aria-label": "Close the request"},
    )
    note = html.Div(className="readout")
    return panel("panel-request", "Where its time went", "", body, span=12, head=(note, close))


def requests_page() -> html.Div:
    """The page, empty: filters, the list, and the chosen request beside it."""
    return html.Div(
        [_list(), _detail()],
        id="requests-page",
        className="requests-page",
        **{"data-state": "loading"},
    )
