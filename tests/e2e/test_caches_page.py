"""The Caches page in a real browser: tiers, models, flush, and what it says when it cannot know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load

pytestmark = pytest.mark.browser
OPENS_ITSELF = True
PATH = "**/performance/cache*"
FLUSH = "[data-action=flush]"


@pytest.fixture
def caches(page: Any, live_server: RunningServer, bundled_models: Path) -> Any:
    """The page, over a few requests that were asked twice."""
    call(live_server.port, "POST", "/performance/cache/clear", {})
    for _ in range(2):
        send_load(live_server, bundled_models, 20)
    page.wait_for_timeout(2200)
    page.goto(f"{live_server.url}/caches")
    page.wait_for_selector("#caches-cached-body tr")
    return page


def tier(server: RunningServer, name: str) -> dict[str, Any]:
    tiers = call(server.port, "GET", "/performance/cache")[2]["tiers"]
    found: dict[str, Any] = next(one for one in tiers if one["tier"] == name)
    return found


def changed(page: Any, **changes: Any) -> None:
    """Let the page see an answer whose results tier has these figures, and its models others."""

    def answer(route: Any) -> None:
        told = route.fetch().json()
        next(one for one in told["tiers"] if one["tier"] == "results").update(changes)
        if "off" in changes:
            told["off"] = changes["off"]
        if "models" in changes:
            told["models"] = [told["models"][0] | {"model": name} for name in changes["models"]]
        route.fulfill(json=told)

    page.route(PATH, answer)
    page.reload()
    page.wait_for_selector("#caches-tiers-body tr")


def row(page: Any, name: str, part: str = "memory") -> Any:
    return page.locator(f"#caches-tiers-body tr[data-tier={name}][data-part={part}]")


def test_every_tier_and_its_part_on_disk_is_there(caches: Any) -> None:
    rows = caches.locator("#caches-tiers-body tr")
    found = [
        (rows.nth(at).get_attribute("data-tier"), rows.nth(at).get_attribute("data-part"))
        for at in range(rows.count())
    ]
    assert found == [
        ("models", "memory"),
        ("results", "memory"),
        ("results", "disk"),
        ("embeddings", "memory"),
        ("embeddings", "disk"),
        ("responses", "memory"),
    ]


def test_figures_are_those_of_the_server(caches: Any, live_server: RunningServer) -> None:
    told = tier(live_server, "results")
    shown = row(caches, "results")
    for name in ("hits", "misses", "evictions", "rejected", "expired"):
        assert shown.locator(f".col-{name}").inner_text() == f"{told[name]:,}"
    assert "of 268 MB" in shown.locator(".bytes-words").inner_text()
    assert shown.locator(".col-age .cell-2").inner_text().startswith("median ")
    model = caches.locator("#caches-cached-body tr[data-model=breast_cancer]")
    assert "item" in model.locator(".bytes-words").inner_text()
    assert model.locator(".col-saved").get_attribute("title").startswith("About: ")


def test_the_chart_shows_the_hit_rate(caches: Any) -> None:
    caches.wait_for_selector("#chart-caches-hits[data-source=ready]")
    caches.wait_for_function(
        "[...document.querySelectorAll('#graph-caches-hits .js-plotly-plot')].some("
        "(graph) => graph.data.some((trace) => [...trace.y].some((value) => value > 0)))"
    )


def test_it_is_asked_again_only_while_it_is_shown(caches: Any) -> None:
    asked: list[str] = []
    caches.on("request", lambda one: asked.append(one.url))
    with caches.expect_request(PATH, timeout=9000):
        pass
    caches.click(".rail-link[data-page=settings]")
    caches.wait_for_selector("#settings-table tbody", state="attached")
    asked.clear()
    caches.wait_for_timeout(6500)
    assert [url for url in asked if "/performance/cache" in url] == []


def test_a_tier_is_flushed_after_asking_and_the_figures_are_told(
    caches: Any, live_server: RunningServer
) -> None:
    assert tier(live_server, "results")["items"] > 0
    row(caches, "results").locator(FLUSH).click()
    caches.keyboard.press("Enter")  # on Keep, which has the focus
    assert tier(live_server, "results")["items"] > 0
    row(caches, "results").locator(FLUSH).click()
    caches.click("#caches-tiers-body [data-action=confirm]")
    caches.wait_for_selector("#toasts .toast:has-text('Flushed results')")
    assert " freed" in caches.inner_text("#toasts .toast-detail")
    caches.wait_for_selector(
        "#caches-tiers-body tr[data-tier=results] [data-action=flush][aria-disabled=true]"
    )
    assert tier(live_server, "results")["items"] == 0


def test_a_model_and_all_are_flushed_by_keyboard(
    caches: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    caches.locator(f"#caches-cached-body tr[data-model=breast_cancer] {FLUSH}").focus()
    for key in ("Enter", "Tab", "Enter"):
        caches.keyboard.press(key)
    caches.wait_for_selector("#toasts .toast:has-text('Flushed breast_cancer')")
    send_load(live_server, bundled_models, 5)
    caches.reload()
    caches.wait_for_selector("#caches-flush-all:not([disabled])")
    caches.focus("#caches-flush-all")
    for key in ("Enter", "Tab", "Enter"):
        caches.keyboard.press(key)
    caches.wait_for_selector("#toasts .toast:has-text('Flushed all caches')")
    assert tier(live_server, "results")["items"] == 0
    assert tier(live_server, "models")["items"] > 0


def test_a_sleeping_and_a_limited_tier_say_why(caches: Any) -> None:
    why = "3 of 2048 lookups hit, fewer than 1 in 100"
    changed(caches, awake=False, why=why, judged=[3, 2048], limit_bytes=2**20)
    shown = row(caches, "results")
    assert shown.locator(".state-word").inner_text() == "asleep"
    assert shown.locator(".col-state .cell-2").inner_text() == "3 of 2,048 hit"
    assert shown.locator(".col-state").get_attribute("title") == why
    assert "of 1 MB now" in shown.locator(".bytes-words").inner_text()
    assert "asleep: results" in caches.inner_text("#readout-caches-tiers")


def test_a_tier_that_is_off_leads_to_its_setting(caches: Any) -> None:
    changed(caches, off=[{"tier": "embeddings", "setting": "embedding_cache"}])
    row(caches, "embeddings", "off").locator("a").click()
    caches.wait_for_selector("#view-settings:not([hidden])")
    caches.wait_for_selector("#settings-table tr[data-setting=embedding_cache]")
    assert caches.locator("#settings-table tr[data-setting=port]").is_hidden()


def test_ages_of_a_large_tier_are_measured_when_asked(caches: Any) -> None:
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        told = route.fetch().json()
        if "ages=1" not in route.request.url:
            results = next(one for one in told["tiers"] if one["tier"] == "results")
            results.update(aged=False, oldest_s=None, median_s=None)
        route.fulfill(json=told)

    caches.route(PATH, answer)
    caches.reload()
    caches.wait_for_selector("#caches-measure:not([hidden])")
    age = row(caches, "results").locator(".col-age .cell-1")
    assert age.inner_text() == "not measured"
    caches.click("#caches-measure")
    caches.wait_for_function("!document.querySelector('#caches-measure[aria-disabled]')")
    assert any("ages=1" in url for url in asked)
    assert age.inner_text() != "not measured"
    with caches.expect_response(PATH, timeout=9000):
        pass
    caches.wait_for_timeout(300)
    assert age.inner_text() != "not measured"
    assert row(caches, "results").locator(".col-age").get_attribute("title").startswith("Measured")


def test_what_cannot_be_read_is_asked_for_again(page: Any, live_server: RunningServer) -> None:
    page.route(PATH, lambda route: route.abort())
    page.goto(f"{live_server.url}/caches")
    page.wait_for_selector("#empty-caches-tiers:has-text('could not be read')")
    page.unroute(PATH)
    page.click("#empty-caches-tiers >> text=Try again")
    page.wait_for_selector("#caches-page[data-state=shown]")


@pytest.mark.parametrize("width", [1440, 390])
def test_names_stay_text_and_break_nothing(caches: Any, width: int) -> None:
    caches.set_viewport_size({"width": width, "height": 844})
    odd = "<script>alert(1)</script>javascript:" + "x" * 10_000
    changed(caches, models=[odd, "m"], hits=987_654_321)
    caches.wait_for_selector("#caches-cached-body tr")
    assert row(caches, "results").locator(".col-hits").inner_text() == "988 M"
    caches.locator(f"#caches-cached-body {FLUSH}").first.click()
    caches.wait_for_selector("#caches-cached-body .confirm")
    assert caches.locator("#caches-page script").count() == 0
    assert caches.evaluate("document.documentElement.scrollWidth") <= width
