"""The command palette, the toolbar's actions and what is told while they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.console import PAGES
from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_live_page import cached_items, send_load
from tests.waiting import until

pytestmark = pytest.mark.browser
PALETTE = "dialog#palette[open]"
CHOSEN = "#palette [role=option][aria-selected=true]"


@pytest.fixture
def tab(browser: Any, live_server: RunningServer) -> Iterator[Any]:
    """The Live page; a fault in the console's log fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    until(lambda: live_server.answers("/"), 30, "the console")
    tab.goto(f"{live_server.url}/")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    yield tab
    context.close()
    assert faults == []


def open_palette(tab: Any, words: str = "") -> None:
    tab.keyboard.press("Control+k")
    tab.wait_for_selector(PALETTE)
    tab.keyboard.type(words)


def run(tab: Any, words: str, label: str) -> None:
    """Type, see that the command comes first, run it."""
    open_palette(tab, words)
    tab.wait_for_selector(f"{CHOSEN}:has-text({label!r})")
    tab.keyboard.press("Enter")


def capture_events(server: RunningServer) -> int:
    captures = call(server.port, "GET", "/performance/profile")[2]["captures"]
    return sum(one["kind"] == "capture" for one in captures)


def event_kinds(server: RunningServer) -> set[str]:
    events = call(server.port, "GET", "/performance/live")[2]["events"]
    return {event["kind"] for event in events}


def test_the_keyboard_alone_reaches_every_page(tab: Any) -> None:
    for page in [*PAGES[1:], PAGES[0]]:
        run(tab, page.title, page.title)
        tab.wait_for_selector(f"#console[data-page={page.name}]")
        assert tab.evaluate("location.pathname") == page.path
        assert tab.locator(PALETTE).count() == 0


def test_the_input_is_a_combobox_over_a_list(tab: Any) -> None:
    open_palette(tab)
    box = tab.get_by_role("combobox", name="Search pages, models, actions")
    assert box.get_attribute("aria-controls") == "palette-list"
    assert tab.evaluate("document.activeElement.id") == "palette-input"
    first = box.get_attribute("aria-activedescendant")
    tab.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") != first
    tab.keyboard.press("ArrowUp")
    assert box.get_attribute("aria-activedescendant") == first
    tab.keyboard.press("ArrowUp")
    last = box.get_attribute("aria-activedescendant")
    assert last == tab.locator("#palette [role=option]").last.get_attribute("id")


@pytest.mark.parametrize("closing", ["Escape", "Control+k"])
def test_closing_gives_the_focus_back(tab: Any, closing: str) -> None:
    tab.focus("#palette-open")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(PALETTE)
    tab.keyboard.press(closing)
    assert tab.locator(PALETTE).count() == 0
    assert tab.evaluate("document.activeElement.id") == "palette-open"


def test_words_are_found_by_beginnings_within_and_by_initials(tab: Any) -> None:
    found = """(typed) => pyrometer.paletteSearch(
        ["Warm up fraud_detector", "Flame graph", "Flush fraud_detector", "Models"]
            .map((label) => ({ label, words: label === "Models" ? "go to page" : "" })), typed)
        .map(({ command }) => command.label)"""
    assert tab.evaluate(found, "fraud warm") == ["Warm up fraud_detector"]
    assert tab.evaluate(found, "wuf") == ["Warm up fraud_detector"]
    assert tab.evaluate(found, "FL") == ["Flame graph", "Flush fraud_detector"]
    assert tab.evaluate(found, "page") == ["Models"]
    assert tab.evaluate(found, "xq") == []


def test_nothing_found_is_said(tab: Any) -> None:
    open_palette(tab, "<script>zz")
    tab.wait_for_selector("#palette-none:has-text('Nothing is called \"<script>zz\"')")
    tab.keyboard.press("Enter")
    assert tab.locator(PALETTE).count() == 1


def test_what_was_run_last_comes_first(tab: Any) -> None:
    run(tab, "settings", "Settings")
    tab.wait_for_selector("#console[data-page=settings]")
    tab.reload()
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    open_palette(tab)
    assert tab.inner_text("#palette-heading-recent") == "Recent"
    assert tab.get_attribute(CHOSEN, "data-command") == "page settings"


def test_warm_up_runs_from_any_page_and_says_with_figures_what_it_did(
    tab: Any, live_server: RunningServer
) -> None:
    run(tab, "settings", "Settings")
    run(tab, "warm digits", "Warm up digits")
    tab.wait_for_selector("#toasts .toast[data-status=ok]:has-text('digits')", timeout=60_000)
    assert "ms" in tab.inner_text("#toasts .toast-detail")
    assert call(live_server.port, "GET", "/v2/models/digits/ready")[0] == 200
    until(lambda: "warmup" in event_kinds(live_server), 5, "an event")


