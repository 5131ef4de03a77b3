"""Every page in both themes and both sizes: no error, nothing that axe calls serious, a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.console import PAGES
from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load
from tests.packages import npm_package
from tests.waiting import until

pytestmark = pytest.mark.browser
AXE, AXE_SHA512 = (
    "4.10.3",
    "5e6edba515e70d25f6604d9815f064d859c5d1ea7ab661bbc4f87c88779ef0c2"
    "1cae0abbeb636471ef39e9d62d2582e4b88a1866f19f4ecfcf6d986275e4dc12",
)
SIZES = {"wide": (1440, 900), "phone": (390, 844)}
FURTHER = {"model": "/models?model=fraud_detector", "phases": "/flame-graph?view=phases"}
ADDRESSES = {page.name: page.path for page in PAGES} | FURTHER
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FOUND = """async (tags) => {
    const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ['violations'] });
    const shown = (one) => one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ');
    return violations.filter((one) => ['serious', 'critical'].includes(one.impact))
        .map((one) => `${one.id}: ${one.help}: ${shown(one)}`);
}"""


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    return (npm_package(pytestconfig, "axe-core", AXE, AXE_SHA512) / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def busy_server(live_server: RunningServer, bundled_models: Path) -> Iterator[RunningServer]:
    """With something to show on every page, an experiment among it that answers nobody."""
    until(lambda: live_server.answers("/"), 30, "the console")
    beside = {"name": "beside", "model": "breast_cancer", "mode": "shadow", "start": True}
    beside |= {"analysis": {"kind": "always-valid"}, "candidates": [{"name": "the-same"}]}
    made = call(live_server.port, "POST", "/performance/experiments", beside)[2]
    send_load(live_server, bundled_models, 200)
    yield live_server
    for action in ("stop", "delete"):
        call(live_server.port, "POST", f"/performance/experiments/{made['id']}/{action}", {})


@pytest.fixture(params=[f"{size}-{theme}" for size in SIZES for theme in ("dark", "light")])
def view(
    request: pytest.FixtureRequest, browser: Any, busy_server: RunningServer
) -> Iterator[tuple[str, Any]]:
    """A tab of a size and theme; an error in its log fails the test."""
    size, theme = request.param.split("-")
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    yield request.param, tab
    context.close()
    assert problems == []


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_page_is_sound(
    name: str, view: tuple[str, Any], busy_server: RunningServer, axe: str
) -> None:
    how, tab = view
    tab.goto(f"{busy_server.url}{ADDRESSES[name]}")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_timeout(1500)  # a second of figures, and the page's own
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    tab.evaluate(axe)
    assert tab.evaluate(FOUND, STANDARD) == []
    folder = os.environ.get("PYROMETER_PICTURES")
    if folder:
        tab.screenshot(path=Path(folder) / f"{name}-{how}.png")


HOSTILE = ("<script>window.hurt = 1</script>", "javascript:window.hurt=1", "x" * 10_000)
POISON = """(names) => {
    const told = window.fetch;
    const poisoned = (value, depth) => {
        if (typeof value === 'string') return value;
        if (Array.isArray(value)) return value.map((one) => poisoned(one, depth + 1));
        if (value === null || typeof value !== 'object') return value;
        const found = {};
        for (const [key, one] of Object.entries(value)) found[key] = poisoned(one, depth + 1);
        for (const key of ['name', 'text', 'label', 'error', 'plan', 'reason', 'quality', 'model',
            'endpoint', 'description', 'help', 'rule', 'backend'])
            if (typeof found[key] === 'string' && depth > 0)
                found[key] = names[(found[key].length + depth) % names.length];
        return found;
    };
    window.fetch = async (...asked) => {
        const answer = await told(...asked);
        if (!String(asked[0]).startsWith('/performance')) return answer;
        const body = poisoned(await answer.json(), 0);
        const { status, headers } = answer;
        return new Response(JSON.stringify(body), { status, headers });
    };
}"""


@pytest.mark.parametrize("name", [page.name for page in PAGES])
@pytest.mark.parametrize("view", ["wide-dark", "phone-light"], indirect=True)
def test_hostile_names_stay_text_and_break_no_layout(
    name: str, view: tuple[str, Any], busy_server: RunningServer
) -> None:
    _, tab = view
    tab.add_init_script(f"({POISON})({list(HOSTILE)!r})")
    tab.goto(f"{busy_server.url}{ADDRESSES[name]}")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.wait_for_timeout(2500)
    assert tab.evaluate("window.hurt") is None
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    assert tab.query_selector_all("a[href^='javascript']") == []
    tab.click("body", position={"x": 5, "y": 300})
    assert tab.evaluate("window.hurt") is None


def test_a_server_that_takes_two_seconds_a_tick_is_asked_once_at_a_time(
    browser: Any, busy_server: RunningServer
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    tab.add_init_script("""(() => {
        const told = window.fetch;
        window.flying = { now: 0, most: 0, done: 0 };
        window.fetch = async (...asked) => {
            if (!String(asked[0]).startsWith('/performance/live')) return told(...asked);
            window.flying.now += 1;
            window.flying.most = Math.max(window.flying.most, window.flying.now);
            await new Promise((next) => setTimeout(next, 2000));
            try { return await told(...asked); } finally {
                window.flying.now -= 1;
                window.flying.done += 1;
            }
        };
    })()""")
    tab.goto(f"{busy_server.url}/")
    tab.wait_for_function("window.flying && window.flying.done >= 4", timeout=30_000)
    seq = tab.evaluate("pyrometer.state.seq")
    tab.wait_for_function(f"pyrometer.state.seq > {seq}", timeout=10_000)
    assert tab.evaluate("window.flying.most") == 1
    assert tab.get_attribute("#console", "data-phase") == "live"
    context.close()


def test_a_hidden_tab_asks_nothing(browser: Any, busy_server: RunningServer) -> None:
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{busy_server.url}/")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    tab.wait_for_timeout(1500)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.wait_for_timeout(4000)
    assert asked == []
    context.close()
