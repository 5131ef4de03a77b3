"""The Benchmarks page in a real browser, over the real load lab."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.lab.cli import add_bench_commands, spec_values
from bench.lab.spec import spec_from
from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.e2e.test_every_page import FOUND, SIZES, STANDARD, axe
from tests.waiting import until

__all__ = ["axe"]  # a fixture
pytestmark = pytest.mark.browser
PATH = "/performance/benchmarks"
SHORT = {"model": "breast_cancer", "rate_per_s": 50, "seconds": 1, "warmup_s": 0}
HOSTILE = "<img src=x onerror=window.hurt=1>javascript:" + "x" * 36
MODEL = "#benchmarks-field-model"


@pytest.fixture(scope="module")
def quiet_server(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> RunningServer:
    """A server of this module's own: it is loaded."""
    return start_server(bundled_models, shared_state)


def running(server: RunningServer) -> Any:
    return call(server.port, "GET", f"{PATH}?part=running")[2]["running"]


def stored(server: RunningServer) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = call(server.port, "GET", PATH)[2]["runs"]
    return runs


def idle(server: RunningServer) -> None:
    until(lambda: running(server) is None, 30, "the end of the run")


def run_once(server: RunningServer, **body: Any) -> str:
    """The id of a run of a second."""
    idle(server)
    assert call(server.port, "POST", PATH, {**SHORT, **body})[0] == 202
    idle(server)
    return str(stored(server)[0]["id"])


@pytest.fixture(autouse=True)
def calm(quiet_server: RunningServer) -> Iterator[None]:
    """Nothing that a test started runs on."""
    yield
    call(quiet_server.port, "POST", f"{PATH}/cancel", {})
    idle(quiet_server)


