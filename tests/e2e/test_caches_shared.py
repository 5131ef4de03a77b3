"""What servers share by Redis, on the Caches page, in both themes and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.faults.server import Server
from bench.redis_server import RedisServer
from bench.shared import Asker, fresh, servers
from tests.e2e.test_every_page import FOUND, SIZES, STANDARD, axe
from tests.waiting import until

__all__ = ["axe"]  # a fixture
pytestmark = pytest.mark.browser
ROW = "#caches-tiers-body tr[data-tier=results][data-part=shared]"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def pair(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder: Path = tmp_path_factory.mktemp("servers")
    with servers(folder, [redis.url, redis.url]) as started:
        until(lambda: started[1].status("/caches") == 200, 60, "the console")
        one, other = (Asker(server) for server in started)
        values = [fresh() for _ in range(5)]
        for value in values:
            one.hits(value)
        until(lambda: one.shared()["written"] == 5, 10, "all are written")
        assert [other.hits(value) for value in values] == [True] * 5
        yield started


@pytest.fixture(params=[f"{size}-{theme}" for size in SIZES for theme in ("dark", "light")])
def tab(request: pytest.FixtureRequest, browser: Any, pair: list[Server]) -> Iterator[Any]:
    size, theme = request.param.split("-")
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    opened.goto(f"http://127.0.0.1:{pair[1].port}/caches")
    opened.wait_for_selector(ROW)
    yield opened
    context.close()
    assert problems == []


def test_figures_are_those_of_the_server_and_the_page_is_sound(
    tab: Any, pair: list[Server], axe: str
) -> None:
    told = Asker(pair[1]).shared()
    row = tab.locator(ROW)
    assert row.locator(".state-word").inner_text() == "asked"
    assert row.locator(".col-hits").inner_text() == str(told["hits"])
    assert row.locator(".bytes-words").inner_text() == f"{told['connections']} of 8 connections"
    assert row.locator("[data-action=flush]").count() == 0, "it goes with the results"
    words = tab.inner_text("#caches-shared-words")
    assert words.startswith(told["url"])
    assert tab.inner_text("[data-shared=epoch]") == str(told["epoch"])
    assert tab.inner_text("[data-shared-note=queued]") == "of 512"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    tab.evaluate(axe)
    assert tab.evaluate(FOUND, STANDARD) == []


@pytest.mark.parametrize("tab", ["wide-dark"], indirect=True)
def test_a_flush_says_that_it_is_for_all_and_an_away_redis_that_it_is_owed(
    tab: Any, pair: list[Server], redis: RedisServer
) -> None:
    tab.click("#caches-flush-all")
    tab.wait_for_selector(".confirming >> text=all servers that share results")
    tab.keyboard.press("Escape")
    redis.pause()
    try:
        until(lambda: Asker(pair[1]).shared()["state"] != "closed", 10, "it is not asked")
        tab.reload()
        tab.wait_for_selector(f"{ROW} >> text=/not asked|probed/")
        assert "Each server computes alone" in tab.inner_text("#caches-shared-words")
        tab.click("#caches-flush-all")
        tab.click(".confirming [data-action=confirm]")
        tab.wait_for_selector("#toasts .toast:has-text('when Redis answers again')")
    finally:
        redis.go_on()
    until(lambda: Asker(pair[1]).shared()["owed"] == 0, 10, "nothing is owed any more")
