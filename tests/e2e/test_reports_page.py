"""The Reports page in a real browser, and its files opened offline."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load
from tests.unit.reports.made import run_of
from tests.waiting import until

pytestmark = pytest.mark.browser
PATH = "/performance/reports"
MODELS = ("fraud_detector", "digits")
HOSTILE = "<img src=x onerror=window.hurt=1>"
RUN = "20260301T120000Z-0a1b2c"


def stored_run() -> dict[str, Any]:
    """A run of two bundled models, as the measurement stores it."""
    run = run_of()
    found = {
        key.replace("forest", MODELS[0]).replace("linear", MODELS[1]): figure
        for key, figure in run["optimization"]["figures"].items()
    }
    run["optimization"] |= {"figures": found, "models": list(MODELS)}
    now = time.time()
    return run | {"started": now - 120, "ended": now - 10}


@pytest.fixture(scope="module")
def state(
    server: RunningServer, shared_state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A state with a run, and the plans that the shared server has made."""
    folder = tmp_path_factory.mktemp("reports")
    shutil.copytree(shared_state / "plans", folder / "plans")
    (folder / "runs").mkdir()
    (folder / "runs" / f"{RUN}.json").write_text(json.dumps(stored_run()))
    return folder


@pytest.fixture(scope="module")
def reporting(start_server: StartServer, bundled_models: Path, state: Path) -> RunningServer:
    """A server of this module's own, whose runs and reports are its own too."""
    running = start_server(bundled_models, state)
    until(lambda: running.answers("/"), 30, "the console")
    send_load(running, bundled_models, 60)
    return running


@pytest.fixture
def tab(browser: Any, reporting: RunningServer) -> Iterator[Any]:
    """The page; a fault in the console's log fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    visit(tab, reporting)
    yield tab
    context.close()
    assert faults == []


def visit(tab: Any, server: RunningServer, query: str = "") -> None:
    tab.goto(f"{server.url}/reports{query}")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_selector("#reports-page[data-state=shown]", timeout=20_000)


def put_aside(tab: Any, server: RunningServer, *panels: str) -> None:
    """Pictures of Live's panels into the basket, then back."""
    tab.goto(f"{server.url}/")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_timeout(1500)
    for number, panel in enumerate(panels, 1):
        tab.click(f"#{panel} .panel-menu-button")
        tab.click("#panel-menu [data-item=report]")
        tab.wait_for_function(f"() => pyrometer.basket.count() === {number}", timeout=30_000)
    visit(tab, server)
    tab.wait_for_selector("#reports-basket li")


def file_of(download: Any) -> bytes:
    return Path(download.path()).read_bytes()


def opened_offline(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str], list[str]]:
    """A file in a browser without a network: page, what it asked for, what it complained of."""
    context = browser.new_context(**options)
    context.set_offline(True)
    tab = context.new_page()
    asked: list[str] = []
    problems: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    tab.goto(path.as_uri())
    return tab, asked, problems


def test_the_first_line_says_what_it_brought(tab: Any) -> None:
    lead = tab.inner_text("#reports-lead")
    assert lead.startswith("Cold 600 ms (was 2,400), warm p99 0.5 ms; 16 of 17 targets met")
    assert RUN in tab.inner_text("#reports-meta")
    assert "no daily report" in tab.inner_text("#reports-meta")


def test_targets_are_those_of_the_server(tab: Any, reporting: RunningServer) -> None:
    told = call(reporting.port, "GET", f"{PATH}/optimization")[2]["targets"]
    rows = tab.locator("#reports-targets-body tr")
    assert rows.count() == len(told)
    for place, row in enumerate(told):
        assert rows.nth(place).locator(".state-word").inner_text() == row["status"]
    assert rows.nth(0).locator(".col-value").inner_text() == "600 ms"
    assert RUN in rows.nth(0).locator(".col-value").get_attribute("title")


