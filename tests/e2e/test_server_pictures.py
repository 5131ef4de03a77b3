"""A page of the console drawn by the server's own browser, a real one."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_pictures import PNG, looked_at
from tests.waiting import until

pytestmark = pytest.mark.browser
OPENS_ITSELF = True


def fetched(server: RunningServer, query: str) -> tuple[int, str, bytes]:
    address = f"{server.url}/performance/picture?{query}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.status, answer.headers["content-type"], answer.read()


def test_the_server_draws_a_page_as_png(page: Any, live_server: RunningServer) -> None:
    status, kind, png = fetched(live_server, "page=/system&width=1000&theme=light")
    assert (status, kind) == (200, "image/png")
    assert png.startswith(PNG)
    found = looked_at(page, png)
    assert found["width"] == 2000
    assert found["colours"] > 50


def test_the_server_draws_a_page_as_pdf(browser: Any, live_server: RunningServer) -> None:
    until(lambda: live_server.answers("/"), 30, "the console")
    status, kind, pdf = fetched(live_server, "page=/settings&format=pdf")
    assert (status, kind) == (200, "application/pdf")
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000


@pytest.mark.parametrize(
    "query",
    ["page=/nothing", "page=//evil/", "page=http://evil/", "format=gif", "width=1", "theme=x"],
)
def test_the_server_draws_nothing_but_its_own_pages(live_server: RunningServer, query: str) -> None:
    status, _, answer = call(live_server.port, "GET", f"/performance/picture?{query}")
    assert status == 400
    assert answer["error"]


def test_a_page_of_another_site_has_nothing_drawn(live_server: RunningServer) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert call(live_server.port, "GET", "/performance/picture", headers=headers)[0] == 403
