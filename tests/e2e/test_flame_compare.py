"""Comparisons, exports, captures and the drawer of the flame graph in a real browser."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.flame import BEFORE, COLOURS, NOW, drawn, imported, picture, press_box, show

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def now(live_server: RunningServer) -> str:
    """The id of a profile: a 80 % in three boxes, of b 30 %, c 20 %."""
    return imported(live_server, "now", NOW)


@pytest.fixture(scope="module")
def before(live_server: RunningServer) -> str:
    """The id of a profile: a 20 %, c 80 %."""
    return imported(live_server, "before", BEFORE)


def test_a_comparison_shows_what_grew_and_what_shrank(
    page: Any, live_server: RunningServer, now: str, before: str
) -> None:
    show(page, live_server, f"capture={now}&against_capture={before}&theme=dark")
    palette = json.loads(page.locator("#flame-palette").get_attribute("data-palette"))
    theme = page.evaluate("document.documentElement.dataset.theme")
    diff = palette[theme]["diff"]
    colours, _ = page.evaluate(COLOURS, picture(page))
    assert {diff[0], diff[-1]} <= set(colours)
    assert "share shrank" in page.locator("#flame-panel .flame-legend").inner_text()
    press_box(page, 0.1, 2)
    words = page.locator("#flame-panel .flame-readout").inner_text()
    assert "50.0 %" in words
    assert "before: 20.0 %, now +30.0 points" in words
    row = page.locator("#flame-top-body tr", has_text="third")
    assert row.locator(".col-grown").inner_text() == "-60.0"


def test_a_captures_name_may_come_after_its_samples(
    page: Any, live_server: RunningServer, now: str, before: str
) -> None:
    held: list[Any] = []
    page.route("**/performance/profile", lambda route: held.append(route))
    show(page, live_server, f"capture={now}&against_capture={before}")
    as_of = page.locator("#flame-asof")
    assert before in as_of.inner_text()
    held[0].continue_()
    as_of.locator("text=compared with before").wait_for(timeout=10_000)
    press_box(page, 0.1, 2)
    assert "before: 20.0 %" in page.locator("#flame-panel .flame-readout").inner_text()


def test_widths_may_be_those_of_before(
    page: Any, live_server: RunningServer, now: str, before: str
) -> None:
    show(page, live_server, f"capture={now}&against_capture={before}")
    of_now = picture(page)
    page.select_option("#flame-widths", "before")
    page.wait_for_timeout(300)
    assert picture(page) != of_now
    assert "widths=before" in page.url


def test_what_to_compare_with_is_one_choice(
    page: Any, live_server: RunningServer, now: str, before: str
) -> None:
    show(page, live_server, f"capture={now}")
    page.wait_for_selector(f"#flame-compare option[value='capture:{before}']", state="attached")
    page.select_option("#flame-compare", f"capture:{before}")
    page.wait_for_selector("#flame-page[data-compared=true]")
    page.select_option("#flame-compare", "")
    page.wait_for_selector("#flame-page[data-compared=false]")
    assert "against" not in page.url


def test_before_and_after_an_event_are_five_minutes_of_each(
    page: Any, live_server: RunningServer
) -> None:
    call(live_server.port, "POST", "/performance/cache/clear", {})
    show(page, live_server)
    option = page.locator("#flame-compare option[value^='event:']").first
    option.wait_for(state="attached", timeout=30_000)
    at = float(option.get_attribute("value").split(":")[1])
    page.select_option("#flame-compare", option.get_attribute("value"))
    page.wait_for_function("location.search.includes('against_from')")
    keys = page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    assert float(keys["against_to"]) - float(keys["against_from"]) == pytest.approx(300)
    assert float(keys["against_to"]) == pytest.approx(at, abs=0.01)
    assert int(keys["range"].split("-")[0]) == int(at)


def test_every_export_downloads(
    page: Any, live_server: RunningServer, now: str, tmp_path: Path
) -> None:
    show(page, live_server, f"capture={now}&measure=samples")

    def saved(name: str) -> bytes:
        page.click("#flame-export-button")
        with page.expect_download() as download:
            page.click(f"#flame-export-{name}")
        target = tmp_path / name
        download.value.save_as(target)
        assert download.value.suggested_filename.startswith("pyrometer-")
        return target.read_bytes()

    assert b"third/c.py" in saved("folded")
    assert "speedscope" in json.loads(saved("speedscope"))["$schema"]
    assert len(saved("pprof")) > 50
    assert b"<svg" in saved("svg")[:200]
    png = saved("png")
    assert png.startswith(b"\x89PNG")
    colours, width = page.evaluate(COLOURS, f"data:image/png;base64,{b64encode(png).decode()}")
    assert len(colours) > 20
    assert width >= 1800


def test_a_copied_link_is_pinned_in_time(page: Any, live_server: RunningServer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(page, live_server)
    page.click("#flame-export-button")
    page.click("#flame-copy-link")
    page.wait_for_selector("#toasts .toast:has-text('Copied the link')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(rf"{re.escape(live_server.url)}/flame-graph\?range=\d+-\d+", link)


def test_a_capture_runs_and_is_opened(page: Any, live_server: RunningServer) -> None:
    show(page, live_server)
    page.click("#flame-capturing-button")
    page.select_option("#flame-capturing-menu select >> nth=0", "5")
    page.click("text=Capture 5 s at 499 Hz")
    page.wait_for_selector("#flame-capturing[data-running=true]")
    page.wait_for_function("location.search.includes('capture=')", timeout=30_000)
    drawn(page)
    assert "499 Hz asked" in page.locator("#flame-asof").inner_text()
    page.click("#flame-capturing-button")
    page.click("text=Delete the shown capture")
    page.click("#flame-capturing-menu [data-action=confirm]")
    page.wait_for_function("!location.search.includes('capture=')")


def test_a_file_is_imported_and_shown(
    page: Any, live_server: RunningServer, tmp_path: Path
) -> None:
    show(page, live_server)
    folded = tmp_path / "mine.folded"
    folded.write_text(NOW)
    page.set_input_files("#flame-import", str(folded))
    page.wait_for_function("location.search.includes('capture=')")
    drawn(page)
    assert page.locator("#flame-capture option:checked").inner_text() == "mine.folded"


def test_the_drawer_of_a_latency_chart_shows_its_range(
    page: Any, live_server: RunningServer
) -> None:
    page.click("#panel-latency .flame-open")
    page.wait_for_selector("#flame-sheet[data-state=shown]")
    assert page.locator("#flame-sheet-title").inner_text().startswith("Flame graph, ")
    page.click("#flame-sheet >> text=Compare with the hour before")
    page.wait_for_selector("#flame-sheet >> text=Without comparison")
    page.wait_for_function(
        "document.querySelector('.flame-status').textContent.includes('hour before')"
    )
    page.keyboard.press("Escape")
    page.wait_for_selector("#flame-sheet", state="detached")
    assert page.evaluate("document.activeElement.classList.contains('flame-open')")
    page.click("#panel-latency .flame-open")
    page.click("#flame-sheet >> text=Open as page")
    page.wait_for_selector("#view-flame:not([hidden])")
    assert re.search(r"/flame-graph\?range=\d+-\d+$", page.url)


def test_a_picked_range_asks_why(page: Any, live_server: RunningServer) -> None:
    assert page.locator("#flame-why").is_hidden()
    page.evaluate("pyrometer.time.set({from: pyrometer.latest() - 60, to: pyrometer.latest()})")
    page.click("#flame-why")
    page.wait_for_selector("#view-flame:not([hidden])")
    keys = page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    assert (keys["against"], keys["against_window"]) == ("before", "1h")
    assert re.fullmatch(r"\d+-\d+", keys["range"])
