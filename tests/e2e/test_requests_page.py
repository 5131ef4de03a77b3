"""The Requests page in a real browser: the list, and one request's waterfall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load

pytestmark = pytest.mark.browser
OPENS_ITSELF = True
PATH = "**/performance/slow-requests"


@pytest.fixture
def requests(page: Any, live_server: RunningServer, bundled_models: Path) -> Any:
    """The page, over requests of two models, one of them refused."""
    send_load(live_server, bundled_models, 40)
    call(live_server.port, "POST", "/v2/models/digits/infer", {"inputs": []})
    page.wait_for_timeout(2200)
    page.goto(f"{live_server.url}/requests")
    page.wait_for_selector("#requests-body tr")
    return page


def exemplars(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(server.port, "GET", "/performance/slow-requests")[2][
        "exemplars"
    ]
    return found


def durations(page: Any) -> list[float]:
    cells = page.locator("#requests-body .col-duration").all_inner_texts()
    return [float(cell.replace(",", "")) for cell in cells]


def test_requests_are_sorted_as_the_address_says(requests: Any) -> None:
    requests.click("#requests-table .flame-sort[data-sort=duration]")
    requests.wait_for_selector("#requests-table th.col-duration[aria-sort=descending]")
    assert durations(requests) == sorted(durations(requests), reverse=True)
    assert "sort=duration" in requests.url
    requests.reload()
    requests.wait_for_selector("#requests-body tr")
    assert durations(requests) == sorted(durations(requests), reverse=True)


def test_filters_leave_what_they_say(requests: Any) -> None:
    requests.select_option("#requests-model", "breast_cancer")
    requests.wait_for_function("location.search.includes('model=breast_cancer')")
    assert set(requests.locator("#requests-body .col-model").all_inner_texts()) == {"breast_cancer"}
    requests.fill("#requests-least", "1000000")
    requests.press("#requests-least", "Enter")
    requests.wait_for_selector("#empty-requests:has-text('No request with these filters')")
    requests.click("#empty-requests >> text=Clear the filters")
    requests.wait_for_selector("#requests-body tr")
    requests.select_option("#requests-outcome", "failed")
    requests.wait_for_function("location.search.includes('outcome=failed')")
    statuses = requests.locator("#requests-body .state-word").all_inner_texts()
    assert all(int(status) >= 400 for status in statuses)


def test_a_waterfall_adds_up_to_the_request(requests: Any, live_server: RunningServer) -> None:
    requests.locator("#requests-body tr").first.click()
    requests.wait_for_selector("#requests-detail .waterfall")
    chosen = requests.evaluate("new URLSearchParams(location.search).get('request')")
    one = next(found for found in exemplars(live_server) if found["request_id"] == chosen)
    took = [name for name, ms in one["phases_ms"].items() if ms > 0]
    bars = requests.locator("#requests-detail li.waterfall-row")
    assert [bars.nth(at).get_attribute("data-phase") for at in range(bars.count())] == took
    shares = [float(text.split()[0]) for text in bars.locator(".waterfall-share").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=1.5)
    assert chosen in requests.locator(".requests-facts").inner_text()
    requests.reload()
    requests.wait_for_selector("#requests-detail .waterfall")
    assert requests.locator("#requests-body tr[aria-current=true]").count() == 1
    requests.click("#requests-close")
    requests.wait_for_selector("#requests-detail .requests-note")
    assert "request=" not in requests.url


def test_a_request_without_samples_says_why(requests: Any) -> None:
    def unsampled(route: Any) -> None:
        answer = route.fetch().json()
        for one in answer["exemplars"]:
            one["profile"], one["duration_ms"] = None, 0.2
        route.fulfill(json=answer)

    requests.route(PATH, unsampled)
    requests.reload()
    requests.locator("#requests-body tr").first.click()
    words = requests.locator(".requests-code .requests-words")
    words.wait_for()
    assert "it took 0.200 ms and the profiler looks every 34.5 ms" in words.inner_text()


def test_a_sampled_request_has_its_own_flame_graph(
    requests: Any, live_server: RunningServer
) -> None:
    folded = b"serve (app/server.py:1);predict (m/model.py:2) 3\n"
    kept = call(live_server.port, "POST", "/performance/profile/import?name=r", folded)[2]["id"]
    graph = call(live_server.port, "GET", f"/performance/flame-graph?view=code&capture={kept}")[2]

    def sampled(route: Any) -> None:
        answer = route.fetch().json()
        for one in answer["exemplars"]:
            one["profile"] = {"samples": 3}
        route.fulfill(json=answer)

    requests.route(PATH, sampled)
    requests.route("**/performance/flame-graph?*request=*", lambda route: route.fulfill(json=graph))
    requests.reload()
    requests.locator("#requests-body tr").first.click()
    requests.wait_for_selector(".requests-flame[data-state=shown] canvas")
    assert "What ran in it, 3 samples" in requests.locator(".requests-code").inner_text()
    requests.click("text=Open as a flame graph page")
    requests.wait_for_selector("#view-flame:not([hidden])")
    requests.wait_for_selector("#flame-page[data-state=shown]")
    assert "request=" in requests.url


def test_a_new_server_shows_how_to_send_the_first(page: Any, live_server: RunningServer) -> None:
    page.route(PATH, lambda route: route.fulfill(json={"exemplars": []}))
    page.goto(f"{live_server.url}/requests")
    page.wait_for_selector("#requests-first")
    page.wait_for_function("document.querySelector('#requests-first').textContent.includes('curl')")


def test_a_list_that_cannot_be_read_is_asked_for_again(
    page: Any, live_server: RunningServer
) -> None:
    page.route(PATH, lambda route: route.abort())
    page.goto(f"{live_server.url}/requests")
    page.wait_for_selector("#empty-requests:has-text('could not be read')")
    page.unroute(PATH)
    page.click("#empty-requests >> text=Try again")
    page.wait_for_selector("#requests-page[data-state=shown]")


def test_names_stay_text_and_break_nothing(requests: Any) -> None:
    odd = "<script>alert(1)</script>" + "x" * 10_000

    def renamed(route: Any) -> None:
        answer = route.fetch().json()
        for one in answer["exemplars"]:
            one["model"] = one["endpoint"] = one["backend"] = one["error"] = odd
        route.fulfill(json=answer)

    requests.route(PATH, renamed)
    requests.reload()
    requests.locator("#requests-body tr").first.click()
    requests.wait_for_selector("#requests-detail .waterfall")
    assert requests.locator("#requests-page script").count() == 0
    assert requests.evaluate("document.documentElement.scrollWidth") <= 1440


def test_a_phone_shows_list_and_waterfall_without_scrolling_sideways(requests: Any) -> None:
    requests.set_viewport_size({"width": 390, "height": 844})
    requests.locator("#requests-body tr").first.click()
    requests.wait_for_selector("#requests-detail .waterfall")
    assert requests.evaluate("document.documentElement.scrollWidth") <= 390
