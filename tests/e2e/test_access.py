"""Access in a real browser: login, scopes on every page, the policy of every page, a prefix."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.console import PAGES
from tests.conftest import ROOT, RunningServer, free_port
from tests.contract.http import call
from tests.e2e.conftest import close
from tests.e2e.proxy import Proxy
from tests.packages import npm_package
from tests.waiting import until

pytestmark = pytest.mark.browser
API_KEY = "browser-" + "k" * 32
ALL = {"x-api-key": API_KEY}
VIOLATIONS = """addEventListener('securitypolicyviolation', (one) =>
    console.error(`policy: ${one.violatedDirective} ${one.blockedURI} ${one.sample}`))"""
LIVE = "#console[data-phase=live]"
LEFT_AND_BACK = """() => {
    const seen = [pyrometer.session.leaving()];
    pyrometer.session.ended();
    seen.push(pyrometer.session.leaving());
    stop();
    dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));
    return [...seen, pyrometer.session.leaving()];
}"""


class Asking:
    """A server that asks for keys, with a key of scope view."""

    def __init__(self, models: Path, state: Path, *flags: str) -> None:
        made = subprocess.run(
            [
                *(sys.executable, "-m", "app.cli", "keys", "create", "--name", "viewer"),
                *("--scope", "view", "--state", str(state)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        self.state, self.viewer = state, made.stdout.splitlines()[-1]
        port = free_port()
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), *flags]
        command += ["--models", str(models), "--state", str(state), "--preload", "digits"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
        environ = clean | {
            "PYROMETER_API_KEY": API_KEY,
            "PYROMETER_RATE_LOGIN_PER_MINUTE": "1000",
        }
        process = subprocess.Popen(command, cwd=ROOT, env=environ)
        self.running = RunningServer(process, port)
        self.running.wait_ready()
        until(lambda: call(port, "GET", "/models", headers=ALL)[0] == 200, 60, "the console")

    @property
    def url(self) -> str:
        return self.running.url


@pytest.fixture(scope="module")
def asking(bundled_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    made = Asking(bundled_models, tmp_path_factory.mktemp("asking"))
    yield made
    made.running.stop()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab in which a breach of the policy, or any error, fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=False)
    page = context.new_page()
    problems: list[str] = []
    page.add_init_script(VIOLATIONS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    yield page
    close(context)
    assert problems == []


def log_in(tab: Any, url: str, key: str, path: str = "/") -> None:
    tab.goto(url + path)
    tab.fill("#key", key)
    tab.click("button[type=submit]")
    tab.wait_for_selector(LIVE, timeout=30_000)


def test_no_page_breaks_its_policy(tab: Any, asking: Asking) -> None:
    log_in(tab, asking.url, API_KEY)
    for page in PAGES:
        tab.goto(f"{asking.url}{page.path}")
        tab.wait_for_selector(LIVE, timeout=20_000)
        tab.wait_for_timeout(1200)  # charts are drawn one a turn
    policy = tab.evaluate("fetch('/').then((one) => one.headers.get('content-security-policy'))")
    scripts = policy.split("script-src")[1].split(";")[0]
    assert "unsafe" not in scripts
    assert "frame-ancestors 'none'" in policy
    with tab.expect_download():
        tab.click("#export-png")  # charts become pictures within the policy too


def test_login_leads_back_and_logout_ends_it(tab: Any, asking: Asking) -> None:
    log_in(tab, asking.url, asking.viewer, "/models?model=digits")
    assert tab.url == f"{asking.url}/models?model=digits"
    assert tab.evaluate("document.cookie") == "", "no script sees the session"
    tab.goto(f"{asking.url}/settings")
    tab.wait_for_selector("#settings-log-out:not([hidden])", timeout=20_000)
    assert "Logged in as viewer: view, until" in tab.text_content("#settings-who")
    tab.click("#settings-log-out")
    tab.wait_for_selector("#key")
    tab.goto(f"{asking.url}/caches?x=1")
    tab.wait_for_selector("#key")
    assert tab.url.endswith("/login?next=/caches%3Fx%3D1")


def test_who_logs_out_asks_for_nothing_more(tab: Any, asking: Asking) -> None:
    """The session ends before its answer is here: a poll in between would be refused."""
    asked: list[str] = []
    meanwhile: list[str] = []

    def late(route: Any) -> None:
        answer = route.fetch()
        asked.clear()
        tab.wait_for_timeout(2500)
        meanwhile.extend(asked)
        route.fulfill(response=answer)

    log_in(tab, asking.url, asking.viewer, "/settings")
    tab.wait_for_selector("#settings-log-out:not([hidden])", timeout=20_000)
    tab.route("**/logout", late)
    tab.on("request", lambda request: asked.append(request.url.removeprefix(asking.url)))
    tab.click("#settings-log-out")
    tab.wait_for_selector("#key")
    assert tab.url == f"{asking.url}/login"
    assert meanwhile == []


def test_a_page_that_was_not_left_goes_on_asking(browser: Any, asking: Asking) -> None:
    """A log-out that fails, and a page that the browser kept and shows again."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    log_in(tab, asking.url, asking.viewer, "/settings")
    tab.wait_for_selector("#settings-log-out:not([hidden])", timeout=20_000)
    tab.route("**/logout", lambda route: route.abort())
    with tab.expect_request("**/performance/live?*", timeout=10_000):
        tab.click("#settings-log-out")
        tab.wait_for_selector("text=Log out failed")
    assert tab.evaluate(LEFT_AND_BACK) == [False, True, False]
    context.close()


