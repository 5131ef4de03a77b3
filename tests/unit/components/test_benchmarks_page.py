"""The Benchmarks page's tree: what its scripts and tests hold on to."""

from __future__ import annotations

from typing import Any

from dash import html

from app.benchmark_spec import BOUNDS, CHOICES, DEFAULTS, RAMP
from components.benchmarks_page import FURTHER, MAIN, PLOTS, RUN_COLUMNS, benchmarks_page

FIELDS = (*MAIN, *FURTHER)


def props(node: Any) -> dict[str, Any]:
    found: dict[str, Any] = node.to_plotly_json()["props"]
    return found


def node(tree: Any, element_id: str) -> Any:
    return next(one for one in tree._traverse() if getattr(one, "id", None) == element_id)


def test_the_page_begins_empty_and_says_so() -> None:
    page = benchmarks_page()
    assert props(page)["data-state"] == "loading"
    assert node(page, "benchmarks-verdict").children == "Asking for the runs"
    assert node(page, "benchmarks-runs-body").children is None
    assert node(page, "benchmarks-progress").hidden is True


def test_the_form_has_a_field_for_all_that_can_be_asked() -> None:
    flat = {
        f"{name}.{part}" if part else name
        for name, value in {**DEFAULTS, "ramp": {"": None, **RAMP}}.items()
        for part in (value if isinstance(value, dict) else [""])
    }
    assert {field.key for field in FIELDS} == flat
    assert {field.key for field in FIELDS if field.kind == "number"} == set(BOUNDS)


def test_what_can_be_chosen_is_what_the_server_takes() -> None:
    chosen = {field.key: {value for value, _ in field.choices} for field in FIELDS if field.choices}
    assert chosen == {key: set(words) for key, words in CHOICES.items()}


def test_a_field_that_depends_names_one_that_is_there() -> None:
    keys = {field.key for field in FIELDS}
    wanted = [field.wants for field in FIELDS if field.wants]
    assert wanted
    assert {one.partition("=")[0] for one in wanted} <= keys


def test_every_field_is_a_label_of_its_own_input() -> None:
    labels = [one for one in benchmarks_page()._traverse() if isinstance(one, html.Label)]
    assert [props(one)["data-field"] for one in labels] == [field.key for field in FIELDS]
    for label, field in zip(labels, FIELDS, strict=True):
        selects = [one for one in label.children if isinstance(one, html.Select)]
        assert len(selects) == (field.kind == "choice")
        assert label.children[0].children == field.label


def test_progress_is_told_to_those_who_do_not_see_it() -> None:
    bar = props(node(benchmarks_page(), "benchmarks-progress-bar"))
    assert bar["role"] == "progressbar"
    assert (bar["aria-valuemin"], bar["aria-valuemax"]) == ("0", "100")


def test_every_chart_has_a_panel_with_a_readout() -> None:
    page = benchmarks_page()
    for name in ("time", *(plot[0] for plot in PLOTS)):
        panel = node(page, f"panel-benchmarks-{name}")
        assert {f"benchmarks-{name}", f"readout-benchmarks-{name}"} <= {
            one.id for one in panel._traverse() if hasattr(one, "id")
        }


def test_every_column_but_the_actions_has_a_title() -> None:
    table = node(benchmarks_page(), "benchmarks-runs-table")
    titles = [one.children for one in table._traverse() if isinstance(one, html.Th)]
    assert titles[:-1] == [column.title for column in RUN_COLUMNS[:-1]]
