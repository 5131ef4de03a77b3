"""The Models page as a tree: what its scripts hold on to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dash import html

from components.model_page import FIGURES, model_page
from components.models_page import HEADINGS, models_page

ASSETS = Path(__file__).parents[3] / "assets"
SCRIPTS = sorted(ASSETS.glob("models*.js"))


def nodes(tree: Any, kind: type) -> list[Any]:
    return [node for node in tree._traverse() if isinstance(node, kind)]


def by_id(tree: Any, element_id: str) -> Any:
    return next(node for node in tree._traverse() if getattr(node, "id", None) == element_id)


def props(node: Any) -> dict[str, Any]:
    found: dict[str, Any] = node.to_plotly_json()["props"]
    return found


def ids(tree: Any) -> list[str]:
    return [node.id for node in (tree, *tree._traverse()) if getattr(node, "id", None)]


def test_ids_are_unique_and_every_named_one_is_there() -> None:
    page = models_page()
    found = ids(page)
    assert sorted(found) == sorted(set(found))
    named = [props(node).get("aria-labelledby") for node in page._traverse() if hasattr(node, "id")]
    assert {name for name in named if name} <= set(found)


def test_ids_that_the_scripts_ask_for_are_there() -> None:
    asked = set()
    for script in SCRIPTS:
        asked |= set(re.findall(r'byId\("([a-z0-9-]+)"\)', script.read_text(encoding="utf-8")))
    made_by_scripts = {"model-list-q", "model-answer", "model-try-send", "model-try-status"}
    assert asked - made_by_scripts <= set(ids(models_page()))


def test_every_column_but_the_actions_is_sorted_by_its_button() -> None:
    headings = nodes(models_page(), html.Th)
    sorts = [
        props(heading.children)["data-sort"]
        for heading in headings
        if "aria-sort" in props(heading)
    ]
    assert sorts == [heading.key for heading in HEADINGS if heading.sorts]
    assert headings[-1].children == "Actions"


def test_one_model_is_unseen_until_it_is_named() -> None:
    page = model_page()
    assert page.hidden is True
    assert by_id(models_page(), "model-list").className == "grid"


def test_every_figure_has_a_place_and_a_note() -> None:
    places = [props(node) for node in nodes(model_page(), html.Dd)]
    keys = [key for key, _ in FIGURES]
    assert [place["data-figure"] for place in places if "data-figure" in place] == keys
    assert [place["data-note"] for place in places if "data-note" in place] == keys


def test_every_panel_says_what_it_waits_for() -> None:
    words = [node.children for node in nodes(model_page(), html.P) if node.className]
    assert [word for word in words if word] == [
        "Asking for the plan",
        "Asking what audits found",
        "Asking for the figures",
        "Asking for the figures",
        "Asking for the schema",
        "Asking for the schema",
        "Asking for it",
        "Asking for them",
    ]


def test_the_scripts_build_no_markup_from_text() -> None:
    assert len(SCRIPTS) >= 10
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