def test_a_link_from_another_site_needs_no_second_login(browser: Any, asking: Asking) -> None:
    context = browser.new_context(bypass_csp=False)
    page = context.new_page()
    log_in(page, asking.url, asking.viewer)
    there = f"{asking.url}/alerts"
    page.route(
        "http://other.example/",
        lambda one: one.fulfill(
            content_type="text/html", body=f"<a id=go href='{there}'>alerts</a>"
        ),
    )
    page.goto("http://other.example/")
    page.click("#go")
    page.wait_for_selector(LIVE, timeout=20_000)
    assert page.url == there
    context.close()


def test_what_lies_outside_of_ones_scopes_cannot_be_pressed(browser: Any, asking: Asking) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=False)
    page = context.new_page()
    posts: list[str] = []
    page.on("request", lambda one: posts.append(one.url) if one.method == "POST" else None)
    log_in(page, asking.url, asking.viewer)
    posts.clear()
    for button in ("#warm-all", "#flush-all", "#quick-flush"):
        page.wait_for_selector(f"{button}[data-denied=operate]", timeout=10_000)
        assert page.get_attribute(button, "aria-disabled") == "true"
        title = page.get_attribute(button, "title")
        assert title == "Needs the scope operate; viewer has view"
        page.evaluate(f"document.querySelector('{button}').click()")
    page.goto(f"{asking.url}/models?model=digits")
    page.wait_for_selector("[data-model-action=unload][data-denied]", timeout=20_000)
    page.wait_for_selector(".try-send[data-denied=infer]", timeout=20_000)
    page.evaluate("document.querySelectorAll('[data-denied]').forEach((one) => one.click())")
    page.wait_for_timeout(500)
    assert posts == []
    status = page.evaluate(
        "fetch('/performance/cache/clear', {method: 'POST', body: '{}'}).then((one) => one.status)"
    )
    assert status == 403, "the server refuses it anyway"
    context.close()


def test_with_all_scopes_actions_work_and_are_listed(tab: Any, asking: Asking) -> None:
    log_in(tab, asking.url, API_KEY, "/settings")
    tab.evaluate("pyrometer.post('/performance/warmup', { models: ['digits'] }, 60000)")
    tab.reload()
    tab.wait_for_selector("#audit-body tr", timeout=20_000)
    until(lambda: "POST /performance/warmup" in tab.text_content("#audit-body"), 10, "its line")
    row = tab.text_content("#audit-body tr:has-text('warmup')")
    assert "session PYROMETER_API_KEY" in row
    assert "models digits" in row
    assert "done, 200" in row
    assert tab.query_selector("[data-denied]") is None