def test_a_flush_asks_first_and_enter_by_mistake_keeps(
    tab: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    send_load(live_server, bundled_models, 20)
    tab.wait_for_function("pyrometer.actions.dataCaches().some((one) => one.items)")
    run(tab, "flush all", "Flush all caches")
    tab.wait_for_selector("#palette-question:has-text('The next requests run their models again')")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#palette:not([data-asking])")
    assert cached_items(live_server) > 0
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    until(lambda: cached_items(live_server) == 0, 15, "an empty cache")
    tab.wait_for_selector("#toasts .toast:has-text(' freed')")


def test_escape_in_a_question_goes_back_to_the_list(
    tab: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    send_load(live_server, bundled_models, 5)
    tab.wait_for_function("pyrometer.actions.dataCaches().some((one) => one.items)")
    tab.click("#quick-flush")
    tab.wait_for_selector("#palette[data-asking]")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#palette[open]:not([data-asking])")
    tab.keyboard.press("Escape")
    assert tab.locator(PALETTE).count() == 0
    assert tab.evaluate("document.activeElement.id") == "quick-flush"
    assert cached_items(live_server) > 0


def test_two_clicks_are_one_warm_up(tab: Any) -> None:
    sent: list[str] = []
    tab.on("request", lambda one: sent.append(one.url) if "/warmup" in one.url else None)
    tab.evaluate("for (let i = 0; i < 3; i += 1) document.querySelector('#quick-warm').click()")
    tab.wait_for_selector("#toasts .toast[data-status=ok]", timeout=60_000)
    assert len(sent) == 1
    assert tab.locator("#toasts .toast").count() == 1


def test_a_capture_shows_how_far_it_is_and_leads_to_its_flame_graph(
    tab: Any, live_server: RunningServer
) -> None:
    before = capture_events(live_server)
    tab.evaluate("() => void [1, 2].map(() => pyrometer.actions.capture(2, 199))")
    tab.wait_for_selector("#toasts .toast[data-busy] .toast-line-fill")
    tab.wait_for_selector("#toasts .toast:has-text('Captured 2 s at 199 Hz')", timeout=15_000)
    assert capture_events(live_server) == before + 1
    tab.click("#toasts .toast-next")
    tab.wait_for_selector("#console[data-page=flame]")
    assert "capture=" in tab.url


def test_silence_leads_to_the_alerts_dialog(tab: Any) -> None:
    tab.wait_for_function("pyrometer.state.answer.alerts.length > 0")
    tab.click("#quick-silence")
    tab.keyboard.type("memory warn")
    tab.wait_for_selector(f"{CHOSEN}:has-text('Silence memory, warning')")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#alert-dialog:has-text('memory, warning')")
    assert tab.evaluate("document.activeElement.id") == "alert-length"


def test_time_and_theme_are_commands(tab: Any) -> None:
    run(tab, "last hour", "Last hour")
    assert "range=1h" in tab.url
    run(tab, "pause", "Pause the figures")
    tab.wait_for_selector("#console[data-phase=paused]")
    run(tab, "resume", "Resume the figures")
    tab.wait_for_selector("#console[data-phase=live]")
    theme = tab.evaluate("document.documentElement.dataset.theme")
    run(tab, "theme", "theme")
    assert tab.evaluate("document.documentElement.dataset.theme") != theme


def test_a_models_commands_lead_to_its_pages(tab: Any) -> None:
    for words, label, page in (
        ("open digits", "Open digits", "models"),
        ("flame digits", "Flame graph of digits", "flame"),
        ("requests digits", "Requests of digits", "requests"),
    ):
        run(tab, words, label)
        tab.wait_for_selector(f"#console[data-page={page}]")
        assert "model=digits" in tab.url


def test_names_of_models_stay_text_however_long(tab: Any) -> None:
    tab.evaluate(
        """() => {
            pyrometer.time.setLive(0);
            const one = pyrometer.state.answer.models[0];
            const evil = "<img src=x onerror=window.hurt=1>";
            const names = [evil, "javascript:window.hurt=1", "long" + "n".repeat(10000)];
            pyrometer.state.answer.models = names.map((name) => ({ ...one, name }));
        }"""
    )
    open_palette(tab, "open")
    tab.wait_for_selector("#palette [role=option]:has-text('<img src=x')")
    right = "document.querySelector('#palette').getBoundingClientRect().right"
    inside = (
        "[...document.querySelectorAll('#palette *')]"
        f".every((one) => one.getBoundingClientRect().right <= {right})"
    )
    assert tab.evaluate(f"{inside} && !window.hurt && !document.querySelector('#palette img')")
    assert tab.evaluate("document.querySelector('#palette').offsetWidth") == 640


def test_on_a_phone_the_palette_is_as_wide_as_the_screen(tab: Any) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.click("#palette-open")
    tab.wait_for_selector(PALETTE)
    assert tab.evaluate("document.querySelector('#palette').offsetWidth") == 390
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert not tab.locator("#quick-warm").is_visible()
    tab.click("#palette .btn-close")
    assert tab.locator(PALETTE).count() == 0
