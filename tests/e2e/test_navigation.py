"""From page to page: addresses, history, focus, the range of time in the address, the bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.console import PAGES
from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load
from tests.waiting import until

pytestmark = pytest.mark.browser
NAMES = [page.name for page in PAGES]
IN_BAR = [page.name for page in PAGES if page.in_bar]
UNDER_MORE = [page.name for page in PAGES if not page.in_bar]


@pytest.fixture
def tab(browser: Any, live_server: RunningServer) -> Iterator[Any]:
    """A tab on which nothing is open yet; a message in the console's log fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on(
        "console",
        lambda said: problems.append(said.text) if said.type in ("error", "warning") else None,
    )
    until(lambda: live_server.answers("/"), 30, "the console")
    yield tab
    context.close()
    assert problems == []


def visit(tab: Any, server: RunningServer, path: str) -> None:
    tab.goto(f"{server.url}{path}")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)


def go(tab: Any, name: str) -> None:
    tab.click(f".rail-link[data-page={name}]")
    expect_page(tab, name)


def expect_page(tab: Any, name: str) -> None:
    """The page is the only one shown, and everything says so."""
    page = next(page for page in PAGES if page.name == name)
    tab.wait_for_selector(f"#console[data-page={name}]")
    assert tab.evaluate("location.pathname") == page.path
    shown = "[...document.querySelectorAll('.page-view:not([hidden])')].map((view) => view.id)"
    assert tab.evaluate(shown) == [f"view-{name}"]
    marked = "[...document.querySelectorAll('[aria-current=page]')].map((one) => one.dataset.page)"
    assert tab.evaluate(marked) == [name]
    assert tab.title().endswith(f"{page.title} - Pyrometer")


def parameters(tab: Any) -> dict[str, str]:
    found: dict[str, str] = tab.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    return found


def label(tab: Any) -> str:
    return str(tab.inner_text("#window-label"))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_opens_by_its_address_and_stays_over_a_reload(
    tab: Any, live_server: RunningServer, page: Any
) -> None:
    visit(tab, live_server, page.path)
    expect_page(tab, page.name)
    tab.reload()
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    expect_page(tab, page.name)