def test_a_session_that_ends_leads_to_the_login_page(browser: Any, asking: Asking) -> None:
    context = browser.new_context(bypass_csp=False)
    page = context.new_page()
    log_in(page, asking.url, asking.viewer, "/system")
    context.clear_cookies()
    page.wait_for_selector("#key", timeout=15_000)
    assert page.url.endswith("/login?next=/system") or page.url.endswith("next=%2Fsystem")
    context.close()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_login_page_is_sound(
    browser: Any,
    asking: Asking,
    size: tuple[int, int],
    theme: str,
    pytestconfig: pytest.Config,
) -> None:
    from tests.e2e.test_every_page import AXE, AXE_SHA512, FOUND, STANDARD

    axe = (npm_package(pytestconfig, "axe-core", AXE, AXE_SHA512) / "axe.min.js").read_text()
    context = browser.new_context(
        bypass_csp=False, viewport={"width": size[0], "height": size[1]}, color_scheme=theme
    )
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(f"{asking.url}/login")
    assert page.evaluate("document.activeElement.id") == "key"
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    page.evaluate(axe)
    assert page.evaluate(FOUND, STANDARD) == []
    page.fill("#key", "wrong")
    page.click("button[type=submit]")
    page.wait_for_selector("#problem")
    page.evaluate(axe)
    assert page.evaluate(FOUND, STANDARD) == []
    assert all(one.startswith((asking.url, "data:")) for one in asked)
    folder = os.environ.get("PYROMETER_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"login-{size[0]}-{theme}.png")
    context.close()


@pytest.mark.parametrize("strips", [True, False], ids=["stripped", "kept"])
def test_the_console_works_under_a_prefix(
    tab: Any, bundled_models: Path, tmp_path: Path, strips: bool
) -> None:
    flags = ("--path-prefix", "/tools/pyro", "--trusted-hops", "1")
    asking = Asking(bundled_models, tmp_path / "state", *flags)
    proxy = Proxy(asking.running.port, "/tools/pyro", strips=strips)
    try:
        log_in(tab, proxy.url, API_KEY, "/models?model=digits")
        assert tab.url == f"{proxy.url}/models?model=digits"
        for page in PAGES:
            tab.goto(f"{proxy.url}{page.path}")
            tab.wait_for_selector(LIVE, timeout=20_000)
            tab.wait_for_timeout(800)
        tab.click(".rail-link[data-page=models]")
        assert tab.url.startswith(f"{proxy.url}/models")
        tab.goto(f"{proxy.url}/")
        tab.wait_for_selector(LIVE, timeout=20_000)
        tab.click("a[href$='/alerts'].action")
        until(lambda: tab.url.startswith(f"{proxy.url}/alerts"), 10, "the alerts")
        tab.go_back()
        assert tab.url.startswith(f"{proxy.url}/")
        tab.evaluate("pyrometer.post('/performance/cache/clear', {}, 10000)")
        tab.goto(f"{proxy.url}/performance/dashboard")
        tab.wait_for_selector(LIVE, timeout=20_000)
        assert tab.url == f"{proxy.url}/"
        tab.goto(f"{proxy.url}/settings")
        tab.wait_for_selector("#settings-log-out:not([hidden])", timeout=20_000)
        tab.click("#settings-log-out")
        tab.wait_for_selector("#key")
        assert tab.url == f"{proxy.url}/login"
        assert proxy.outside == []
    finally:
        proxy.close()
        asking.running.stop()


def test_the_server_draws_its_own_pages_although_it_asks_for_keys(asking: Asking) -> None:
    pytest.importorskip("playwright")
    path = "/performance/picture?page=/models&width=900"
    status, headers, content = call(asking.running.port, "GET", path, headers=ALL)
    assert (status, headers["content-type"]) == (200, "image/png"), content[:300]
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) > 20_000, "a login page is smaller"
    viewer = {"x-api-key": asking.viewer}
    entries = call(asking.running.port, "GET", "/performance/audit", headers=viewer)[2]["entries"]
    assert "picture" not in {entry["who"] for entry in entries}