def test_bars_are_drawn_of_what_is_chosen(tab: Any) -> None:
    groups = tab.locator("#reports-bars .reports-group")
    assert groups.count() == len(MODELS)
    assert "2,400 ms" in groups.nth(1).inner_text()
    assert "no data" in groups.nth(0).inner_text()
    tab.click("#reports-draw-throughput_per_s")
    tab.wait_for_function("() => location.search.includes('draw=throughput_per_s')")
    assert "9,000" in groups.nth(0).inner_text()
    tab.reload()
    tab.wait_for_selector("#reports-draw-throughput_per_s[aria-pressed=true]")


def test_a_recommendation_is_applied_and_says_what_happened(
    tab: Any, reporting: RunningServer
) -> None:
    call(reporting.port, "POST", "/performance/cache/clear", {"tier": "models", "model": "digits"})
    tab.reload()
    tab.wait_for_selector("[data-advice=cold-digits]")
    tab.focus("[data-advice=cold-digits]")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(
        "#toasts .toast[data-status=ok]:has-text('Warm up digits')", timeout=60_000
    )
    models = call(reporting.port, "GET", "/performance/models")[2]["models"]
    assert next(one["state"] for one in models if one["name"] == "digits") == "warm"


def test_a_report_is_stored_seen_and_deleted(tab: Any, reporting: RunningServer) -> None:
    tab.click("#reports-store")
    row = tab.wait_for_selector("#reports-stored-body tr", timeout=20_000)
    assert "16 of 17" in row.query_selector(".col-text").inner_text()
    address = row.query_selector("text=View").get_attribute("href")
    status, headers, _ = call(reporting.port, "GET", address)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    for words, ending in (("HTML", "html"), ("Markdown", "md"), ("JSON", "json")):
        with tab.expect_download() as download:
            row.query_selector(f"text={words}").click()
        assert download.value.suggested_filename.endswith(f".{ending}")
    tab.click("#reports-stored-body [data-action=delete]")
    tab.click("#reports-stored-body [data-action=confirm]")
    tab.wait_for_selector("#reports-stored-body tr", state="detached")
    assert call(reporting.port, "GET", PATH)[2]["reports"] == []


def test_measure_now_shows_progress_and_can_be_cancelled(
    tab: Any, reporting: RunningServer, state: Path
) -> None:
    tab.click("#reports-measure")
    tab.wait_for_selector("#reports-progress[data-running]")
    tab.wait_for_function(
        "() => /step \\d+ of \\d+/.test(document.querySelector('#reports-doing').textContent)",
        timeout=30_000,
    )
    assert tab.get_attribute("#reports-measure", "aria-disabled") == "true"
    tab.click("#reports-cancel")
    tab.wait_for_selector("#toasts .toast:has-text('cancelled')", timeout=60_000)
    assert tab.query_selector("#reports-progress[data-running]") is None
    for path in (state / "runs").glob("*.json"):
        if path.stem != RUN:
            path.unlink()


@pytest.mark.parametrize(
    ("theme", "width", "dark"), [("light", 1280, False), ("dark", 1280, True), ("dark", 390, True)]
)
def test_the_file_opens_offline(
    browser: Any, tab: Any, tmp_path: Path, theme: str, width: int, dark: bool
) -> None:
    with tab.expect_download() as download:
        tab.click("#reports-file-html")
    path = tmp_path / "report.html"
    path.write_bytes(file_of(download.value))
    page, asked, problems = opened_offline(
        browser, path, viewport={"width": width, "height": 900}, color_scheme=theme
    )
    assert asked == [path.as_uri()]
    assert problems == []
    assert page.inner_text(".lead").startswith("Cold 600 ms (was 2,400)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    assert page.locator("svg.bars").count() == 3
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) > 3 * 128
    assert light is not dark
    page.click("table.targets sup a >> nth=0")
    assert page.evaluate("document.querySelector(':target').textContent").startswith("1. ")
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF-")
    page.context.close()
    assert problems == []