def test_every_page_is_reached_from_the_rail_and_left_by_back_and_forward(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/")
    for name in NAMES[1:]:
        go(tab, name)
        assert tab.evaluate("document.activeElement.id") == "page"
    for name in reversed(NAMES[:-1]):
        tab.go_back()
        expect_page(tab, name)
    for name in NAMES[1:]:
        tab.go_forward()
        expect_page(tab, name)


def test_going_to_a_page_loads_no_document(tab: Any, live_server: RunningServer) -> None:
    visit(tab, live_server, "/")
    sent: list[tuple[str, str]] = []
    tab.on("request", lambda one: sent.append((one.resource_type, one.url)))
    for name in ("models", "alerts", "settings", "live"):
        go(tab, name)
    # The last: the example of a first request, while there was none.
    figures = ("/performance/", "/assets/favicon.svg", "/v2/models/")
    assert [one for one in sent if not any(part in one[1] for part in figures)] == []


def test_an_unknown_path_is_not_found(live_server: RunningServer) -> None:
    until(lambda: live_server.answers("/"), 30, "the console")
    for path in ("/nothing", "/models/none", "/flame-graph/"):
        assert call(live_server.port, "GET", path)[0] == 404


def test_a_click_for_a_new_tab_is_the_browsers(tab: Any, live_server: RunningServer) -> None:
    visit(tab, live_server, "/?range=1h")
    with tab.context.expect_page() as opened:
        tab.click(".rail-link[data-page=models]", modifiers=["Control"])
    expect_page(tab, "live")
    opened.value.wait_for_selector("#console[data-page=models]")
    assert parameters(opened.value) == {"range": "1h"}


def test_back_returns_to_where_a_page_was_scrolled(tab: Any, live_server: RunningServer) -> None:
    visit(tab, live_server, "/")
    tab.evaluate("scrollTo({top: 400, behavior: 'instant'})")
    tab.wait_for_function("scrollY === 400")
    tab.wait_for_timeout(100)
    go(tab, "system")
    assert tab.evaluate("scrollY") == 0
    tab.go_back()
    expect_page(tab, "live")
    assert tab.evaluate("scrollY") == 400


def test_the_range_goes_along_and_a_pages_own_keys_do_not(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/system?range=1h&live=5&compare=1&theme=light&own=1")
    assert label(tab) == "Last hour"
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    assert tab.inner_text("#live-words") == "Every 5 s"
    go(tab, "alerts")
    assert parameters(tab) == {"range": "1h", "live": "5", "compare": "1", "theme": "light"}


def test_a_range_from_the_picker_is_in_the_address_and_back_undoes_it(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/")
    assert label(tab) == "Last 10 minutes"
    tab.click("#time-button")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert parameters(tab) == {"range": "30m"}
    assert label(tab) == "Last 30 minutes"
    assert tab.evaluate("document.activeElement.id") == "time-button"
    tab.wait_for_selector("#chart-throughput[data-source=ready]")
    tab.go_back()
    assert parameters(tab) == {}
    assert label(tab) == "Last 10 minutes"


def test_escape_closes_the_picker_and_gives_the_focus_back(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/")
    tab.click("#time-button")
    tab.wait_for_selector("#time-picker:visible")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#time-picker", state="hidden")
    assert tab.evaluate("document.activeElement.id") == "time-button"


def test_two_moments_make_a_range_and_the_wrong_order_is_refused(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/")
    tab.click("#time-button")
    tab.fill("#picker-from", "2026-01-02T10:00:00")
    tab.fill("#picker-to", "2026-01-02T09:00:00")
    tab.click("text=Show this time")
    tab.wait_for_selector("#picker-problem:has-text('before the second')")
    tab.fill("#picker-to", "2026-01-02T11:30:00")
    tab.click("text=Show this time")
    first, last = map(int, parameters(tab)["range"].split("-"))
    assert last - first == 5400
    assert label(tab) == "2026-01-02 10:00 to 11:30"
    tab.wait_for_selector("#chart-throughput .chart-empty:has-text('No figures in this time')")


def test_a_brush_on_one_chart_is_the_range_of_all_and_of_the_address(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/system")
    tab.wait_for_selector("#chart-cpu .js-plotly-plot .nsewdrag")
    tab.wait_for_timeout(1500)
    box = tab.locator("#chart-cpu").bounding_box()
    height = box["y"] + 80
    tab.mouse.move(box["x"] + 200, height)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 300, height, steps=6)
    tab.mouse.up()
    tab.wait_for_selector("#window-reset:visible")
    first, last = map(int, parameters(tab)["range"].split("-"))
    assert 60 < last - first < 300
    axis = "document.querySelector('#chart-memory .js-plotly-plot')._fullLayout.xaxis.range"
    width = f"(([a, b]) => new Date(b) - new Date(a))({axis})"
    tab.wait_for_function(f"{width} === {(last - first) * 1000}")
    tab.reload()
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    assert parameters(tab)["range"] == f"{first}-{last}"
    tab.click("#window-reset")
    assert parameters(tab) == {}
    assert label(tab) == "Last 10 minutes"


def test_paused_is_in_the_address_and_a_page_opened_so_shows_its_figures(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/")
    tab.click("#live-badge")
    tab.wait_for_selector("#console[data-phase=paused]")
    assert parameters(tab) == {"live": "0"}
    tab.reload()
    tab.wait_for_selector("#console[data-phase=paused]")
    tab.wait_for_selector("#models-body tr[data-model=breast_cancer]")
    tab.click("#live-badge")
    tab.wait_for_selector("#console[data-phase=live]")
    assert parameters(tab) == {}


def test_the_period_before_is_drawn_where_it_is_compared(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/?range=5m")
    tab.click("#time-button")
    tab.check("#picker-compare")
    assert parameters(tab) == {"range": "5m", "compare": "1"}
    line = (
        "document.querySelector('#chart-throughput .js-plotly-plot')"
        ".data.find((trace) => trace.meta.previous)"
    )
    tab.wait_for_function(f"{line}.x.length > 0")
    tab.uncheck("#picker-compare")
    tab.wait_for_function(f"{line}.x.length === 0")


def test_a_history_that_cannot_be_read_says_so_and_is_read_again(
    browser: Any, live_server: RunningServer
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    history = "**/performance/metrics/history*"
    tab.route(
        history, lambda route: route.fulfill(status=503, json={"error": "the file is locked"})
    )
    visit(tab, live_server, "/?range=1h")
    note = tab.locator("#chart-throughput .chart-empty")
    note.get_by_text("The history could not be read: the file is locked").wait_for()
    tab.unroute(history)
    note.get_by_role("button", name="Try again").click()
    tab.wait_for_selector("#chart-throughput[data-source=ready]")
    context.close()


def test_the_theme_is_in_the_address_once_it_is_chosen(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/")
    assert parameters(tab) == {}
    tab.click("#theme-switch")
    theme = tab.evaluate("document.documentElement.dataset.theme")
    assert parameters(tab) == {"theme": theme}


def test_a_picture_of_a_page_bears_its_name(tab: Any, live_server: RunningServer) -> None:
    visit(tab, live_server, "/system")
    with tab.expect_download(timeout=30_000) as download:
        tab.click("#export-png")
    assert download.value.suggested_filename.startswith("pyrometer-system-")


def test_hidden_pages_draw_nothing(tab: Any, live_server: RunningServer) -> None:
    visit(tab, live_server, "/settings")
    tab.wait_for_timeout(2500)
    assert tab.locator("#models-body tr").count() == 0
    go(tab, "live")
    tab.wait_for_selector("#models-body tr[data-model=breast_cancer]")


def test_a_chart_of_a_page_opened_later_has_the_width_of_its_panel(
    tab: Any, live_server: RunningServer
) -> None:
    visit(tab, live_server, "/settings")
    tab.wait_for_timeout(1000)
    go(tab, "system")
    tab.wait_for_function(
        "document.querySelector('#chart-cpu .js-plotly-plot')._fullLayout.width"
        " === document.querySelector('#chart-cpu').clientWidth"
    )


@pytest.mark.parametrize("name", ["live", "system"])
def test_nothing_moves_while_figures_come(
    tab: Any, live_server: RunningServer, bundled_models: Any, name: str
) -> None:
    path = next(page.path for page in PAGES if page.name == name)
    visit(tab, live_server, path)
    tab.wait_for_timeout(1500)
    tab.evaluate(
        "() => { window.moved = 0; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) window.moved += entry.value;"
        " }).observe({type: 'layout-shift'}); }"
    )
    send_load(live_server, bundled_models, 100)
    tab.wait_for_timeout(3500)
    assert tab.evaluate("window.moved") < 0.01


class TestPhone:
    """The bottom bar of a phone, 390 px wide."""

    @pytest.fixture
    def phone(self, tab: Any, live_server: RunningServer) -> Any:
        tab.set_viewport_size({"width": 390, "height": 844})
        visit(tab, live_server, "/")
        return tab

    def test_five_pages_and_more_are_on_the_bar(self, phone: Any) -> None:
        for name in IN_BAR:
            assert phone.locator(f".rail-link[data-page={name}]").is_visible()
        for name in UNDER_MORE:
            assert not phone.locator(f".rail-link[data-page={name}]").is_visible()
        ends = "[...document.querySelectorAll('.rail-links > .rail-link, #rail-more')]"
        assert phone.evaluate(f"{ends}.every((one) => one.scrollWidth <= one.clientWidth)")

    def test_more_is_worked_with_the_keyboard_alone(self, phone: Any) -> None:
        phone.focus("#rail-more")
        phone.keyboard.press("Enter")
        assert phone.evaluate("document.activeElement.dataset.page") == UNDER_MORE[0]
        phone.keyboard.press("Escape")
        assert phone.evaluate("document.activeElement.id") == "rail-more"
        phone.keyboard.press("Enter")
        phone.keyboard.press("Tab")
        phone.keyboard.press("Enter")
        expect_page(phone, UNDER_MORE[1])
        assert phone.get_attribute("#rail-more", "aria-expanded") == "false"
        assert phone.get_attribute("#rail-more", "aria-current") == "true"

    @pytest.mark.parametrize("page", PAGES, ids=NAMES)
    def test_no_page_scrolls_sideways(
        self, phone: Any, live_server: RunningServer, page: Any
    ) -> None:
        visit(phone, live_server, f"{page.path}?range=1764080000-1764080600")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        phone.click("#time-button")
        phone.wait_for_selector("#time-picker:visible")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
