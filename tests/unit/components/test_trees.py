"""Dash trees: whole trees compared, and what the scripts and end-to-end tests hold on to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dash import html

from app.console import PAGES
from components.catalogue import CatalogueEntries, CatalogueEntry, by_name
from components.chart_specs import TRAFFIC
from components.charts import chart_panel
from components.frame import Page, frame, rail, view
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


def empty(_: CatalogueEntries) -> html.Div:
    return html.Div()


def links_of(tree: Any) -> list[html.A]:
    return [node for node in tree._traverse() if isinstance(node, html.A)]


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
        href="/heat",
        title=None,
        **{"data-tile": "heat", "data-status": "unknown", "data-empty": ""},
    )
    assert plain(tile(TileSpec("heat", "Heat", "K", "/heat"))) == plain(expected)


def test_tiles_take_label_unit_and_help_from_the_catalogue() -> None:
    built = tiles([ENTRY]).children[3]
    expected = tile(TileSpec("p99_ms", "Slowest 1 %", "us", "#panel-latency"), ENTRY["help"])
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


def test_the_rail_leads_to_every_page_those_without_a_place_in_the_bar_under_more() -> None:
    pages = [
        Page("live", "/", "Live", "live", "Live", empty),
        Page("system", "/system", "System", "system", "System", empty, in_bar=False),
    ]
    links = rail("Pyrometer", "0.1.0", pages).children[1].children
    expected = html.A(
        [icon("live"), html.Span(["Live"], className="rail-word")],
        href="/",
        className="rail-link",
        **{"data-page": "live"},
    )
    assert plain(links[0]) == plain(expected)
    button, sheet = links[1].children
    assert [link.href for link in sheet.children] == ["/system"]
    assert button.to_plotly_json()["props"]["aria-controls"] == sheet.id


def test_a_label_of_two_words_keeps_its_first_where_there_is_no_room() -> None:
    page = Page("flame", "/flame-graph", "Flame graph", "flame", "Flame graph", empty)
    word = rail("Pyrometer", "0.1.0", [page]).children[1].children[0].children[1]
    expected = ["Flame", html.Span(" graph", className="rail-rest-words")]
    assert plain(word.children) == plain(expected)


def test_a_page_is_an_unseen_section_named_by_its_title() -> None:
    page = Page("heat", "/heat", "Heat", "live", "Heat of the day", empty)
    expected = html.Section(
        [
            html.H2("Heat of the day", id="view-heat-title", className="visually-hidden"),
            html.Div(),
        ],
        id="view-heat",
        className="page-view",
        hidden=True,
        **{"aria-labelledby": "view-heat-title"},
    )
    assert plain(view(page)) == plain(expected)


def test_the_frame_tells_the_browser_every_page() -> None:
    built = frame(PAGES, title="P", version="1")
    told = json.loads(built.to_plotly_json()["props"]["data-pages"])
    expected = [{"name": page.name, "path": page.path, "title": page.title} for page in PAGES]
    assert told == expected


def test_the_bar_of_a_phone_has_five_pages() -> None:
    assert sum(page.in_bar for page in PAGES) == 5


def test_a_chart_panel_explains_its_lines_from_the_catalogue() -> None:
    body = chart_panel(TRAFFIC[0], [ENTRY]).children[1]
    assert body.title == "Slowest 1 %: 99 of 100 are faster"
    assert chart_panel(TRAFFIC[0]).children[1].title is None


def test_every_id_of_the_console_is_there_once() -> None:
    found = ids(frame(PAGES, title="P", version="1"))
    assert sorted(found) == sorted(set(found))
    assert {"tick", "page", "health-text", "live-badge", "export-png", "models-body"} <= set(found)


def test_every_link_and_tile_leads_to_a_page_or_something_on_its_page() -> None:
    built = {page.path: page.build(()) for page in PAGES}
    for path, tree in built.items():
        for link in links_of(tree):
            to, _, part = link.href.partition("#")
            assert to in {"", *built}
            assert not part or part in ids(built[to or path])


def test_no_link_leaves_the_console() -> None:
    links = [node.href for node in links_of(frame(PAGES, title="P", version="1"))]
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