@pytest.fixture
def tab(browser: Any, quiet_server: RunningServer) -> Iterator[Any]:
    """The page; a fault in the console's log fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    until(lambda: quiet_server.answers("/"), 30, "the console")
    yield tab
    context.close()
    assert faults == []


def show(tab: Any, server: RunningServer, query: str = "", state: str = "shown") -> None:
    tab.goto(f"{server.url}/benchmarks{query}")
    tab.wait_for_selector(f"#benchmarks-page[data-state={state}]", timeout=20_000)


def test_with_no_run_it_says_what_will_be_there(tab: Any, quiet_server: RunningServer) -> None:
    for run in stored(quiet_server):
        call(quiet_server.port, "POST", f"{PATH}/delete", {"id": run["id"]})
    show(tab, quiet_server, state="empty")
    assert tab.inner_text("#benchmarks-verdict") == "No benchmark has been run yet"
    assert "p99 at the rate" in tab.inner_text("#benchmarks-detail")
    assert tab.inner_text("#benchmarks-command code").startswith("pyrometer bench run")
    assert "No run is stored yet" in tab.inner_text("#empty-benchmarks-runs")
    assert tab.locator("#panel-benchmarks-sides").is_hidden()


def test_a_run_is_started_from_the_form_watched_and_its_verdict_told(
    tab: Any, quiet_server: RunningServer
) -> None:
    tab.goto(f"{quiet_server.url}/benchmarks")
    tab.wait_for_selector(f"{MODEL} option[value=breast_cancer]", state="attached")
    tab.select_option(MODEL, "breast_cancer")
    for key, value in {"name": "from the form", "rate_per_s": "80", "seconds": "3"}.items():
        tab.fill(f"#benchmarks-field-{key}", value)
    tab.fill("#benchmarks-field-warmup_s", "0")
    assert tab.inner_text("#benchmarks-estimate") == "takes about 3 s"
    tab.click("#benchmarks-start")
    tab.wait_for_selector("#benchmarks-progress:not([hidden])")
    assert tab.locator("#benchmarks-start").is_disabled()
    tab.wait_for_selector("#benchmarks-time .benchmarks-achieved")
    tab.wait_for_function("document.querySelector('#benchmarks-progress-bar').ariaValueNow > 20")
    assert "from the form: " in tab.inner_text("#benchmarks-progress-words")
    tab.wait_for_selector("#benchmarks-verdict:has-text('requests/s asked')", timeout=20_000)
    tab.wait_for_selector("#benchmarks-progress", state="hidden")
    run = stored(quiet_server)[0]
    words = tab.inner_text("#benchmarks-verdict")
    assert words.startswith(f"p99 {shown_number(run['p99_ms'])} ms at ")
    assert words.endswith("; valid")
    assert tab.evaluate("new URLSearchParams(location.search).get('run')") == run["id"]
    tab.wait_for_selector("#toasts .toast:has-text('Benchmark finished')")
    for name in ("sides", "asked", "distribution", "percentiles"):
        assert tab.locator(f"#benchmarks-{name} :is(.benchmarks-svg, .benchmarks-row)").count()
    assert tab.locator("#panel-benchmarks-ramp").is_hidden()


def shown_number(ms: float) -> str:
    """As the console writes figures: three digits."""
    return f"{ms:,.{0 if ms >= 100 else 1 if ms >= 10 else 2 if ms >= 0.995 else 3}f}"


def test_a_link_opens_the_same_run_after_a_reload(tab: Any, quiet_server: RunningServer) -> None:
    older = run_once(quiet_server, name="older")
    run_once(quiet_server, name="newer")
    show(tab, quiet_server, f"?run={older}")
    assert "older" in tab.inner_text("#readout-benchmarks-verdict")
    tab.reload()
    tab.wait_for_selector("#readout-benchmarks-verdict:has-text('older')")
    tab.click("#benchmarks-runs-body tr >> text=newer")
    tab.wait_for_selector("#readout-benchmarks-verdict:has-text('newer')")
    tab.go_back()
    tab.wait_for_selector("#readout-benchmarks-verdict:has-text('older')")
    show(tab, quiet_server, "?run=20260101T000000Z-aaaaaa", state="empty")
    assert "is not stored any more" in tab.inner_text("#benchmarks-verdict")


def test_two_runs_are_compared_and_what_differs_is_told(
    tab: Any, quiet_server: RunningServer
) -> None:
    one = run_once(quiet_server, name="one")
    two = run_once(quiet_server, name="two", rate_per_s=100)
    show(tab, quiet_server, f"?run={two}")
    tab.click(f"#benchmarks-runs-body tr[data-run='{one}'] [data-action=compare]")
    tab.wait_for_selector("#panel-benchmarks-compared:visible")
    assert f"with={one}" in tab.evaluate("location.search")
    assert "Another rate: 100 here, 50 there" in tab.inner_text("#benchmarks-differences")
    ratios = tab.locator("#benchmarks-compared-body tr")
    assert ratios.count() == 11
    achieved = ratios.filter(has_text="Achieved").locator(".col-ratio").inner_text()
    assert 1.2 < float(achieved.rstrip("×")) < 3
    assert tab.locator("#benchmarks-percentiles path.benchmarks-other").count() == 1
    tab.reload()
    tab.wait_for_selector("#panel-benchmarks-compared:visible")
    tab.click("#benchmarks-alone")
    tab.wait_for_selector("#panel-benchmarks-compared", state="hidden")
    assert tab.locator("#benchmarks-percentiles path.benchmarks-other").count() == 0


def test_a_run_is_cancelled_and_the_page_goes_on(tab: Any, quiet_server: RunningServer) -> None:
    show(tab, quiet_server)
    call(quiet_server.port, "POST", PATH, {**SHORT, "seconds": 60, "name": "cut short"})
    tab.wait_for_selector("#benchmarks-time .benchmarks-achieved")
    tab.wait_for_function("document.querySelector('#benchmarks-progress-bar').ariaValueNow > 1")
    tab.click("#benchmarks-cancel")
    tab.wait_for_selector("#toasts .toast:has-text('Benchmark cancelled')")
    tab.wait_for_selector("#benchmarks-verdict:has-text('Cancelled: after')")
    assert tab.get_attribute("#benchmarks-page", "data-valid") == "no"
    row = tab.locator("#benchmarks-runs-body tr").first
    assert row.locator(".state-word").inner_text() == "cancelled"
    assert tab.locator("#benchmarks-start").is_enabled()


def test_an_invalid_run_says_so_and_why(tab: Any, quiet_server: RunningServer) -> None:
    run_once(quiet_server)
    run = call(quiet_server.port, "GET", f"{PATH}/{stored(quiet_server)[0]['id']}")[2]
    run |= {"valid": False, "invalid_because": "sending fell 4.2 % behind"}
    tab.route(f"**{PATH}/{run['id']}", lambda route: route.fulfill(json=run))
    show(tab, quiet_server)
    assert tab.inner_text("#benchmarks-verdict") == "Invalid: sending fell 4.2 % behind"
    assert tab.get_attribute("#benchmarks-mark", "data-status") == "critical"
    assert tab.inner_text("#benchmarks-detail").startswith("Not a result to quote: p99 ")
    struck = "getComputedStyle(document.querySelector('.benchmarks-row-value')).textDecorationLine"
    assert tab.evaluate(struck) == "line-through"


def test_a_ramp_shows_its_steps_and_the_highest_rate(tab: Any, quiet_server: RunningServer) -> None:
    """What the ramp found is the machine's; that it is what is shown, the page's."""
    ramp = {"from_per_s": 20, "to_per_s": 60, "steps": 3, "step_s": 1}
    run = run_once(quiet_server, ramp=ramp, slo={"p99_ms": 5000, "error_percent": 1})
    whole = call(quiet_server.port, "GET", f"{PATH}/{run}")[2]
    highest = whole["highest_within_slo_per_s"]
    show(tab, quiet_server, f"?run={run}")
    words = tab.inner_text("#benchmarks-verdict")
    if highest is None:
        assert words.startswith("No step of the ramp was within") or words.startswith("Invalid")
    elif whole["rose_to_the_end"]:
        assert words.startswith("At least 60.0 requests/s within p99 of 5,000 ms and 1 % errors")
    else:
        assert words.startswith(f"{shown_number(highest)} requests/s is the highest rate within")
    marks = tab.locator("#benchmarks-ramp .benchmarks-step")
    assert marks.count() == len(whole["steps"])
    held = sum(step["within_slo"] for step in whole["steps"])
    assert tab.locator("#benchmarks-ramp .benchmarks-step-held").count() == held
    tab.focus("#benchmarks-ramp .benchmarks-drawing")
    tab.keyboard.press("ArrowRight")
    first = min(step["rate_per_s"] for step in whole["steps"])
    assert tab.inner_text("#readout-benchmarks-ramp").startswith(f"{shown_number(first)}/s asked, ")


def test_a_run_is_deleted_after_asking(tab: Any, quiet_server: RunningServer) -> None:
    run = run_once(quiet_server, name="to go")
    show(tab, quiet_server, f"?run={run}")
    row = tab.locator(f"#benchmarks-runs-body tr[data-run='{run}']")
    row.locator("[data-action=delete]").click()
    tab.keyboard.press("Enter")  # on Keep, which has the focus
    assert stored(quiet_server)[0]["id"] == run
    row.locator("[data-action=delete]").click()
    tab.click("#benchmarks-runs-body [data-action=confirm]")
    tab.wait_for_selector("#toasts .toast:has-text('Deleted the run')")
    row.wait_for(state="detached")
    assert run not in [one["id"] for one in stored(quiet_server)]
    assert run not in tab.evaluate("location.search")


def test_the_form_is_in_the_address_and_errors_name_their_field(
    tab: Any, quiet_server: RunningServer
) -> None:
    show(tab, quiet_server, "?model=fraud_detector&loop=closed&connections=7&seed=5")
    assert tab.input_value(MODEL) == "fraud_detector"
    assert tab.input_value("#benchmarks-field-connections") == "7"
    assert tab.get_attribute("#benchmarks-further", "open") is not None
    assert tab.locator("#benchmarks-field-rate_per_s").is_hidden()
    assert tab.locator("#benchmarks-field-arrivals").is_hidden()
    tab.select_option("#benchmarks-field-loop", "open")
    tab.check("#benchmarks-field-ramp")
    assert tab.locator("#benchmarks-field-ramp-steps").is_visible()
    assert tab.locator("#benchmarks-field-seconds").is_hidden()
    query = tab.evaluate("Object.fromEntries(new URLSearchParams(location.search))")
    assert (query["connections"], query["ramp"], "loop" in query) == ("7", "1", False)
    tab.fill("#benchmarks-field-url", "http://example.org")
    tab.click("#benchmarks-start")
    tab.wait_for_selector("#benchmarks-problem:has-text('could load other machines')")
    tab.fill("#benchmarks-field-connections", "")
    tab.click("#benchmarks-start")
    tab.wait_for_selector("#benchmarks-problem:has-text('Connections: a number is needed')")
    assert running(quiet_server) is None


def test_the_settings_of_a_run_are_used_again(tab: Any, quiet_server: RunningServer) -> None:
    run = run_once(quiet_server, name="again", connections=3, timeout_s=2.5)
    show(tab, quiet_server, f"?run={run}")
    tab.click("#benchmarks-actions >> text=Use its settings")
    shown = [tab.input_value(f"#benchmarks-field-{key}") for key in ("connections", "timeout_s")]
    assert shown == ["3", "2.5"]
    assert tab.input_value("#benchmarks-field-name") == "again"
    assert tab.input_value("#benchmarks-field-url") == "", "this server"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "-with a dash and 'quotes'", "payload": {"cache": True, "rows": 9}},
        {"loop": "closed", "connections": 2, "slo": {"p99_ms": None}},
        {"ramp": {"from_per_s": 20, "to_per_s": 30, "steps": 2, "step_s": 1}},
    ],
)
def test_the_command_to_repeat_a_run_asks_the_same(
    tab: Any, quiet_server: RunningServer, body: dict[str, Any]
) -> None:
    run = run_once(quiet_server, **body)
    show(tab, quiet_server, f"?run={run}")
    words = shlex.split(tab.inner_text("#benchmarks-command code"))
    parser = argparse.ArgumentParser()
    add_bench_commands(parser.add_subparsers())
    asked = spec_from(spec_values(parser.parse_args(words[1:]))).as_dict()
    spec = call(quiet_server.port, "GET", f"{PATH}/{run}")[2]["spec"]
    unused = {"seconds"} if spec["ramp"] else {"arrivals"} if spec["loop"] == "closed" else set()
    assert asked == spec | {key: asked[key] for key in unused}


def test_what_a_panel_has_is_saved_as_csv_and_the_run_as_json(
    tab: Any, quiet_server: RunningServer
) -> None:
    run = run_once(quiet_server, name="to keep")
    show(tab, quiet_server, f"?run={run}")
    with tab.expect_download() as downloading:
        tab.click("#benchmarks-actions >> text=Download JSON")
    assert json.loads(Path(downloading.value.path()).read_text())["id"] == run
    for name, first in {
        "time": 'Time, s"',
        "sides": "Percentile",
        "asked": "Kind",
        "distribution": '"From, ms"',
        "percentiles": "Run",
        "verdict": "Name",
        "runs": "Run",
    }.items():
        with tab.expect_download() as downloading:
            tab.click(f"#panel-benchmarks-{name} > .panel-head > .panel-menu-button")
            tab.click("#panel-menu [data-item=csv]")
        lines = Path(downloading.value.path()).read_text().splitlines()
        assert first in lines[0], name
        assert len(lines) > 1, name
    with tab.expect_download() as downloading:
        tab.click("#panel-benchmarks-percentiles > .panel-head > .panel-menu-button")
        tab.click("#panel-menu [data-item=svg]")
    assert "<svg" in Path(downloading.value.path()).read_text()


def test_the_keyboard_alone_starts_one_from_the_palette(
    tab: Any, quiet_server: RunningServer
) -> None:
    tab.goto(f"{quiet_server.url}/")
    tab.wait_for_selector("#console[data-phase=live]", timeout=20_000)
    tab.keyboard.press("Control+k")
    tab.wait_for_selector("dialog#palette[open]")
    tab.keyboard.type("start a benchmark")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#console[data-page=benchmarks]")
    assert tab.evaluate("document.activeElement.id") == "benchmarks-field-model"
    tab.wait_for_selector("#benchmarks-start:enabled")
    for _ in range(4):
        tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "benchmarks-field-rate_per_s"
    tab.keyboard.press("Control+a")
    tab.keyboard.type("50")
    tab.keyboard.press("Enter")
    until(lambda: running(quiet_server) is not None, 10, "the start")


@pytest.mark.parametrize("width", [1440, 390])
def test_hostile_names_stay_text_and_break_nothing(
    tab: Any, quiet_server: RunningServer, width: int
) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    run = run_once(quiet_server, name=HOSTILE)
    whole = call(quiet_server.port, "GET", f"{PATH}/{run}")[2]
    whole |= {
        "error_texts": {"<b onclick=window.hurt=1>" + "y" * 5000: 3},
        "errors": 3,
        "commit": "<script>window.hurt = 1</script>",
        "machine": {"cpu": HOSTILE * 20, "cpus": 2},
        "versions": {HOSTILE: HOSTILE},
    }
    tab.route(f"**{PATH}/{run}", lambda route: route.fulfill(json=whole))
    show(tab, quiet_server, f"?run={run}&with={run_once(quiet_server)}")
    tab.wait_for_selector("#panel-benchmarks-compared:visible")
    assert HOSTILE in tab.inner_text("#readout-benchmarks-verdict")
    assert tab.evaluate("window.hurt") is None
    assert tab.locator("#view-benchmarks :is(img, script, b[onclick])").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
def test_two_runs_and_one_under_way_are_sound(
    browser: Any, quiet_server: RunningServer, size: str, theme: Any, axe: str
) -> None:
    width, height = SIZES[size]
    runs = [
        run_once(quiet_server, ramp={"from_per_s": 20, "to_per_s": 40, "steps": 2, "step_s": 1}),
        run_once(quiet_server),
    ]
    call(quiet_server.port, "POST", PATH, {**SHORT, "seconds": 60})
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    show(tab, quiet_server, f"?run={runs[0]}&with={runs[1]}&payload.source=file")
    tab.wait_for_selector("#benchmarks-time .benchmarks-achieved")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    tab.evaluate(axe)
    assert tab.evaluate(FOUND, STANDARD) == []
    assert problems == []
    context.close()


def test_it_is_asked_while_it_is_shown_only(tab: Any, quiet_server: RunningServer) -> None:
    show(tab, quiet_server)
    asked: list[str] = []
    tab.on("request", lambda one: asked.append(one.url))
    with tab.expect_request(f"**{PATH}?part=running*", timeout=9000):
        pass
    assert not [url for url in asked if url.endswith(PATH)], "stored runs have not changed"
    tab.click(".rail-link[data-page=live]")
    tab.wait_for_selector("#view-live:not([hidden])")
    asked.clear()
    tab.wait_for_timeout(6000)
    assert [url for url in asked if PATH in url] == []


def test_a_server_that_cannot_tell_is_asked_again(tab: Any, quiet_server: RunningServer) -> None:
    tab.route(f"**{PATH}*", lambda route: route.abort())
    show(tab, quiet_server, state="error")
    assert "could not be read" in tab.inner_text("#benchmarks-verdict")
    tab.unroute(f"**{PATH}*")
    tab.wait_for_selector("#benchmarks-page[data-state=shown]", timeout=15_000)
