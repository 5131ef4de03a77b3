"""The Flame graph and Requests pages as trees: what the scripts hold on to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dash import html

from components.flame_colours import flame_palette
from components.flame_page import COLUMNS, FILTERS, MEASURES, flame_page
from components.requests_page import HEADINGS, OUTCOMES, requests_page

ASSETS = Path(__file__).parents[3] / "assets"


def nodes(tree: Any, kind: type) -> list[Any]:
    return [node for node in tree._traverse() if isinstance(node, kind)]


def by_id(tree: Any, element_id: str) -> Any:
    return next(node for node in tree._traverse() if getattr(node, "id", None) == element_id)


def props(node: Any) -> dict[str, Any]:
    found: dict[str, Any] = node.to_plotly_json()["props"]
    return found


def ids(tree: Any) -> list[str]:
    return [node.id for node in tree._traverse() if getattr(node, "id", None)]


@pytest.mark.parametrize("page", [flame_page, requests_page])
def test_ids_are_unique_and_every_named_one_is_there(page: Any) -> None:
    found = ids(page())
    assert sorted(found) == sorted(set(found))
    labelled = [
        props(node).get("aria-labelledby") for node in page()._traverse() if hasattr(node, "id")
    ]
    assert {name for name in labelled if name} <= set(found)


def test_the_palette_travels_with_the_page() -> None:
    told = json.loads(props(by_id(flame_page(), "flame-palette"))["data-palette"])
    assert told == json.loads(json.dumps(flame_palette()))
    assert len(told["dark"]["diff"]) == 2 * len(told["diff_bounds"]) + 1


def test_the_views_are_tabs_and_code_is_shown_first() -> None:
    tabs = [node for node in nodes(flame_page(), html.Button) if getattr(node, "role", "") == "tab"]
    told = [(props(tab)["data-view"], props(tab)["aria-selected"]) for tab in tabs]
    assert told == [("code", "true"), ("phases", "false")]
    assert [tab.tabIndex for tab in tabs] == [0, -1]


def test_every_filter_starts_with_nothing_chosen() -> None:
    for choice in FILTERS:
        select = by_id(flame_page(), f"flame-{choice.key}")
        assert [(option.children, option.value) for option in select.children] == [
            (choice.nothing, "")
        ]


def test_the_measures_are_those_of_the_route() -> None:
    options = by_id(flame_page(), "flame-measure").children
    assert [option.value for option in options] == [name for name, _ in MEASURES]
    assert {name for name, _ in MEASURES} == {"cpu", "wall", "samples"}


@pytest.mark.parametrize(
    ("page", "keys"),
    [
        (flame_page, [name for name, *_ in COLUMNS]),
        (requests_page, [heading.key for heading in HEADINGS]),
    ],
)
def test_every_column_is_sorted_by_its_button(page: Any, keys: list[str]) -> None:
    headings = nodes(page(), html.Th)
    assert [props(heading.children)["data-sort"] for heading in headings] == keys
    assert {props(heading)["aria-sort"] for heading in headings} == {"none"}


def test_requests_are_answered_or_failed() -> None:
    options = by_id(requests_page(), "requests-outcome").children
    assert [(option.value, option.children) for option in options] == list(OUTCOMES)


@pytest.mark.parametrize("page", [flame_page, requests_page])
def test_nothing_can_be_seen_before_the_first_answer_but_words_say_so(page: Any) -> None:
    assert props(page())["data-state"] == "loading"
    statuses = [node for node in page()._traverse() if getattr(node, "role", "") == "status"]
    assert [node.children.startswith("Asking for the") for node in statuses] == [True]


def test_the_scripts_build_no_markup_from_text() -> None:
    for script in [*ASSETS.glob("flame_*.js"), *ASSETS.glob("requests*.js")]:
        text = script.read_text(encoding="utf-8")
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
