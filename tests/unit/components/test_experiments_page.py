"""The Experiments page's tree: what its scripts, its form and its tests hold on to."""

from __future__ import annotations

from typing import Any

import pytest
from dash import html

from components.experiments_form import GUARDS, MAIN
from components.experiments_page import (
    AGREEMENT_COLUMNS,
    FIGURE_COLUMNS,
    GUARD_COLUMNS,
    LIST_COLUMNS,
    PROMOTION_COLUMNS,
    SPLIT_COLUMNS,
    VARIANT_COLUMNS,
    experiments_page,
)
from engine.experiments.definition import DEFAULT_GUARDS, definition_of

TABLES = {
    "figures": FIGURE_COLUMNS,
    "agreement": AGREEMENT_COLUMNS,
    "guards": GUARD_COLUMNS,
    "split": SPLIT_COLUMNS,
    "variants": VARIANT_COLUMNS,
    "promotions": PROMOTION_COLUMNS,
    "list": LIST_COLUMNS,
}


@pytest.fixture(scope="module")
def page() -> Any:
    return experiments_page()


def node(tree: Any, element_id: str) -> Any:
    return next(one for one in tree._traverse() if getattr(one, "id", None) == element_id)


def props(tree: Any) -> dict[str, Any]:
    found: dict[str, Any] = tree.to_plotly_json()["props"]
    return found


def labels(tree: Any) -> dict[str, dict[str, Any]]:
    found = [props(one) for one in tree._traverse() if isinstance(one, html.Label)]
    return {one["data-field"]: one for one in found}


def test_it_begins_without_an_experiment_and_says_what_it_does(page: Any) -> None:
    told = props(page)
    assert told["data-state"] == "loading"
    assert told["data-form"] == "closed"
    assert node(page, "experiments-verdict").children == "Asking for the experiments"
    assert node(page, "experiments-progress").hidden is True


def test_every_id_is_once_and_of_this_page(page: Any) -> None:
    ids = [one.id for one in page._traverse() if getattr(one, "id", None)]
    assert len(ids) == len(set(ids))
    assert all("experiments" in one for one in ids)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_empty_and_every_column_has_a_title(page: Any, name: str) -> None:
    table = node(page, f"experiments-{name}-table")
    assert node(page, f"experiments-{name}-body").children is None
    heads = [one.children for one in table._traverse() if isinstance(one, html.Th)]
    titles = [column.title for column in TABLES[name]]
    assert [head if isinstance(head, str) else "" for head in heads] == titles
    assert props(table)["aria-labelledby"] == f"panel-experiments-{name}-title"


def test_progress_is_told_to_a_screen_reader(page: Any) -> None:
    bar = props(node(page, "experiments-progress-bar"))
    assert (bar["role"], bar["aria-valuemax"], bar["aria-valuenow"]) == ("progressbar", "100", "0")
    assert props(node(page, "experiments-headline"))["role"] == "status"


def test_the_form_has_a_field_for_all_that_a_definition_has(page: Any) -> None:
    body = {"name": "n", "model": "m", "candidates": [{"name": "c"}]}
    given = definition_of(body, "1").as_dict()
    asked = {key.partition(".")[0] for key in labels(node(page, "experiments-form"))}
    assert set(given) <= asked
    assert {"experiments-variants", "experiments-add", "experiments-create"} <= {
        getattr(one, "id", None) for one in page._traverse()
    }


def test_the_form_has_every_guard_rail_with_its_limits(page: Any) -> None:
    found = labels(page)
    for name, guard in DEFAULT_GUARDS.items():
        assert found[f"guards.{name}"]["data-kind"] == "flag"
        keys = ["limit", "least", *(["tolerance"] if guard.tolerance is not None else [])]
        for key in keys:
            assert found[f"guards.{name}.{key}"]["data-wants"] == f"guards.{name}=1"
    assert [name for name, *_ in GUARDS] == list(DEFAULT_GUARDS)


def test_fields_that_only_some_experiments_have_say_which() -> None:
    wants = {field.key: field.wants for field in MAIN if field.wants}
    assert wants == {
        "header": "mode=split",
        "measure": "mode=split",
        "analysis.requests": "analysis.kind=planned",
    }


def test_choices_are_those_that_the_engine_takes() -> None:
    choices = {field.key: [value for value, _ in field.choices] for field in MAIN if field.choices}
    assert choices == {
        "mode": ["split", "shadow"],
        "measure": ["request", "inference"],
        "analysis.kind": ["planned", "always-valid"],
    }
    base = {"name": "n", "model": "m", "candidates": [{"name": "c"}]}
    for mode in choices["mode"]:
        assert definition_of(base | {"mode": mode}, "1").mode == mode
    for measure in choices["measure"]:
        assert definition_of(base | {"measure": measure}, "1").measure == measure
    for kind in choices["analysis.kind"]:
        assert definition_of(base | {"analysis": {"kind": kind}}, "1")
