"""The Settings page in a real browser: values, sources, search, copy; and no secret on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.e2e.conftest import close
from tests.unit.test_settings_sources import PARTS, SECRETS
from tests.waiting import until

pytestmark = pytest.mark.browser
PATH = "**/performance/settings"
ROWS = "#settings-table tr[data-setting]"


@pytest.fixture(scope="module")
def secretive(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> RunningServer:
    """A server whose settings hold URLs with credentials, given by flags."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SECRETS.items()]
    running = start_server(
        bundled_models, shared_state, *flags, "--http-queue", "99", "--history", "off"
    )
    until(lambda: running.answers("/"), 30, "the console")
    return running


@pytest.fixture
def settings(browser: Any, secretive: RunningServer) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=secretive.url)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{secretive.url}/settings")
    page.wait_for_selector("#settings-page[data-state=shown]")
    yield page
    close(context)
    assert errors == []


def listed(page: Any) -> list[str]:
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('{ROWS}:not([hidden])')].map((row) => row.dataset.setting)"
    )
    return found


def test_every_setting_is_listed_with_its_source(settings: Any, secretive: RunningServer) -> None:
    told = call(secretive.port, "GET", "/performance/settings")[2]["settings"]
    assert sorted(listed(settings)) == sorted(one["name"] for one in told)
    queue = settings.locator("#settings-table tr[data-setting=http_queue]")
    assert queue.locator(".col-value").inner_text().split("\n") == ["99", "default 256"]
    assert queue.locator(".col-source").inner_text().split("\n") == ["flag", "--http-queue"]
    assert queue.locator(".col-range").inner_text() == "1 or more"
    assert "changed" in queue.locator(".col-name").inner_text()
    gzip = settings.locator("#settings-table tr[data-setting=gzip]")
    assert gzip.locator(".col-source").inner_text() == "default"
    bounds = settings.locator("#settings-table tr[data-setting=result_cache_bytes] .col-value")
    assert bounds.inner_text() == "268 MB"


def test_no_secret_is_on_the_page_in_the_answer_or_in_what_is_copied(
    settings: Any, secretive: RunningServer
) -> None:
    settings.click("#settings-copy")
    settings.wait_for_selector("#toasts .toast:has-text('Copied')")
    copied = settings.evaluate("navigator.clipboard.readText()")
    answer = settings.evaluate("fetch('/performance/settings').then((one) => one.text())")
    live = settings.evaluate("fetch('/performance/live?since=0').then((one) => one.text())")
    page = settings.inner_text("#page") + settings.evaluate(
        "[...document.querySelectorAll('#page *')].flatMap("
        "(node) => [...node.attributes].map((one) => one.value)).join(' ')"
    )
    for secret in (*SECRETS.values(), *(part for part in PARTS if len(part) > 5)):
        for place in (copied, answer, live, page):
            assert secret not in place, secret
    webhook = settings.locator("#settings-table tr[data-setting=alert_webhook] .settings-value")
    assert webhook.inner_text() == "https hooks.example.org"


def test_what_is_listed_and_changed_is_copied_as_lines(settings: Any) -> None:
    settings.click("#settings-copy")
    settings.wait_for_selector("#toasts .toast:has-text('Copied')")
    lines = settings.evaluate("navigator.clipboard.readText()").strip().split("\n")
    assert "PYROMETER_HTTP_QUEUE=99" in lines
    assert "PYROMETER_HISTORY=off" in lines
    assert "# PYROMETER_ALERT_WEBHOOK is set; its value is not shown" in lines
    assert not any(line.startswith("PYROMETER_GZIP") for line in lines)
    settings.fill("#settings-search", "http_queue")
    settings.wait_for_function("location.search.includes('q=http_queue')")
    settings.click("#settings-copy")
    settings.wait_for_selector("#toasts .toast:has-text('Copied 1 line')")
    text = settings.evaluate("navigator.clipboard.readText()")
    assert text == "PYROMETER_HTTP_QUEUE=99\n"


def test_a_value_with_spaces_and_quotes_is_a_line_of_a_shell(settings: Any) -> None:
    odd = "[{changed: true, text: \"a b'c\", variable: 'PYROMETER_PRELOAD'}]"
    lines = settings.evaluate(f"window.pyrometer.settings.lines({odd})")
    assert lines == ["PYROMETER_PRELOAD='a b'\\''c'"]


def test_search_and_changed_only_are_in_the_address(settings: Any) -> None:
    settings.fill("#settings-search", "cache bytes")
    settings.wait_for_function("location.search.includes('q=cache')")
    assert "result_cache_bytes" in listed(settings)
    assert "port" not in listed(settings)
    settings.fill("#settings-search", "")
    settings.wait_for_function("!location.search.includes('q=')")
    settings.click("#settings-changed")
    settings.wait_for_function("location.search.includes('changed=1')")
    assert {"http_queue", "history", *SECRETS} <= set(listed(settings))
    assert "gzip" not in listed(settings)
    settings.reload()
    settings.wait_for_selector("#settings-page[data-state=shown]")
    assert settings.get_attribute("#settings-changed", "aria-pressed") == "true"
    assert "gzip" not in listed(settings)
    settings.go_back()
    settings.wait_for_function("!location.search.includes('changed')")
    assert "gzip" in listed(settings)


def test_a_search_that_finds_nothing_can_be_cleared(settings: Any) -> None:
    settings.fill("#settings-search", "nothing like this")
    settings.wait_for_selector("#empty-settings:has-text('No setting has')")
    settings.click("#empty-settings >> text=Show all settings")
    settings.wait_for_selector("#empty-settings", state="hidden")
    assert "gzip" in listed(settings)


def test_about_tells_versions_process_and_state(settings: Any, secretive: RunningServer) -> None:
    about = settings.inner_text("#settings-about")
    assert "CPython" in about
    assert "numpy" in about
    assert "State folder" in about
    assert settings.inner_text("#settings-uptime").split()[1] in ("s", "min")


def test_settings_that_cannot_be_read_are_asked_for_again(
    page: Any, live_server: RunningServer
) -> None:
    page.route(PATH, lambda route: route.abort())
    page.goto(f"{live_server.url}/settings")
    page.wait_for_selector("#empty-settings:has-text('could not be read')")
    page.unroute(PATH)
    page.click("#empty-settings >> text=Try again")
    page.wait_for_selector("#settings-page[data-state=shown]")


@pytest.mark.parametrize("width", [1440, 390])
def test_values_stay_text_and_break_nothing(settings: Any, width: int) -> None:
    odd = "<script>alert(1)</script>javascript:" + "x" * 10_000

    def answer(route: Any) -> None:
        told = route.fetch().json()
        for one in told["settings"]:
            if one["name"] == "preload":
                one.update(value=odd, text=odd, changed=True, source="code")
        told["about"]["processor"] = told["about"]["state"]["folder"] = odd
        route.fulfill(json=told)

    settings.set_viewport_size({"width": width, "height": 844})
    settings.route(PATH, answer)
    settings.reload()
    settings.wait_for_selector("#settings-page[data-state=shown]")
    assert settings.locator("#settings-page script").count() == 0
    assert settings.evaluate("document.documentElement.scrollWidth") <= width
    height = settings.locator("#settings-table tr[data-setting=preload]").bounding_box()["height"]
    assert height < 200
