"""The Fleet page in a real browser: processes as one, the lost ones, models, Ray, ways out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer, free_port
from tests.contract.http import call
from tests.e2e.conftest import close
from tests.e2e.test_live_page import send_load
from tests.waiting import until

pytestmark = pytest.mark.browser
PATH = "**/performance/fleet"
REMOTE: dict[str, Any] = {
    "executor": "ray",
    "state": "up",
    "since": 1_800_000_000.0,
    "address": "10.0.0.1:6379",
    "problem": None,
    "nodes": [
        {
            "id": "node-a",
            "address": "10.0.0.1",
            "alive": True,
            "cpus": 2,
            "memory_bytes": 4 * 2**30,
            "cpu_percent": 61.0,
            "resident_bytes": 900 * 2**20,
            "replicas": 1,
        },
        {
            "id": "node-b",
            "address": "10.0.0.2",
            "alive": False,
            "cpus": 2,
            "memory_bytes": 4 * 2**30,
            "cpu_percent": None,
            "resident_bytes": None,
            "replicas": 0,
        },
    ],
    "deployments": [
        {
            "model": "heavy",
            "version": "1",
            "placement": "ray",
            "reason": "a row takes 41 ms, the trip 2.1 ms",
            "state": "healthy",
            "replicas": [
                {
                    "id": "heavy-1",
                    "node": "10.0.0.1",
                    "state": "running",
                    "p50_ms": 41.0,
                    "p99_ms": 63.0,
                    "requests": 812,
                    "queued": 3,
                    "cpu_percent": 97.0,
                    "resident_bytes": 310 * 2**20,
                    "uptime_s": 4000.0,
                }
            ],
        },
        {
            "model": "digits",
            "version": "1",
            "placement": "local",
            "reason": "a row takes 0.02 ms, less than the trip of 2.1 ms",
            "state": "local",
            "replicas": [],
        },
    ],
    "retries": 1,
    "fallbacks": 2,
    "in_flight": 3,
    "in_flight_limit": 64,
}
SHARED = {
    "url": "redis://10.0.0.5:6379/0",
    "state": "open",
    "since": 1_800_000_000.0,
    "problem": "no answer within 5 ms",
    **{"hits": 90, "misses": 10, "written": 10, "dropped": 1, "refused": 0, "timeouts": 4},
    **{"p50_ms": 0.3, "p99_ms": 2.0, "connections": 2, "connections_limit": 8},
    **{"queued": 0, "queue_limit": 1000, "epoch": 3, "budget_ms": 5},
}


@pytest.fixture(scope="module")
def watched(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> Iterator[RunningServer]:
    """A server that watches itself, another, and an address where nobody is."""
    port = free_port()
    urls = [f"http://127.0.0.1:{port}", server.url, f"http://127.0.0.1:{free_port()}"]
    flags = ("--peers", ",".join(urls), "--peers-interval-s", "1")
    running = start_server(bundled_models, shared_state, *flags, port=port)
    until(lambda: running.answers("/"), 60, "the console")

    def settled() -> bool:
        fleet = call(port, "GET", "/performance/fleet")[2]["fleet"]
        return bool(fleet["states"] == {"self": 1, "up": 1, "lost": 1})

    until(settled, 30, "one up, one lost")
    send_load(server, bundled_models, 60)
    send_load(running, bundled_models, 40)
    until(
        lambda: call(port, "GET", "/performance/fleet")[2]["fleet"]["merged"]["requests"] >= 100,
        30,
        "the load to be told",
    )
    yield running
    running.stop()


@pytest.fixture
def fleet(browser: Any, watched: RunningServer) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{watched.url}/fleet")
    page.wait_for_selector("#fleet-page[data-state=shown]", timeout=60_000)
    yield page
    close(context)
    assert errors == []


def changed(page: Any, **changes: Any) -> None:
    """Let the page see an answer with these parts."""

    def answer(route: Any) -> None:
        told = route.fetch().json()
        for name, value in changes.items():
            told[name] = value(told[name]) if callable(value) else value
        route.fulfill(json=told)

    page.route(PATH, answer)
    page.reload()
    page.wait_for_selector("#fleet-page[data-state=shown]")


def row(page: Any, url: str) -> Any:
    return page.locator(f"#fleet-peers-body tr[data-peer='{url}']")


def test_figures_are_those_of_the_server(fleet: Any, watched: RunningServer) -> None:
    told = call(watched.port, "GET", "/performance/fleet")[2]["fleet"]
    assert fleet.inner_text("#fleet-words") == "2 of 3 processes answer; 1 lost"
    assert fleet.get_attribute("#fleet-mark", "data-status") == "warning"
    assert fleet.inner_text("[data-fleet=processes]") == "2"
    assert told["merged"]["p99_ms"] is not None
    assert fleet.inner_text("[data-fleet=p99_ms]") != "–"


def test_each_process_has_a_row_that_leads_to_its_console(
    fleet: Any, watched: RunningServer, server: RunningServer
) -> None:
    assert row(fleet, watched.url).locator(".state-word").inner_text() == "this one"
    other = row(fleet, server.url)
    assert other.locator(".state-word").inner_text() == "up"
    assert other.locator(".fleet-link").get_attribute("href") == f"{server.url}/"
    assert other.locator(".col-models").inner_text().endswith(" of 5")
    assert "version 0." in other.locator(".col-peer .cell-2").inner_text()
    assert other.locator(".fleet-spark path").get_attribute("d")


def test_a_lost_peer_says_since_when_and_is_grey(fleet: Any) -> None:
    lost = fleet.locator("#fleet-peers-body tr[data-state=lost]")
    assert lost.count() == 1
    words = lost.locator(".col-peer .cell-2").inner_text()
    assert words.startswith("never answered, asked since ")
    assert lost.locator(".mark").get_attribute("data-status") == "critical"

    def heard(told: dict[str, Any]) -> dict[str, Any]:
        told = copy.deepcopy(told)
        peer = next(one for one in told["peers"] if one["state"] == "lost")
        peer.update(heard=told["time"] - 60, version="0.1.0", requests_per_s=12.5)
        return told

    changed(fleet, fleet=heard)
    lost = fleet.locator("#fleet-peers-body tr[data-state=lost]")
    assert lost.locator(".col-peer .cell-2").inner_text().startswith("lost since ")
    assert lost.locator(".col-rate").inner_text() == "12.5"
    assert lost.locator(".col-rate").evaluate("(cell) => getComputedStyle(cell).fontStyle") == (
        "italic"
    )


def test_the_chart_has_the_fleet_and_each_process(fleet: Any) -> None:
    fleet.wait_for_selector("#fleet-latency path.fleet-merged", state="attached")
    assert fleet.locator("#fleet-latency path.fleet-faint").count() == 2
    fleet.focus("#fleet-latency .benchmarks-drawing")
    fleet.keyboard.press("ArrowLeft")
    assert "req/s" in fleet.inner_text("#readout-fleet-latency")


def test_models_that_differ_are_told(fleet: Any) -> None:
    model = fleet.locator("#fleet-versions-body tr[data-model=breast_cancer]")
    assert model.locator(".state-word").inner_text() == "yes"
    assert model.locator(".cell-2").first.inner_text() == "warm on 2 of 2 processes"

    def skewed(told: dict[str, Any]) -> dict[str, Any]:
        told = copy.deepcopy(told)
        digits = next(one for one in told["models"] if one["name"] == "digits")
        digits["on"][1]["version"] = "2"
        digits["differs"] = ["version"]
        return told

    changed(fleet, fleet=skewed)
    model = fleet.locator("#fleet-versions-body tr[data-model=digits]")
    assert model.locator(".state-word").inner_text() == "no: version"
    assert "version 2" in model.locator(".col-on").inner_text()
    assert "digits not the same everywhere" in fleet.inner_text("#fleet-words")


def test_without_an_executor_and_a_tier_it_says_how_to_have_them(fleet: Any) -> None:
    assert fleet.inner_text("#fleet-remote-words").startswith("No executor but this process")
    assert "--executor ray" in fleet.inner_text("#fleet-remote-words code")
    assert fleet.inner_text("#fleet-shared-words").startswith("No shared tier")
    assert fleet.is_hidden("#panel-fleet-nodes")


def test_nodes_replicas_and_reasons_of_ray_are_there(fleet: Any) -> None:
    changed(fleet, remote=REMOTE, shared=SHARED)
    fleet.wait_for_selector("#fleet-nodes-body tr")
    states = fleet.locator("#fleet-nodes-body .state-word").all_inner_texts()
    assert states == ["up", "away"]
    parts = fleet.locator("#fleet-replicas-body tr")
    assert [parts.nth(at).get_attribute("data-part") for at in range(3)] == [
        "deployment",
        "replica",
        "deployment",
    ]
    assert "the trip 2.1 ms" in parts.nth(0).locator(".col-where").inner_text()
    assert parts.nth(1).locator(".col-p99").inner_text() == "63.0"
    assert parts.nth(2).locator("button").count() == 0, "what runs here is not restarted"
    assert "away, left out" in fleet.inner_text("#fleet-shared-words")
    assert "90.0" in fleet.inner_text("#fleet-shared-facts")


def test_draining_and_restarting_are_asked_in_place(fleet: Any) -> None:
    asked: list[tuple[str, Any]] = []

    def done(route: Any) -> None:
        asked.append((route.request.url.rpartition("/")[2], route.request.post_data_json))
        route.fulfill(json={"text": "it is being done"})

    fleet.route("**/performance/fleet/*", done)
    changed(fleet, remote=REMOTE)
    replica = fleet.locator("#fleet-replicas-body tr[data-part=replica]")
    replica.locator("button").click()
    fleet.keyboard.press("Enter")  # on Keep, which has the focus
    assert asked == []
    replica.locator(".col-action button").click()
    fleet.click("#fleet-replicas-body [data-action=confirm]")
    fleet.wait_for_selector("#toasts .toast:has-text('Draining replica')")
    fleet.locator("#fleet-replicas-body tr[data-model=heavy] button").first.click()
    fleet.click("#fleet-replicas-body [data-action=confirm]")
    fleet.wait_for_selector("#toasts .toast:has-text('Restarting heavy')")
    fleet.locator("#fleet-nodes-body tr[data-node=node-a] button").click()
    fleet.click("#fleet-nodes-body [data-action=confirm]")
    fleet.wait_for_selector("#toasts .toast:has-text('Draining node')")
    assert asked == [
        ("drain", {"id": "heavy-1"}),
        ("restart", {"model": "heavy"}),
        ("drain", {"id": "node-a"}),
    ]


def test_outgoing_connections_are_shown_with_their_bounds(fleet: Any) -> None:
    peers = fleet.locator("#fleet-outgoing-body tr[data-kind=peers]")
    assert "of 4" in peers.locator(".bytes-words").inner_text()
    assert int(peers.locator(".col-failed").inner_text().replace(",", "")) > 0
    assert "refused" in peers.locator(".col-note").inner_text()


def test_a_range_of_the_past_is_said_not_to_be_kept(fleet: Any, watched: RunningServer) -> None:
    assert fleet.is_hidden("#fleet-range")
    fleet.goto(f"{watched.url}/fleet?range=24h")
    fleet.wait_for_selector("#fleet-range:has-text('the last 10 minutes: so much is kept')")


def test_without_peers_it_says_how_to_have_them(page: Any, live_server: RunningServer) -> None:
    page.goto(f"{live_server.url}/fleet")
    page.wait_for_selector("#fleet-page[data-configured=no]")
    assert page.is_hidden("#panel-fleet-peers")
    assert "--peers" in page.inner_text("#panel-fleet-how code >> nth=0")
    page.click("#panel-fleet-how a")
    page.wait_for_selector("#settings-table tr[data-setting=peers]")


def test_it_is_asked_only_while_it_is_shown(fleet: Any) -> None:
    with fleet.expect_request(PATH, timeout=9000):
        pass
    fleet.click(".rail-link[data-page=system]")
    fleet.wait_for_selector("#view-system:not([hidden])")
    asked: list[str] = []
    fleet.on("request", lambda one: asked.append(one.url))
    fleet.wait_for_timeout(4500)
    assert [url for url in asked if "/performance/fleet" in url] == []


def test_what_cannot_be_read_is_asked_for_again(fleet: Any) -> None:
    fleet.route(PATH, lambda route: route.abort())
    fleet.wait_for_selector("#fleet-page[data-state=stale]", timeout=9000)
    assert "not refreshed" in fleet.inner_text("#readout-fleet-now")
    fleet.unroute(PATH)
    fleet.wait_for_selector("#fleet-page[data-state=shown]", timeout=9000)


@pytest.mark.parametrize("width", [1440, 390])
def test_names_stay_text_and_break_nothing(fleet: Any, width: int) -> None:
    fleet.set_viewport_size({"width": width, "height": 844})
    odd = "<script>window.hurt=1</script>" + "x" * 5_000

    def hostile(told: dict[str, Any]) -> dict[str, Any]:
        told = copy.deepcopy(told)
        told["peers"][1].update(id=odd, url="javascript:window.hurt=1", version=odd, problem=odd)
        told["models"][0].update(name=odd)
        return told

    remote = copy.deepcopy(REMOTE)
    remote["deployments"][0].update(model=odd, reason=odd)
    remote["nodes"][0].update(address=odd)
    changed(fleet, fleet=hostile, remote=remote)
    fleet.wait_for_selector("#fleet-nodes-body tr")
    assert fleet.evaluate("window.hurt") is None
    assert fleet.locator("a[href^=javascript]").count() == 0
    assert fleet.evaluate("document.documentElement.scrollWidth") <= width
