"""The Caches and Settings pages' trees: what their scripts and tests hold on to."""

from __future__ import annotations

from typing import Any

from dash import html

from components.caches_page import HITS, MODEL_COLUMNS, SHARED, TIER_COLUMNS, caches_page
from components.catalogue import CatalogueEntry
from components.settings_page import HEADINGS, settings_page

ENTRY = CatalogueEntry(name="hit_percent", label="Cache hits", unit="%", help="what the caches had")


def node(tree: Any, element_id: str) -> Any:
    return next(one for one in tree._traverse() if getattr(one, "id", None) == element_id)


def titles(table: Any) -> list[Any]:
    return [one.children for one in table._traverse() if isinstance(one, html.Th)]


def test_the_caches_page_begins_empty_and_says_so() -> None:
    page = caches_page()
    assert page.to_plotly_json()["props"]["data-state"] == "loading"
    assert node(page, "caches-tiers-body").children is None
    assert node(page, "caches-cached-body").children is None
    assert node(page, "caches-flush-all").disabled is True
    assert node(page, "caches-measure").hidden is True


def test_every_column_but_the_actions_has_a_title() -> None:
    page = caches_page()
    for place, columns in (("tiers", TIER_COLUMNS), ("cached", MODEL_COLUMNS)):
        found = titles(node(page, f"caches-{place}-table"))
        assert found[:-1] == [column.title for column in columns[:-1]]
        assert found[-1].className == "visually-hidden"


def test_the_hit_rate_is_drawn_from_none_to_all() -> None:
    page = caches_page([ENTRY])
    figure = node(page, f"graph-{HITS.name}").figure
    assert figure["layout"]["yaxis"]["range"] == [0, 104]
    assert {trace["meta"]["column"] for trace in figure["data"]} == {"hit_percent"}
    assert node(page, f"chart-{HITS.name}").title == "Cache hits: what the caches had"


def test_how_time_saved_is_computed_is_on_the_page() -> None:
    notes = [one for one in caches_page()._traverse() if isinstance(one, html.P)]
    assert "hits × the mean time that a run took" in notes[0].children


def test_what_servers_share_is_hidden_until_there_is_something_to_share() -> None:
    place = node(caches_page(), "caches-shared")
    assert place.hidden is True
    figures = [one for one in place._traverse() if isinstance(one, html.Dd)]
    assert [one.children for one in figures[::2]] == ["–"] * len(SHARED)


def test_the_settings_page_begins_empty_and_says_so() -> None:
    page = settings_page()
    assert page.to_plotly_json()["props"]["data-state"] == "loading"
    assert node(page, "empty-settings").children == "Asking for the settings"
    assert node(page, "settings-copy").disabled is True
    assert titles(node(page, "settings-table")) == [title for _, title in HEADINGS]


def test_the_toggle_says_that_it_is_not_pressed() -> None:
    toggle = node(settings_page(), "settings-changed").to_plotly_json()["props"]
    assert toggle["aria-pressed"] == "false"
