"""The Models page: every model in a table, or the one that the address names.

Mounted empty; assets/models*.js fill it from the live snapshot and
GET /performance/models/{model}.
"""

from __future__ import annotations

from typing import NamedTuple

from dash import html

from components.catalogue import CatalogueEntries
from components.marks import icon, panel
from components.model_page import model_page


class Heading(NamedTuple):
    """A column, and whether it can be sorted by. align: "start" | "end"."""

    key: str
    title: str
    align: str = "start"
    sorts: bool = True


HEADINGS = (
    Heading("model", "Model"),
    Heading("state", "State"),
    Heading("version", "Version"),
    Heading("plan", "Plan"),
    Heading("memory", "Memory", "end"),
    Heading("requests", "Requests", "end"),
    Heading("p99", "p99, ms", "end"),
    Heading("hits", "Hits, %", "end"),
    Heading("used", "Last used", "end"),
    Heading("action", "Actions", "end", sorts=False),
)


def _heading(heading: Heading) -> html.Th:
    told = {"aria-sort": "none"} if heading.sorts else {}
    content = (
        html.Button(
            heading.title, className="models-sort", **{"type": "button", "data-sort": heading.key}
        )
        if heading.sorts
        else heading.title
    )
    return html.Th(
        content, scope="col", className=f"col-{heading.key} text-{heading.align}", **told
    )


def _table() -> html.Div:
    return html.Div(
        [
            html.Table(
                [
                    html.Thead(html.Tr([_heading(heading) for heading in HEADINGS])),
                    html.Tbody(id="model-list-body"),
                ],
                className="table table-model-list",
            ),
            html.Div(
                "Asking for the models",
                id="empty-model-list",
                className="table-empty",
                role="status",
            ),
        ],
        id="model-list-table",
        className="table-scroll",
        tabIndex=0,
        role="region",
        **{"aria-label": "Table of all models"},
    )


def _list() -> html.Section:
    warm_all = html.Button(
        [icon("warm"), html.Span("Warm up all", className="button-text")],
        id="model-list-warm-all",
        className="action btn btn-sm btn-link",
        title="Loads every model and runs 1, 8 and 32 rows through it",
        **{"type": "button"},
    )
    return panel(
        "panel-model-list",
        "All models",
        "figures since the start",
        _table(),
        html.Ul(id="model-list-problems", className="models-problems", hidden=True),
        span=12,
        head=(
            html.Div(id="readout-model-list", className="readout num"),
            html.Label(
                html.Span("Filter by name", className="visually-hidden"),
                id="model-list-filter",
                className="models-filter",
            ),
            warm_all,
        ),
    )


def models_page(entries: CatalogueEntries = ()) -> html.Div:
    """The page, empty. models_page.js shows the table or, where one is named, its model."""
    return html.Div(
        [html.Div(_list(), id="model-list", className="grid"), model_page()],
        id="models-page",
        **{"data-state": "loading"},
    )
