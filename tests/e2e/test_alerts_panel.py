"""Alerts in the browser: rules with a preview, one that fires, an acknowledgement, a silence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer

pytestmark = pytest.mark.browser
FIRING = """
[[rule]]
name = "memory"
metric = "memory_mb"
reduce = "last"
warning = 1
window = "5s"
description = "a limit that every process is over"
"""
ROW = "#alerts-body tr[data-alert='memory/warning']"


@pytest.fixture(scope="module")
def live_server(
    start_server: StartServer, bundled_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A server of its own: rules are kept in the state folder."""
    folder = tmp_path_factory.mktemp("alerts")
    shutil.copytree(bundled_models / "breast_cancer", folder / "models/breast_cancer")
    return start_server(folder / "models", folder / "state")


@pytest.fixture
def page(page: Any) -> Any:
    """The Alerts page."""
    page.click(".rail-link[data-page=alerts]")
    page.wait_for_selector("#view-alerts:not([hidden])")
    return page


@pytest.fixture
def firing(page: Any) -> Any:
    """The page with rules of which one fires, entered in the dialog."""
    page.click("#edit-rules")
    page.wait_for_function("document.querySelector('#alert-rules-text').value.includes('[[rule]]')")
    page.fill("#alert-rules-text", FIRING)
    page.fill("#alert-author", "ada")
    page.click("text=Preview on the last day")
    page.wait_for_selector("#alert-dialog .alert-past li:has-text('memory/warning')")
    page.click("text=Replace rules")
    page.wait_for_selector(".toast[data-status=ok]:has-text('1 rules')")
    page.click("#alert-dialog .btn-close")
    page.wait_for_selector(f"{ROW}[data-state=firing]")
    return page


def test_a_rule_entered_here_fires_and_is_acknowledged(firing: Any) -> None:
    assert "Alert memory" in firing.inner_text("#health-text")
    firing.click(f"{ROW} button")
    assert firing.input_value("#alert-author") == "ada", "whoever acts is asked once"
    firing.wait_for_selector("#alert-dialog .alert-past li:has-text('firing')")
    firing.fill("#alert-reason", "looking at it")
    firing.click("#alert-dialog >> text=Acknowledge")
    firing.wait_for_selector(f"{ROW} .col-state:has-text('seen by ada')")


def test_what_fires_is_also_on_the_live_page(firing: Any) -> None:
    firing.click(".rail-link[data-page=live]")
    firing.wait_for_selector("#firing-body tr[data-alert='memory/warning'][data-state=firing]")
    firing.click("#panel-firing >> text=All alerts")
    firing.wait_for_selector(f"{ROW}[data-state=firing]")


def test_a_silence_made_here_is_shown_and_ended(firing: Any) -> None:
    firing.click(f"{ROW} button")
    firing.fill("#alert-reason", "known")
    firing.click("#alert-dialog >> text=Silence >> nth=-1")
    firing.wait_for_selector(f"{ROW} .col-state:has-text('silenced')")
    firing.click(f"{ROW} button")
    firing.click("#alert-dialog >> text=End it")
    firing.wait_for_selector(f"{ROW} .col-state:not(:has-text('silenced'))")


def test_a_wrong_rule_is_refused_in_words(page: Any) -> None:
    page.click("#edit-rules")
    page.wait_for_function("document.querySelector('#alert-rules-text').value.includes('[[rule]]')")
    page.fill("#alert-rules-text", "[[rule]]\nname = 'x'\nmetric = 'p95'\nwarning = 1")
    page.fill("#alert-author", "ada")
    page.click("text=Replace rules")
    page.wait_for_selector(".toast[data-status=critical]:has-text('the nearest is p95_ms')")
