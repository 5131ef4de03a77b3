"""The Caches page: what each tier holds and brings, over time and model by model, and flush.

Mounted empty; assets/caches.js fills it from GET /performance/cache, charts.js draws the chart.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import html

from components.catalogue import CatalogueEntries
from components.chart_specs import Area, ChartSpec, Series
from components.charts import chart_panel, time_figure
from components.marks import icon, panel
from components.tables import Column, table

TIER_COLUMNS = (
    Column("tier", "Tier"),
    Column("state", "State"),
    Column("bytes", "Used of budget"),
    Column("hits", "Hits", "end"),
    Column("misses", "Misses", "end"),
    Column("rate", "Hits, %", "end"),
    Column("evictions", "Evicted", "end"),
    Column("rejected", "Rejected", "end"),
    Column("expired", "Expired", "end"),
    Column("age", "Oldest", "end"),
    Column("saved", "Saved, about", "end"),
    Column("action", "", "end"),
)
MODEL_COLUMNS = (
    Column("model", "Model"),
    Column("bytes", "In the caches"),
    Column("results", "Results", "end"),
    Column("embeddings", "Embeddings", "end"),
    Column("responses", "Responses", "end"),
    Column("disk", "On disk", "end"),
    Column("hits", "Hits", "end"),
    Column("rate", "Hits, %", "end"),
    Column("run", "A run, ms", "end"),
    Column("saved", "Saved, about", "end"),
    Column("action", "", "end"),
)
HITS = ChartSpec(
    "caches-hits",
    "Cache hits",
    "%",
    184,
    12,
    (Series("hit_percent", "hits", "series-1"),),
    (Area("hit_percent", "series-1-fill"),),
    headline="hit_percent",
)
SAVED = (
    "Time saved is about: hits × the mean time that a run took since the start, of the model "
    "whose requests hit, or of the encoder whose rows did."
)


def _button(element_id: str, icon_name: str, words: str, **further: Any) -> dbc.Button:
    return dbc.Button(
        [icon(icon_name), html.Span(words, className="button-text")],
        id=element_id,
        className="action",
        color="link",
        size="sm",
        **further,
    )


def _tiers() -> html.Section:
    note = html.Div(id="readout-caches-tiers", className="readout num")
    return panel(
        "panel-caches-tiers",
        "Tiers",
        "since the start",
        table("tiers", TIER_COLUMNS, "caches-"),
        html.P(SAVED, className="caches-note"),
        span=12,
        head=(note, _button("caches-flush-all", "flush", "Flush all caches", disabled=True)),
    )


def _models() -> html.Section:
    note = html.Div(id="readout-caches-models", className="readout num")
    measure = html.Button(
        "Measure ages and disk", id="caches-measure", className="chip", hidden=True, type="button"
    )
    return panel(
        "panel-caches-cached",
        "By model",
        "since the start",
        table("cached", MODEL_COLUMNS, "caches-"),
        span=12,
        head=(note, measure),
    )


def _chart(entries: CatalogueEntries) -> html.Section:
    figure = time_figure(HITS)
    figure["layout"]["yaxis"] |= {"range": [0, 104], "autorange": False, "dtick": 25}
    return chart_panel(HITS, entries, figure)


def caches_page(entries: CatalogueEntries = ()) -> html.Div:
    """Every panel of the page, empty."""
    return html.Div(
        [_tiers(), _chart(entries), _models()],
        id="caches-page",
        className="grid",
        **{"data-state": "loading"},
    )
