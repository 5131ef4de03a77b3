"""Dash trees: whole trees compared, and what the scripts and end-to-end tests hold on to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dash import html

from components.catalogue import CatalogueEntry, by_name
from components.charts import TRAFFIC, chart_panel
from components.frame import Place, frame, rail
from components.live_page import PLACES, live_page
from components.marks import icon, panel, status_mark
from components.tiles import TILES, TileSpec, tile, tiles

ENTRY = CatalogueEntry(name="p99_ms", label="Slowest 1 %", unit="us", help="99 of 100 are faster")


def plain(tree: Any) -> Any:
    """A component as JSON has it."""
    from plotly.utils import PlotlyJSONEncoder

    return json.loads(json.dumps(tree, cls=PlotlyJSONEncoder))


def ids(tree: Any) -> list[str]:
    named = [tree.id] if getattr(tree, "id", None) else []
    return named + [node.id for node in tree._traverse() if getattr(node, "id", None)]


def test_a_tile_without_figures_is_a_dash_and_the_reason() -> None:
    expected = html.A(
        [
            html.Div(
                [html.Span("Heat", className="tile-label"), status_mark()], className="tile-top"
            ),
            html.Div(
                [
                    html.Span("–", className="tile-value num"),
                    html.Span("K", className="tile-unit unit"),
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
        id="tile-heat",
        className="tile",
        href="#panel-heat",
        title=None,
        **{"data-tile": "heat", "data-status": "unknown", "data-empty": ""},
    )
    assert plain(tile(TileSpec("heat", "Heat", "K", "panel-heat"))) == plain(expected)


def test_tiles_take_label_unit_and_help_from_the_catalogue() -> None:
    built = tiles([ENTRY]).children[3]
    expected = tile(TileSpec("p99_ms", "Slowest 1 %", "us", "panel-latency"), ENTRY["help"])
    assert plain(built) == plain(expected)


def test_without_a_catalogue_every_tile_keeps_its_own_label() -> None:
    assert plain(tiles().children) == plain([tile(spec) for spec in TILES])


def test_a_panel_is_a_section_named_by_its_title() -> None:
    expected = html.Section(
        [
            html.Div(
                [html.H2(["Heat", html.Span(", K", className="unit")], id="panel-heat-title")],
                className="panel-head",
                id="panel-heat-head",
            ),
            "body",
        ],
        id="panel-heat",
        className="panel span-6",
        **{"aria-labelledby": "panel-heat-title"},
    )
    assert plain(panel("panel-heat", "Heat", "K", "body", span=6)) == plain(expected)


def test_the_rail_marks_the_page_shown() -> None:
    built = rail(
        "Pyrometer", "0.1.0", [Place("/", "Live", "live"), Place("#a", "A", "models")], "/"
    )
    links = built.children[1].children
    expected = html.A(
        [icon("live"), html.Span("Live", className="rail-word")],
        href="/",
        className="rail-link",
        **{"aria-current": "page"},
    )
    assert plain(links[0]) == plain(expected)
    assert "aria-current" not in links[1].to_plotly_json()["props"]


def test_a_chart_panel_explains_its_lines_from_the_catalogue() -> None:
    body = chart_panel(TRAFFIC[0], [ENTRY]).children[1]
    assert body.title == "Slowest 1 %: 99 of 100 are faster"
    assert chart_panel(TRAFFIC[0]).children[1].title is None


def test_every_id_of_the_console_is_there_once() -> None:
    built = frame(live_page(), title="P", version="1", places=PLACES, current="/")
    found = ids(built)
    assert len(found) == len(set(found))
    assert {"tick", "page", "health-text", "live-badge", "export-png", "models-body"} <= set(found)


def test_every_place_and_tile_leads_to_something_on_the_page() -> None:
    found = set(ids(live_page()))
    targets = [place.href for place in PLACES] + [f"#{spec.panel}" for spec in TILES]
    assert {target[1:] for target in targets if target.startswith("#")} <= found


def test_no_link_leaves_the_console() -> None:
    built = frame(live_page(), title="P", version="1", places=PLACES, current="/")
    links = [node.href for node in built._traverse() if isinstance(node, html.A)]
    assert links
    assert all(link.startswith(("#", "/")) for link in links)


def test_of_two_entries_with_one_name_the_last_counts() -> None:
    other = ENTRY | {"label": "Other"}
    assert by_name([ENTRY, other])["p99_ms"]["label"] == "Other"


@pytest.mark.parametrize("status", ["ok", "warning", "critical", "unknown"])
def test_a_status_mark_is_decoration_for_a_word_beside_it(status: str) -> None:
    expected = {"className": "mark", "data-status": status, "aria-hidden": "true"}
    props = status_mark(status=status).to_plotly_json()["props"]
    assert {key: value for key, value in props.items() if key in expected} == expected
