"""Pictures and data out of the console: panels, pages, the report."""

from __future__ import annotations

import base64
import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.console import PAGES
from tests.conftest import RunningServer
from tests.e2e.test_live_page import send_load
from tests.waiting import until

pytestmark = pytest.mark.browser
PNG = b"\x89PNG\r\n\x1a\n"
COLOURS = """async (base64) => {
    const image = new Image();
    image.src = 'data:image/png;base64,' + base64;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    const seen = new Set();
    for (let at = 0; at < pixels.length; at += 4 * 31)
        seen.add((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
    return { colours: seen.size, width: image.width, height: image.height };
}"""


@pytest.fixture
def tab(browser: Any, live_server: RunningServer, bundled_models: Path) -> Iterator[Any]:
    """The Live page with some requests on it; a fault in the console fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    until(lambda: live_server.answers("/"), 30, "the console")
    send_load(live_server, bundled_models, 30)
    visit(tab, live_server, "/")
    tab.wait_for_function("pyrometer.state.rows.filter((row) => row[1] > 0).length > 0")
    yield tab
    context.close()
    assert faults == []


def visit(tab: Any, server: RunningServer, path: str) -> None:
    tab.goto(f"{server.url}{path}")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_timeout(1500)


def content_of(download: Any) -> bytes:
    return Path(download.path()).read_bytes()


def choose(tab: Any, panel: str, item: str) -> None:
    tab.click(f"#{panel} .panel-menu-button")
    tab.click(f"#panel-menu [data-item={item}]")


def saved(tab: Any, panel: str, item: str) -> tuple[str, bytes]:
    with tab.expect_download(timeout=30_000) as download:
        choose(tab, panel, item)
    return download.value.suggested_filename, content_of(download.value)


def looked_at(tab: Any, png: bytes) -> dict[str, int]:
    found: dict[str, int] = tab.evaluate(COLOURS, base64.b64encode(png).decode())
    return found


def csv_rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_is_a_picture_at_twice_its_size(
    tab: Any, live_server: RunningServer, page: Any
) -> None:
    visit(tab, live_server, page.path)
    with tab.expect_download(timeout=30_000) as download:
        tab.click("#export-png")
    assert download.value.suggested_filename.startswith(f"pyrometer-{page.name}-")
    found = looked_at(tab, content_of(download.value))
    assert found["colours"] > 50
    assert found["width"] == 2 * 1440
    tab.wait_for_selector("#toasts .toast:has-text('2,880 x')")


def test_every_panel_in_sight_has_a_menu(tab: Any, live_server: RunningServer) -> None:
    without = """[...pyrometer.router.view().querySelectorAll("section.panel")]
        .filter((panel) => panel.offsetParent && !panel.querySelector(".panel-menu-button"))
        .map((panel) => panel.id)"""
    for page in PAGES:
        visit(tab, live_server, page.path)
        assert tab.evaluate(without) == [], page.name


def test_a_chart_is_saved_as_png_svg_and_csv(tab: Any) -> None:
    name, png = saved(tab, "panel-throughput", "png")
    assert name.startswith("pyrometer-live-throughput-")
    assert name.endswith(".png")
    assert png.startswith(PNG)
    width = tab.evaluate("document.querySelector('#panel-throughput').offsetWidth")
    found = looked_at(tab, png)
    assert found["colours"] > 50
    assert found["width"] == 2 * (width + 32)

    name, svg = saved(tab, "panel-throughput", "svg")
    assert name.endswith(".svg")
    words = [node.text for node in ElementTree.fromstring(svg).iter() if node.text]
    assert "Throughput, requests/s" in words
    assert any(" to " in word for word in words)
    assert any(word.startswith("captured 2") for word in words)

    name, table = saved(tab, "panel-throughput", "csv")
    rows = csv_rows(table)
    assert name.endswith(".csv")
    assert rows[0] == ["Time, UTC", "requests, requests/s", "errors, requests/s"]
    assert {len(row) for row in rows} == {3}
    assert any(float(row[1]) > 0 for row in rows[1:] if row[1])


@pytest.mark.parametrize(
    ("path", "panel", "first"),
    [
        ("/", "panel-phases", "Phase"),
        ("/", "panel-models", "Model"),
        ("/", "panel-events", "Time"),
        ("/", "panel-heat", "Time, UTC"),
        ("/system", "panel-cores", "Time, UTC"),
        ("/flame-graph", "panel-flame", "Function"),
        ("/alerts", "panel-alerts", "Alert"),
    ],
)
def test_the_data_of_other_panels_is_csv_too(
    tab: Any, live_server: RunningServer, path: str, panel: str, first: str
) -> None:
    visit(tab, live_server, path)
    if panel == "panel-cores":
        tab.wait_for_selector("#chart-cores[data-source=ready]")
    rows = csv_rows(saved(tab, panel, "csv")[1])
    assert rows[0][0] == first
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}


def test_a_drawing_on_a_canvas_is_in_its_panels_picture(
    tab: Any, live_server: RunningServer
) -> None:
    tab.wait_for_function("document.querySelector('#readout-heat').textContent")
    assert looked_at(tab, saved(tab, "panel-heat", "png")[1])["colours"] > 50
    visit(tab, live_server, "/flame-graph")
    tab.wait_for_selector("#flame-page[data-state=shown]")
    name, png = saved(tab, "panel-flame", "png")
    assert "where-the-code-spends-its-time" in name
    assert looked_at(tab, png)["colours"] > 50


@pytest.mark.parametrize(
    ("path", "panel", "drawn"),
    [
        ("/", "panel-heat", "#readout-heat b, #readout-heat span"),
        ("/flame-graph", "panel-flame", "#flame-page[data-state=shown]"),
    ],
)
def test_a_drawing_on_a_canvas_is_svg_too(
    tab: Any, live_server: RunningServer, path: str, panel: str, drawn: str
) -> None:
    visit(tab, live_server, path)
    tab.wait_for_selector(drawn, state="attached")
    root = ElementTree.fromstring(saved(tab, panel, "svg")[1])
    tags = [node.tag.rsplit("}", 1)[-1] for node in root.iter()]
    title = tab.evaluate("(id) => document.querySelector(`#${id} h2`).textContent.trim()", panel)
    assert title in [node.text for node in root.iter()]
    assert tags.count("rect") > 3
    assert tags.count("text") > 6


def test_a_chart_is_a_table_for_whoever_cannot_see_it(tab: Any) -> None:
    choose(tab, "panel-latency", "table")
    table = tab.get_by_role("table", name="Latency, ms")
    heads = table.get_by_role("columnheader").all_inner_texts()
    assert heads[:4] == ["Time", "p50, ms", "p95, ms", "p99, ms"]
    assert table.get_by_role("rowheader").count() > 0
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.className") == "panel-menu-button"
    assert tab.evaluate("document.activeElement.closest('section').id") == "panel-latency"


def test_the_menu_is_worked_with_the_keyboard_alone(tab: Any) -> None:
    tab.focus("#panel-latency .panel-menu-button")
    tab.keyboard.press("Enter")
    item = "document.activeElement.dataset.item"
    assert tab.evaluate(item) == "png"
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(item) == "svg"
    tab.keyboard.press("End")
    assert tab.evaluate(item) == "basket"
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(item) == "png"
    tab.keyboard.press("v")
    assert tab.evaluate(item) == "table"
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"


def test_a_copied_link_opens_the_same_stretch_at_the_same_panel(
    tab: Any, live_server: RunningServer
) -> None:
    choose(tab, "panel-queues", "link")
    tab.wait_for_selector("#toasts .toast:has-text('Copied the link')")
    link = tab.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{live_server.url}/?range=")
    assert link.endswith("#panel-queues")
    tab.goto(link)
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_function("scrollY > 300")
    first, last = tab.evaluate("[pyrometer.time.range().from, pyrometer.time.range().to]")
    assert 599 <= last - first <= 602
    assert not tab.evaluate("pyrometer.time.range().rolling")


def test_the_report_survives_a_reload_and_becomes_one_file(
    tab: Any, live_server: RunningServer
) -> None:
    for panel in ("panel-latency", "panel-models"):
        choose(tab, panel, "report")
        tab.wait_for_function(f"() => pyrometer.basket.count() === {1 + (panel == 'panel-models')}")
    tab.evaluate("() => void pyrometer.report.put(null)")
    tab.wait_for_function("() => pyrometer.basket.count() === 3")
    tab.reload()
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.click("#panel-latency .panel-menu-button")
    tab.click("#panel-menu >> text=Report, 3 entries")
    titles = tab.locator("#basket .basket-title")
    assert titles.all_inner_texts() == ["Latency, ms", "Models", "Live, the whole page"]
    tab.click("[aria-label='Move Models up']")
    tab.wait_for_selector("#basket li:first-child:has-text('Models')")
    assert tab.evaluate("document.activeElement.closest('li').textContent").startswith("Models")
    tab.click("[aria-label='Remove Latency, ms']")
    tab.wait_for_function("() => document.querySelectorAll('#basket li').length === 2")
    with tab.expect_download() as download:
        tab.click("text=Download as one HTML file")
    text = content_of(download.value).decode()
    assert download.value.suggested_filename.endswith(".html")
    assert text.count("<figure ") == 2
    assert text.count("data:image/png;base64,") == 2
    words = re.sub('base64,[^"]*', "", text).replace(live_server.url, "")
    assert "http" not in words.replace("127.0.0.1", "")
    tab.click("text=Empty the report")
    tab.click("#basket [data-action=confirm]")
    tab.wait_for_selector("#basket p:has-text('Nothing yet')")


def test_the_report_takes_so_many_and_then_says_so(tab: Any) -> None:
    refused = tab.evaluate(
        """async () => {
            const { basket } = pyrometer;
            const entry = { panel: "p", title: "t", url: "/", range: "", png: new Blob() };
            for (let at = 0; at < basket.MOST; at += 1) await basket.add(entry);
            const words = await basket.add(entry).catch((failure) => failure.message);
            await basket.clear();
            return words;
        }"""
    )
    assert refused == "the report has 50 entries already; remove one first"


def test_what_a_page_supplies_is_what_its_menu_gives(tab: Any) -> None:
    tab.evaluate(
        """() => pyrometer.pictures.provide("panel-queues", {
            svg: () => "<svg xmlns='http://www.w3.org/2000/svg' width='50' height='20'/>",
            rows: () => ({ columns: ["a,b", "c"], rows: [["=1+1", new Date(0)], ["x\\ny", null]] }),
        })"""
    )
    rows = csv_rows(saved(tab, "panel-queues", "csv")[1])
    assert rows == [["a,b", "c, UTC"], ["'=1+1", "1970-01-01T00:00:00Z"], ["x\ny", ""]]
    assert ElementTree.fromstring(saved(tab, "panel-queues", "svg")[1]).tag.endswith("svg")


def test_titles_that_look_like_markup_stay_text_in_every_file(tab: Any) -> None:
    evil = "<script>hurt</script>"
    tab.evaluate(
        "(evil) => document.querySelector('#panel-queues-title').firstChild.data = evil", evil
    )
    choose(tab, "panel-queues", "report")
    tab.wait_for_function("() => pyrometer.basket.count() === 1")
    text = tab.evaluate(
        "async () => (await pyrometer.report.fileOf(await pyrometer.basket.all())).text()"
    )
    assert evil not in text
    assert "&#60;script&#62;hurt" in text


def test_figures_of_the_range_are_saved_as_csv(tab: Any) -> None:
    with tab.expect_download() as download:
        tab.evaluate("() => void pyrometer.actions.exportCsv()")
    rows = csv_rows(content_of(download.value))
    assert rows[0][:2] == ["time_utc", "requests_per_s"]
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}
