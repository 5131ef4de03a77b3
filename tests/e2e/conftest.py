"""A real browser over a real server, for every page's tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.waiting import until

CHROMIUM = shutil.which("chromium")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Browser:
    """Opens contexts in which a test may ask a page by a string.

    The pages' own policy refuses that; test_access.py looks at every page with it in force.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def new_context(self, **options: Any) -> Any:
        return self._browser.new_context(**({"bypass_csp": True} | options))


def close(context: Any) -> None:
    """Close it; answers that a test's routes are fetching meanwhile fail nobody."""
    for page in context.pages:
        page.unroute_all(behavior="ignoreErrors")
    context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("CI runs the browser tests, and there is no chromium")
        pytest.skip("no chromium on this machine: browser tests are skipped")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield Browser(browser)
        browser.close()


@pytest.fixture(scope="module")
def live_server(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> RunningServer:
    return start_server(bundled_models, shared_state)


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Any, live_server: RunningServer) -> Iterator[Any]:
    """A tab on the Live page; an empty one in modules that say OPENS_ITSELF."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    until(lambda: live_server.answers("/"), 30, "the console")
    if not getattr(request.module, "OPENS_ITSELF", False):
        page.goto(f"{live_server.url}/")
        page.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    yield page
    close(context)
    assert errors == []