def test_pictures_are_ordered_captioned_and_become_one_file(
    browser: Any, tab: Any, reporting: RunningServer, tmp_path: Path
) -> None:
    put_aside(tab, reporting, "panel-latency", "panel-throughput")
    items = tab.locator("#reports-basket > li")
    assert items.count() == 2
    items.nth(1).locator("[data-by='-1']").click()
    tab.wait_for_function(
        "() => document.querySelector('#reports-basket li').innerText.includes('Throughput')"
    )
    items.nth(0).get_by_label("Caption of").fill(f"After the change {HOSTILE}")
    tab.fill("#reports-title", f"Release 7 {HOSTILE}")
    tab.wait_for_timeout(700)
    with tab.expect_download() as download:
        tab.click("#reports-save")
    path = tmp_path / "pictures.html"
    path.write_bytes(file_of(download.value))
    page, asked, problems = opened_offline(browser, path)
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    assert problems == []
    assert page.inner_text("h1") == f"Release 7 {HOSTILE}"
    captions = page.locator("figcaption")
    assert "1. Throughput" in captions.nth(0).inner_text()
    assert f"After the change {HOSTILE}" in captions.nth(0).inner_text()
    assert "captured 2" in captions.nth(0).inner_text()
    assert " to " in captions.nth(0).inner_text()
    sizes = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(sizes) == 2
    assert min(sizes) > 300
    assert page.evaluate("window.hurt") is None
    page.context.close()
    tab.reload()
    tab.wait_for_selector("#reports-basket li")
    field = tab.locator("#reports-basket > li").nth(0).get_by_label("Caption of")
    assert field.input_value() == f"After the change {HOSTILE}"
    tab.click("#reports-basket li >> nth=0 >> [data-action=remove]")
    tab.wait_for_function("() => document.querySelectorAll('#reports-basket li').length === 1")


def test_pictures_stand_within_the_optimisation_report(
    browser: Any, tab: Any, reporting: RunningServer, tmp_path: Path
) -> None:
    put_aside(tab, reporting, "panel-latency")
    tab.check("#reports-whole")
    with tab.expect_download(timeout=30_000) as download:
        tab.click("#reports-save")
    path = tmp_path / "whole.html"
    path.write_bytes(file_of(download.value))
    page, _, problems = opened_offline(browser, path)
    assert problems == []
    assert page.inner_text(".lead").startswith("Cold 600 ms")
    assert page.locator("figure img").count() == 1
    assert page.locator("#sources").count() == 1
    page.context.close()


def test_print_is_handed_the_file_alone(tab: Any, reporting: RunningServer) -> None:
    tab.context.add_init_script("window.print = () => { window.printed = true; }")
    put_aside(tab, reporting, "panel-latency")
    with tab.context.expect_page(timeout=30_000) as opened:
        tab.click("#reports-print")
    sheet = opened.value
    sheet.wait_for_function("() => window.printed", timeout=20_000)
    assert "1. Latency" in sheet.inner_text("figcaption")
    assert sheet.locator("nav, button").count() == 0
    sheet.close()


def test_without_a_run_it_says_how_to_make_one(
    browser: Any, start_server: StartServer, bundled_models: Path, shared_state: Path
) -> None:
    server = start_server(bundled_models, shared_state, "--report-at", "06:30")
    until(lambda: server.answers("/"), 30, "the console")
    context = browser.new_context()
    tab = context.new_page()
    visit(tab, server)
    assert tab.inner_text("#reports-lead").startswith("Nothing was measured on this machine yet")
    assert "Measure now" in tab.inner_text("#empty-reports-bars")
    tab.wait_for_function(
        "() => document.querySelector('#readout-reports-stored').innerText.includes('06:30 UTC')"
    )
    context.close()


def test_a_server_that_cannot_tell_is_said(tab: Any, reporting: RunningServer) -> None:
    tab.evaluate(
        "(error) => { window.fetch = async () => "
        "new Response(JSON.stringify({ error }), { status: 400 }); }",
        HOSTILE,
    )
    tab.evaluate("pyrometer.reports.load()")
    tab.wait_for_selector("#reports-page[data-state=stale]")
    assert HOSTILE in tab.inner_text("#readout-reports-summary")
    assert tab.evaluate("window.hurt") is None
