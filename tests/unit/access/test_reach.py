"""Who can reach a server, what a proxy's headers count for, and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.access.counters import Counters
from app.access.pages import after_login
from app.access.proxies import Proxies, counted_as
from app.access.rates import Rates
from app.access.reach import check_reach, check_settings, others_reach, ring_of
from app.console import PAGES
from app.guards import is_same
from engine.config import Settings
from engine.errors import ConfigurationError
from tests.unit.access.test_keys import Clock, make, revoke

KEY = "k" * 32


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_loopback_without_a_key_starts_as_it_is(tmp_path: Path, host: str) -> None:
    settings = Settings(host=host, state=tmp_path)
    ring = ring_of(settings)
    assert check_reach(settings, ring) == ""
    assert not ring.required


REACHED: list[dict[str, Any]] = [
    {"host": "0.0.0.0"},
    {"host": "::"},
    {"host": "10.1.2.3"},
    {"host": "models.example.org"},
    {"allowed_hosts": "models.example.org"},
    {"trusted_hops": 1},
]


@pytest.mark.parametrize("given", REACHED)
def test_what_others_reach_needs_a_key(tmp_path: Path, given: dict[str, Any]) -> None:
    settings = Settings(state=tmp_path, **given)
    assert others_reach(settings)
    with pytest.raises(ConfigurationError, match=r"PYROMETER_API_KEY.*--insecure"):
        check_reach(settings, ring_of(settings))
    make(tmp_path, "ci", "infer")
    ring = ring_of(settings)
    assert check_reach(settings, ring) == ""
    assert ring.required


@pytest.mark.parametrize("given", REACHED)
def test_insecure_names_the_risk(tmp_path: Path, given: dict[str, Any]) -> None:
    settings = Settings(state=tmp_path, insecure=True, **given)
    ring = ring_of(settings)
    warning = check_reach(settings, ring)
    assert warning.startswith("WARNING, insecure")
    assert "run, load, flush and unload" in warning
    assert not ring.required


def test_insecure_takes_no_key_away(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, insecure=True, host="0.0.0.0", api_key=KEY)
    ring = ring_of(settings)
    assert check_reach(settings, ring) == ""
    assert ring.required


@pytest.mark.parametrize("given", [{}, {"host": "0.0.0.0"}, {"insecure": True}])
def test_keys_that_are_all_gone_stop_the_start(tmp_path: Path, given: dict[str, Any]) -> None:
    make(tmp_path, "ci")
    revoke(tmp_path, "ci")
    settings = Settings(state=tmp_path, **given)
    with pytest.raises(ConfigurationError, match="none that counts"):
        check_reach(settings, ring_of(settings))


def test_always_asks_on_loopback_too(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, auth="always", api_key=KEY)
    ring = ring_of(settings)
    assert check_reach(settings, ring) == ""
    assert ring.required


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"auth": "never"}, "auth is 'never'"),
        ({"path_prefix": "pyro"}, "path_prefix"),
        ({"path_prefix": "/pyro/"}, "path_prefix"),
        ({"path_prefix": "/../x"}, "path_prefix"),
        ({"path_prefix": "/a/../b"}, "path_prefix"),
        ({"path_prefix": "/v2"}, "path_prefix"),
        ({"path_prefix": "/models/x"}, "path_prefix"),
        ({"cors_origins": "*"}, "cors_origins"),
        ({"cors_origins": "https://a.example/path"}, "cors_origins"),
        ({"tls_cert": "a.pem"}, "tls_cert and tls_key"),
        ({"oidc_issuer": "https://id.example"}, "oidc_client_id"),
    ],
)
def test_settings_that_do_not_hold_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        check_settings(Settings(**given))


@pytest.mark.parametrize("page", [page.path for page in PAGES if page.path != "/"])
def test_a_prefix_is_no_page_of_ours(page: str) -> None:
    with pytest.raises(ConfigurationError, match="path_prefix"):
        check_settings(Settings(path_prefix=page))


def test_without_trusted_proxies_nothing_forwarded_counts() -> None:
    headers = {
        b"host": b"real:1",
        b"x-forwarded-for": b"6.6.6.6",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"evil.example",
    }
    none = Proxies(0, False)
    assert none.address(headers, "10.0.0.1") == "10.0.0.1"
    assert none.host(headers) == b"real:1"
    assert not none.is_https(headers)


@pytest.mark.parametrize(
    ("hops", "said", "address"),
    [
        (1, b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (2, b"6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (2, b"1.2.3.4", "10.0.0.1"),
        (1, b"6.6.6.6, junk", "10.0.0.1"),
        (1, b"", "10.0.0.1"),
        (1, b"2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_outermost_trusted_proxy_says_who_called(hops: int, said: bytes, address: str) -> None:
    assert Proxies(hops, False).address({b"x-forwarded-for": said}, "10.0.0.1") == address


@pytest.mark.parametrize(
    ("origin", "host", "is_https", "same"),
    [
        (b"http://a.example", b"a.example", False, True),
        (b"https://a.example", b"a.example", False, True),
        (b"http://a.example", b"a.example", True, False),
        (b"https://A.example", b"a.EXAMPLE", True, True),
        (b"http://a.example:81", b"a.example", False, False),
        (b"null", b"", False, False),
        (b"", b"", False, False),
        (b"http://[broken", b"[broken", False, False),
    ],
)
def test_an_origin_is_ours_by_authority_and_kind(
    origin: bytes, host: bytes, is_https: bool, same: bool
) -> None:
    assert is_same(origin, host, is_https=is_https) is same


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/\t/evil.example",
        "/a\r\nset-cookie: x",
        "/login?next=/login",
        "/logout",
        "/" + "a" * 2000,
        "/a\\b",
    ],
)
def test_nothing_but_a_path_of_ours_is_gone_to_after_login(wanted: str) -> None:
    assert after_login(wanted) == "/"


def test_a_path_with_its_query_is_gone_to_after_login() -> None:
    assert after_login("/models?model=a%20b&x=1#y") == "/models?model=a%20b&x=1#y"


def test_counts_end_with_their_window_and_are_bounded() -> None:
    clock = Clock()
    counters = Counters(100, clock)
    assert [counters.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    assert counters.get_expiry("a") == clock.now_s + 60
    clock.now_s += 60
    assert counters.get("a") == 0
    assert counters.incr("a", 60) == 1
    for number in range(1000):
        counters.incr(f"{number}", 60)
    assert len(counters._counts) <= 100


def test_one_too_many_is_429_with_the_time_to_wait() -> None:
    rates = Rates(Settings(rate_login_per_minute=3, rate_infer_per_s=0))
    assert [rates.refusal("login", "a") for _ in range(3)] == [None] * 3
    refusal = rates.refusal("login", "a")
    assert refusal is not None
    assert refusal.status == 429
    assert 1 <= int(dict(refusal.headers)["retry-after"]) <= 60
    assert rates.refusal("login", "b") is None
    assert not rates.has("infer")
    assert all(rates.refusal("infer", "a") is None for _ in range(100))


def test_ipv6_callers_are_counted_by_network() -> None:
    assert counted_as("2001:db8:1:2:3::4") == counted_as("2001:db8:1:2:ffff::1")
    assert counted_as("2001:db8:1:3::4") != counted_as("2001:db8:1:2::4")
    assert counted_as("10.0.0.1") == "10.0.0.1"
    assert counted_as("fe80::1%eth0") == "fe80::/64"
