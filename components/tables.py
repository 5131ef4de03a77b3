"""Models, caches and events: heads and empty bodies, which tables.js fills in place."""

from __future__ import annotations

from typing import NamedTuple

import dash_bootstrap_components as dbc
from dash import html

from components.marks import icon, panel


class Column(NamedTuple):
    """A table column. align: "start" | "end"."""

    name: str
    title: str
    align: str = "start"


MODEL_COLUMNS = (
    Column("model", "Model"),
    Column("state", "State"),
    Column("plan", "Plan"),
    Column("requests", "Requests", "end"),
    Column("p50", "p50, ms", "end"),
    Column("hits", "Hits, %", "end"),
    Column("quality", "Quality"),
    Column("action", "", "end"),
)
CACHE_COLUMNS = (
    Column("tier", "Tier"),
    Column("bytes", "Used of budget"),
    Column("hits", "Hits", "end"),
    Column("misses", "Misses", "end"),
    Column("evictions", "Evicted", "end"),
    Column("rate", "Hits, %", "end"),
    Column("action", "", "end"),
)
QUEUE_COLUMNS = (
    Column("queue", "Where requests wait"),
    Column("bytes", "Now, of limit"),
    Column("refused", "Refused", "end"),
    Column("failed", "Failed", "end"),
    Column("note", "Since start"),
)


def _heading(column: Column) -> html.Th:
    text = column.title or html.Span("Action", className="visually-hidden")
    return html.Th(text, scope="col", className=f"col-{column.name} text-{column.align}")


def table(name: str, columns: tuple[Column, ...], place: str = "") -> html.Div:
    """A scrolling table with a fixed head; tables.js fills its body, found by data-rows.

    place: what its ids begin with where the same table stands on a second page.
    """
    return html.Div(
        [
            dbc.Table(
                [
                    html.Thead(html.Tr([_heading(column) for column in columns])),
                    html.Tbody(id=f"{place}{name}-body", **{"data-rows": name}),
                ],
                className=f"table-{name}",
                size="sm",
            ),
            html.Div(id=f"empty-{place}{name}", className="table-empty", hidden=True),
        ],
        id=f"{place}{name}-table",
        className=f"table-scroll scroll-{name}",
        tabIndex=0,
        role="region",
        **{"aria-labelledby": f"panel-{place}{name}-title"},
    )


def models_panel() -> html.Section:
    """Every model, its state and plan, with warm-up."""
    warm = dbc.Button(
        [icon("warm"), html.Span("Warm up all", className="button-text")],
        id="warm-all",
        className="action",
        color="link",
        size="sm",
        disabled=True,
    )
    tip = dbc.Tooltip(
        "Loads every model and runs 1, 8 and 32 rows through it, so that its first request is fast",
        target="warm-all",
        placement="left",
        delay={"show": 400, "hide": 0},
    )
    note = html.Div(id="readout-models", className="readout num")
    return panel(
        "panel-models",
        "Models",
        "",
        table("models", MODEL_COLUMNS),
        tip,
        span=12,
        head=(note, warm),
    )


def caches_panel() -> html.Section:
    """Every cache tier, its use and yield, with flush."""
    flush = dbc.Button(
        [icon("flush"), html.Span("Flush all caches", className="button-text")],
        id="flush-all",
        className="action",
        color="link",
        size="sm",
        disabled=True,
    )
    tip = dbc.Tooltip(
        "Empties every tier; the next requests run their models again",
        target="flush-all",
        placement="left",
        delay={"show": 400, "hide": 0},
    )
    note = html.Div(className="readout")
    return panel(
        "panel-caches",
        "Caches",
        "",
        table("caches", CACHE_COLUMNS),
        tip,
        span=6,
        head=(note, flush),
    )


def queues_panel(place: str = "") -> html.Section:
    """Everything that can fill up: connections, threads, slots, queues, disk."""
    note = html.Div(className="readout")
    body = table("queues", QUEUE_COLUMNS, place)
    return panel(f"panel-{place}queues", "Queues", "", body, span=12, head=(note,))


def events_panel() -> html.Section:
    """Warm-ups, flushes, loads, starts and failures, newest first."""
    body = html.Div(
        [
            html.Ul(id="events-list", className="events", **{"data-rows": "events"}),
            html.Div(id="empty-events", className="table-empty", hidden=True),
        ],
        id="events-table",
        className="table-scroll scroll-events",
        tabIndex=0,
        role="region",
        **{"aria-labelledby": "panel-events-title"},
    )
    return panel("panel-events", "Events", "newest first", body, span=12)
