"""The plan dialog in a real browser: the figures are the server's, the keyboard is enough."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call

pytestmark = pytest.mark.browser
ROW = "tr[data-model=breast_cancer]"


def open_plan(page: Any) -> None:
    page.locator(f"{ROW} [data-action=plan]").click()
    page.wait_for_selector("dialog#plan section.plan-form")


def shown_us(text: str) -> float:
    number, unit = text.split()
    return float(number.replace(",", "")) * (1000 if unit == "ms" else 1)


def test_the_chart_shows_every_form_with_the_servers_figures(
    page: Any, live_server: RunningServer
) -> None:
    open_plan(page)
    plan = call(live_server.port, "GET", "/performance/models/breast_cancer/plan")[2]["plan"]
    assert page.locator(".plan-why").inner_text() == plan["reason"]
    for candidate in plan["candidates"]:
        block = page.locator(f"section[data-form='{candidate['form']}']")
        assert block.get_attribute("data-verdict") == candidate["verdict"]
        for rows, us in candidate["run_us"].items():
            label = block.locator(f"[data-rows='{rows}'] .plan-us").inner_text()
            assert shown_us(label) == pytest.approx(us, rel=0.01)
        if candidate["verdict"] == "out":
            assert candidate["reason"][1:] in block.inner_text()
    serving = page.locator(f"section[data-form='{plan['chosen']}'] [data-rows='1']")
    assert serving.get_attribute("data-serves") == "true"


def test_escape_closes_and_gives_the_focus_back(page: Any) -> None:
    open_plan(page)
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog#plan", state="detached")
    assert page.evaluate("document.activeElement.dataset.action") == "plan"


def test_a_pin_shows_in_the_row(page: Any) -> None:
    open_plan(page)
    page.get_by_role("button", name="Pin in memory").click()
    page.get_by_role("button", name="Unpin").wait_for()
    page.keyboard.press("Escape")
    page.locator(f"{ROW} .col-model", has_text="pinned").wait_for()
    open_plan(page)
    page.get_by_role("button", name="Unpin").click()
    page.get_by_role("button", name="Pin in memory").wait_for()


def test_unload_asks_first_and_reload_brings_it_back(page: Any, live_server: RunningServer) -> None:
    path = "/v2/models/breast_cancer/ready"
    open_plan(page)
    page.get_by_role("button", name="Unload").click()
    page.locator("[data-action=keep]").click()
    assert call(live_server.port, "GET", path)[0] == 200
    page.get_by_role("button", name="Unload").click()
    page.locator("[data-action=confirm]").click()
    page.wait_for_selector(".plan-empty")
    assert call(live_server.port, "GET", path)[0] == 503
    page.get_by_role("button", name="Reload").click()
    page.wait_for_selector("dialog#plan section.plan-form")
    assert call(live_server.port, "GET", path)[0] == 200


def test_a_phone_shows_it_without_scrolling_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_plan(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(
        "[...document.querySelectorAll('.plan-us')]"
        ".every((label) => label.getBoundingClientRect().right <= 390)"
    )
