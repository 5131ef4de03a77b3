"""Host and Origin on every state-changing route, Dash's own callbacks included."""

from __future__ import annotations

import pytest

from tests.contract.http import call

STATE_CHANGING = [
    "/v2/models/breast_cancer/infer",
    "/performance/warmup",
    "/performance/cache/clear",
    "/analyze/fraud",
    "/_dash-update-component",
]


@pytest.mark.parametrize("path", STATE_CHANGING)
def test_another_origin_is_403(port: int, path: str) -> None:
    headers = {"Origin": "http://evil.example", "Content-Type": "application/json"}
    assert call(port, "POST", path, {}, headers)[0] == 403


@pytest.mark.parametrize("path", STATE_CHANGING)
def test_another_host_is_403(port: int, path: str) -> None:
    assert call(port, "POST", path, {}, {"Host": "evil.example"})[0] == 403


@pytest.mark.parametrize("path", STATE_CHANGING)
def test_a_cross_site_fetch_is_403(port: int, path: str) -> None:
    assert call(port, "POST", path, {}, {"Sec-Fetch-Site": "cross-site"})[0] == 403


def test_the_same_origin_may_flush(port: int) -> None:
    headers = {"Origin": f"http://127.0.0.1:{port}"}
    assert call(port, "POST", "/performance/cache/clear", {}, headers)[0] == 200


def test_health_needs_no_allowed_host(port: int) -> None:
    assert call(port, "GET", "/v2/health/live", headers={"Host": "probe.internal"})[0] == 200


def test_reading_through_a_rebound_name_is_403(port: int) -> None:
    assert call(port, "GET", "/performance/metrics", headers={"Host": "evil.example"})[0] == 403
