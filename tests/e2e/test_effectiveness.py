"""What is saved, and what audits found, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load
from tests.waiting import until

pytestmark = pytest.mark.browser
OPENS_ITSELF = True
PATH = "**/performance/effectiveness"
MODEL = "breast_cancer"
LEAST_AUDITS = 5


@pytest.fixture(scope="module")
def live_server(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> RunningServer:
    """A server that audits often, after a few audits."""
    running = start_server(bundled_models, shared_state, "--audit-interval-s", "0.5")

    def audited() -> bool:
        call(running.port, "POST", "/performance/cache/clear", {})
        send_load(running, bundled_models, 30)
        audit = told(running)["audit"]
        return bool(audit and audit["recent"]["timed"] >= LEAST_AUDITS)

    until(audited, 90, "audits")
    return running


def told(server: RunningServer) -> dict[str, Any]:
    models = call(server.port, "GET", "/performance/effectiveness")[2]["models"]
    found: dict[str, Any] = next(one for one in models if one["model"] == MODEL)
    return found


def show_model(page: Any, server: RunningServer) -> None:
    page.goto(f"{server.url}/models?model={MODEL}")
    page.wait_for_selector("#model-audit > :not(:text('Asking what audits found'))")


def changed(page: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Let the page see another answer for MODEL."""

    def answer(route: Any) -> None:
        report = route.fetch().json()
        change(next(one for one in report["models"] if one["model"] == MODEL))
        route.fulfill(json=report)

    page.route(PATH, answer)


def test_a_models_page_says_what_audits_found(page: Any, live_server: RunningServer) -> None:
    show_model(page, live_server)
    words = page.inner_text("#model-audit .audit-words")
    assert "re-run by scikit-learn, 0 differ" in words
    assert "× faster now, " in words
    assert words.endswith("when planned.")
    assert page.get_attribute("#panel-model-audit", "data-status") in ("ok", "warning")
    facts = page.inner_text("#model-audit .audit-facts")
    assert "since it was loaded" in facts
    assert "tolerance 1e-5" in facts


def test_rows_that_differ_are_told_by_digest(page: Any, live_server: RunningServer) -> None:
    def wrong(model: dict[str, Any]) -> None:
        model["audit"]["recent"] |= {"differing": 3, "largest": 0.25, "rows": 240}
        model["audit"]["examples"] = [
            {"time": 1.79e9, "digest": "0123456789abcdef", "output": "<b>p</b>", "difference": 0.25}
        ]

    changed(page, wrong)
    show_model(page, live_server)
    assert "240 rows re-run by scikit-learn, 3 differ" in page.inner_text("#model-audit")
    assert page.get_attribute("#panel-model-audit", "data-status") == "critical"
    example = page.inner_text("#model-audit .audit-examples li")
    assert example.endswith("row 0123456789abcdef, <b>p</b> differs by 2.5e-1")
    assert page.locator("#model-audit b").count() == 0


def test_a_slower_form_is_a_warning(page: Any, live_server: RunningServer) -> None:
    changed(page, lambda model: model["audit"]["recent"].update(differing=0, speed_percent=12.0))
    show_model(page, live_server)
    assert page.get_attribute("#panel-model-audit", "data-status") == "warning"
    assert "12.0 %" in page.inner_text("#model-audit .audit-facts")


def test_a_model_without_an_oracle_says_so(page: Any, live_server: RunningServer) -> None:
    why = "no oracle: a given onnx model is served as it is"
    changed(page, lambda model: model.update(audited=False, audit=None, why_not=why))
    show_model(page, live_server)
    assert page.inner_text("#model-audit") == f"Not checked: {why}."


def test_what_was_saved_is_told_in_words_and_figures(page: Any, live_server: RunningServer) -> None:
    page.goto(f"{live_server.url}/caches")
    page.wait_for_selector("#caches-page[data-saved-state=shown]")
    words = page.inner_text("#caches-saved-words")
    assert words.startswith("In the ")
    assert " the plan saved " in words
    assert "nothing" not in words.split("the plan saved ")[1].split(" of work")[0]
    report = call(live_server.port, "GET", "/performance/effectiveness")[2]
    assert report["saved"]["hour_s"]["plan"] > 0
    assert page.inner_text("[data-saved=plan]") != "–"
    assert "since the start" in page.inner_text("[data-saved-note=responses]")
    page.wait_for_selector("#chart-caches-work[data-source=ready]")
    page.wait_for_function(
        "[...document.querySelectorAll('#graph-caches-work .js-plotly-plot')].some("
        "(graph) => graph.data.some((trace) => [...trace.y].some((value) => value > 0)))"
    )


def test_what_cannot_be_read_is_said_and_asked_again(page: Any, live_server: RunningServer) -> None:
    page.route(PATH, lambda route: route.abort())
    page.goto(f"{live_server.url}/caches")
    page.wait_for_selector("#caches-page[data-saved-state=stale]")
    assert "not refreshed" in page.inner_text("#readout-caches-saved")
    page.unroute(PATH)
    page.wait_for_selector("#caches-page[data-saved-state=shown]", timeout=15_000)


@pytest.mark.parametrize("width", [1440, 390])
def test_neither_panel_is_wider_than_the_page(
    page: Any, live_server: RunningServer, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    show_model(page, live_server)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{live_server.url}/caches")
    page.wait_for_selector("#caches-page[data-saved-state=shown]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
