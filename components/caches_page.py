"""The Caches page: what each tier holds and brings, over time and model by model, and flush.

Mounted empty; assets/caches.js fills it from GET /performance/cache, charts.js draws the chart.
"""

from __future__ import annotations

from typing import Any

import dash_bootstrap_components as dbc
from dash import html

from components.catalogue import CatalogueEntries, by_name
from components.chart_specs import Area, ChartSpec, Extra, Series
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
WORK_SAVED = ChartSpec(
    "caches-work",
    "Work saved",
    "ms a second",
    184,
    12,
    (
        Series("saved_by_plan_ms", "plan", "series-1"),
        Series("saved_by_batching_ms", "batching", "series-2"),
        Series("saved_by_responses_ms", "responses", "series-3"),
        Series("saved_by_results_ms", "results", "series-4"),
        Series("saved_by_disk_ms", "disk", "series-5"),
        Series("saved_by_embeddings_ms", "encoding", "series-6"),
    ),
    (),
    (Extra("saved_by_redis_ms", "redis", "ms/s"), Extra("gzip_ms", "gzip spent", "ms/s")),
    headline="saved_by_plan_ms",
)
HOURLY = (
    ("plan", "Plan", "saved_by_plan_ms"),
    ("batching", "Batching", "saved_by_batching_ms"),
    ("responses", "Responses", "saved_by_responses_ms"),
    ("results", "Results", "saved_by_results_ms"),
    ("disk", "Disk", "saved_by_disk_ms"),
    ("redis", "Redis", "saved_by_redis_ms"),
    ("embeddings", "Embeddings", "saved_by_embeddings_ms"),
    ("gzip", "gzip", "gzip_saved_bytes_per_s"),
)
"""Key, label and the metric that explains it, of each figure of the last hour."""
SHARED = (
    ("lookups", "Look-ups", "Time of the last 1,024 look-ups, of the budget that each has"),
    ("ended", "Without an answer", "Look-ups that took too long, failed, or found no connection"),
    ("connections", "Connections", "Of this process; a look-up neither waits for one nor opens it"),
    ("written", "Written", "Since the start, off the request path"),
    ("queued", "To be written", "What finds the queue full, or Redis away, is dropped"),
    ("runs", "Runs led, found", "Runs of 20 ms and more that other servers could wait for"),
    ("epoch", "Epoch", "Flushes that are known here; each gives all keys new names"),
    ("circuit", "Circuit opened", "Times that Redis was not asked any more, until it answered"),
)
"""Key, label and explanation of each figure of what servers share."""
HOURLY_NOTE = (
    "Each is compared with this server without that part alone, so they do not add up. What was "
    "done is measured; what was not done is an estimate, for the plan by audits of served rows."
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


def _saved(entries: CatalogueEntries) -> html.Section:
    known: Any = by_name(entries)
    figures = [
        html.Div(
            [
                html.Dt(label),
                html.Dd("–", className="num", **{"data-saved": key}),
                html.Dd("", className="caches-hour-note", **{"data-saved-note": key}),
            ],
            className="caches-hour-figure",
            title=known[metric]["help"] if metric in known else None,
        )
        for key, label, metric in HOURLY
    ]
    return panel(
        "panel-caches-saved",
        "Time saved",
        "last hour",
        html.P("Asking what was saved", id="caches-saved-words", className="caches-saved-words"),
        html.Dl(figures, className="caches-hour"),
        html.P(HOURLY_NOTE, className="caches-note"),
        span=12,
        head=(html.Div(id="readout-caches-saved", className="readout num"),),
    )


def _shared() -> html.Div:
    figures = [
        html.Div(
            [
                html.Dt(label),
                html.Dd("–", className="num", **{"data-shared": key}),
                html.Dd("", className="caches-hour-note", **{"data-shared-note": key}),
            ],
            className="caches-hour-figure",
            title=words,
        )
        for key, label, words in SHARED
    ]
    return html.Div(
        panel(
            "panel-caches-shared",
            "Shared by Redis",
            "since the start",
            html.P("", id="caches-shared-words", className="caches-saved-words"),
            html.Dl(figures, className="caches-hour caches-shared"),
            span=12,
        ),
        id="caches-shared",
        className="caches-shared-place span-12",
        hidden=True,
    )


def _chart(entries: CatalogueEntries) -> html.Section:
    figure = time_figure(HITS)
    figure["layout"]["yaxis"] |= {"range": [0, 104], "autorange": False, "dtick": 25}
    return chart_panel(HITS, entries, figure)


def caches_page(entries: CatalogueEntries = ()) -> html.Div:
    """Every panel of the page, empty."""
    return html.Div(
        [
            _tiers(),
            _shared(),
            _saved(entries),
            chart_panel(WORK_SAVED, entries),
            _chart(entries),
            _models(),
        ],
        id="caches-page",
        className="grid",
        **{"data-state": "loading"},
    )
