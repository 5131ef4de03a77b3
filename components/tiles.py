"""The row of tiles: one number each, its course over the window, its change in words.

tiles.js fills value, delta and sparkline; a tile links to what explains it.
"""

from __future__ import annotations

from typing import NamedTuple

from dash import html

from components.catalogue import CatalogueEntries, by_name
from components.marks import status_mark


class TileSpec(NamedTuple):
    """One tile. name: its id in GET /performance/live; href: the page or panel that explains it."""

    name: str
    label: str
    unit: str
    href: str


TILES = (
    TileSpec("requests_per_s", "Requests", "req/s", "#panel-throughput"),
    TileSpec("p50_ms", "Latency p50", "ms", "#panel-latency"),
    TileSpec("p95_ms", "Latency p95", "ms", "#panel-latency"),
    TileSpec("p99_ms", "Latency p99", "ms", "#panel-latency"),
    TileSpec("error_percent", "Errors", "%", "#panel-throughput"),
    TileSpec("hit_percent", "Cache hits", "%", "/caches"),
    TileSpec("memory_mb", "Memory", "MB", "/system#panel-memory"),
    TileSpec("cpu_percent", "CPU", "%", "/system#panel-cpu"),
)


def tile(spec: TileSpec, help_text: str = "") -> html.A:
    """An empty tile; a dash stands for the number until there is one."""
    return html.A(
        [
            html.Div(
                [
                    html.Span(spec.label, className="tile-label"),
                    status_mark(),
                ],
                className="tile-top",
            ),
            html.Div(
                [
                    html.Span("–", className="tile-value num"),
                    html.Span(spec.unit, className="tile-unit unit"),
                ],
                className="tile-number",
            ),
            html.Div(className="tile-spark", **{"aria-hidden": "true"}),
            html.Div(
                [
                    html.Span("unknown", className="tile-status"),
                    ", ",
                    html.Span("waiting for the first figures", className="tile-words"),
                ],
                className="tile-delta",
            ),
        ],
        id=f"tile-{spec.name}",
        className="tile",
        href=spec.href,
        title=help_text or None,
        **{"data-tile": spec.name, "data-status": "unknown", "data-empty": ""},
    )


def tiles(entries: CatalogueEntries = ()) -> html.Section:
    """All tiles, with labels, units and explanations from the catalogue where it has them."""
    known = by_name(entries)
    children = []
    for spec in TILES:
        entry = known.get(spec.name)
        if entry is not None:
            spec = spec._replace(label=entry["label"], unit=entry["unit"])
        children.append(tile(spec, entry["help"] if entry else ""))
    return html.Section(children, id="tiles", className="tiles", **{"aria-label": "Now"})
