"""The console's login over HTTP: by key and by single sign-on; cookies, limits, logout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from joserfc.jwk import RSAKey

from tests.conftest import RunningServer
from tests.integration.access.conftest import API_KEY, StartWith, keys
from tests.integration.access.provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.waiting import until


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("login")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(start_with: StartWith, state: Path, provider: Provider) -> RunningServer:
    environ = {
        "PYROMETER_API_KEY": API_KEY,
        "PYROMETER_OIDC_ISSUER": provider.issuer,
        "PYROMETER_OIDC_CLIENT_ID": CLIENT_ID,
        "PYROMETER_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "PYROMETER_OIDC_SCOPES": "ops=operate+infer, staff=view",
        "PYROMETER_RATE_LOGIN_PER_MINUTE": "1000",
    }
    running = start_with(state=state, environ=environ)
    until(lambda: ask(running, "GET", "/models", key=API_KEY).status_code == 200, 60, "the console")
    return running


def ask(
    running: RunningServer, verb: str, path: str, key: str = "", **further: Any
) -> requests.Response:
    headers = further.pop("headers", {}) | ({"x-api-key": key} if key else {})
    return requests.request(
        verb, running.url + path, headers=headers, allow_redirects=False, timeout=20, **further
    )


def log_in(
    running: RunningServer, key: str, after: str = "/", **headers: str
) -> tuple[requests.Session, requests.Response]:
    session = requests.Session()
    answer = session.post(
        f"{running.url}/login",
        {"key": key, "next": after},
        headers={"origin": running.url} | headers,
        allow_redirects=False,
        timeout=20,
    )
    return session, answer


def told(session: requests.Session, running: RunningServer) -> dict[str, Any]:
    answer: dict[str, Any] = session.get(f"{running.url}/performance/session", timeout=20).json()
    return answer


def test_a_browser_is_led_to_the_login_page_and_back(served: RunningServer) -> None:
    answer = ask(served, "GET", "/models?model=a b", headers={"accept": "text/html"})
    assert answer.status_code == 303
    where = answer.headers["location"]
    assert where.startswith("/login?next=")
    page = ask(served, "GET", where)
    assert page.status_code == 200
    assert 'name="next" value="/models?model=a%20b"' in page.text
    session, answer = log_in(served, API_KEY, "/models?model=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models?model=a%20b")
    assert session.get(f"{served.url}/models", timeout=20).status_code == 200


def test_the_login_page_is_whole_and_lets_no_script_in(served: RunningServer) -> None:
    page = ask(served, "GET", "/login?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page.text
    assert "http" not in page.text.replace("http://www.w3.org/2000/svg", "").replace(
        "http%3A//www.w3.org/2000/svg", ""
    )
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"


def test_a_cookie_is_out_of_scripts_reach_and_of_other_sites(served: RunningServer) -> None:
    _, answer = log_in(served, API_KEY)
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"):
        assert f"; {part}" in cookie
    assert API_KEY not in cookie


@pytest.mark.parametrize("key", ["", "wrong", API_KEY + "x", "pyro_12345678_abc"])
def test_a_wrong_key_opens_nothing(served: RunningServer, key: str) -> None:
    session, answer = log_in(served, key)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert told(session, served)["who"] is None


def test_a_key_without_view_is_told_so(served: RunningServer, state: Path) -> None:
    token = keys(state, "create", "--name", "only infer", "--scope", "infer")
    until(lambda: ask(served, "GET", "/v2", token).status_code == 200, 5, "the key counts")
    _, answer = log_in(served, token)
    assert answer.status_code == 401
    assert "lacks the scope view" in answer.text


def test_another_site_cannot_log_anybody_in(served: RunningServer) -> None:
    _, answer = log_in(served, API_KEY, origin="http://evil.example")
    assert answer.status_code == 403


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_login_leads_to_no_other_site(served: RunningServer, after: str) -> None:
    assert log_in(served, API_KEY, after)[1].headers["location"] == "/"


def test_a_session_changes_things_from_our_own_pages_alone(served: RunningServer) -> None:
    session, _ = log_in(served, API_KEY)

    def flush(**headers: str) -> int:
        url = f"{served.url}/performance/cache/clear"
        return session.post(url, json={}, headers=headers, timeout=20).status_code

    assert flush() == 403, "no Origin"
    assert flush(origin="http://evil.example") == 403
    assert flush(origin="null") == 403
    assert flush(origin=served.url) == 200
    assert flush(**{"origin": served.url, "sec-fetch-site": "cross-site"}) == 403
    callback = session.post(f"{served.url}/_dash-update-component", json={}, timeout=20)
    assert callback.status_code == 403


def test_a_session_has_its_keys_scopes(served: RunningServer, state: Path) -> None:
    token = keys(state, "create", "--name", "looker", "--scope", "view")
    until(lambda: ask(served, "GET", "/v2", token).status_code == 200, 5, "the key counts")
    session, _ = log_in(served, token)
    assert told(session, served)["scopes"] == ["view"]
    own = {"origin": served.url}
    for path in ("/performance/cache/clear", "/v2/models/digits/infer", "/performance/warmup"):
        answer = session.post(served.url + path, json={}, headers=own, timeout=20)
        assert answer.status_code == 403, path
        assert "lacks the scope" in answer.json()["error"]
    assert session.get(f"{served.url}/performance/metrics", timeout=20).status_code == 200
    keys(state, "revoke", "looker")
    until(lambda: told(session, served)["who"] is None, 3, "the session has ended with its key")


def test_logout_ends_every_copy_of_the_cookie(served: RunningServer) -> None:
    session, _ = log_in(served, API_KEY)
    copy = requests.Session()
    copy.cookies.update(session.cookies)
    assert told(copy, served)["who"] == "PYROMETER_API_KEY"
    own = {"origin": served.url}
    assert session.post(f"{served.url}/logout", json={}, timeout=20).status_code == 403, "no Origin"
    assert session.post(f"{served.url}/logout", json={}, headers=own, timeout=20).status_code == 200
    assert told(copy, served)["who"] is None


def test_who_is_logged_in_is_answered_where_it_is_read_until_the_logout(
    served: RunningServer,
) -> None:
    session, _ = log_in(served, API_KEY)
    copy = requests.Session()
    copy.cookies.update(session.cookies)

    def status(since: int) -> int:
        return copy.get(f"{served.url}/performance/live?since={since}", timeout=20).status_code

    def answered() -> int:
        figures = ask(served, "GET", "/performance/system", API_KEY).json()
        return int(figures["http"]["fast_lane"]["viewers"])

    assert status(0) == 200
    before = answered()
    assert [status(since) for since in range(5)] == [200] * 5
    assert answered() == before + 5
    session.post(f"{served.url}/logout", json={}, headers={"origin": served.url}, timeout=20)
    assert [status(since) for since in range(3)] == [401] * 3
    assert answered() == before + 5


def test_logins_and_logouts_are_in_the_audit_log(served: RunningServer) -> None:
    log_in(served, "wrong")
    session, _ = log_in(served, API_KEY)
    session.post(f"{served.url}/logout", json={}, headers={"origin": served.url}, timeout=20)
    entries = ask(served, "GET", "/performance/audit?limit=3", API_KEY).json()["entries"]
    assert [(one["what"], one["status"]) for one in entries] == [
        ("POST /logout", 200),
        ("POST /login", 303),
        ("POST /login", 401),
    ]
    assert entries[2]["who"] == "unknown"


def test_too_many_tries_are_429_with_the_time_to_wait(start_with: StartWith) -> None:
    running = start_with("--rate-login-per-minute", "4")
    answers = [log_in(running, f"wrong {number}")[1] for number in range(10)]
    late = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert "Too many tries" in late.text
    assert log_in(running, API_KEY)[1].status_code == 429, "a right guess helps nobody now"


# single sign-on


def sign_in(
    served: RunningServer, after: str = "/alerts", **query: str
) -> tuple[requests.Session, requests.Response]:
    """Through the provider and back, as a browser goes."""
    session = requests.Session()
    path = f"/login/oidc?{urlencode({'next': after})}"
    there = session.get(served.url + path, allow_redirects=False, timeout=20)
    assert there.status_code == 303, there.text
    back = session.get(there.headers["location"], allow_redirects=False, timeout=20)
    where = back.headers["location"]
    for name, value in query.items():
        where = where.replace(f"{name}=", f"{name}={value}", 1)
    return session, session.get(where, allow_redirects=False, timeout=20)


@pytest.fixture
def honest(provider: Provider) -> Iterator[Provider]:
    kept = dict(provider.claims)
    yield provider
    provider.claims, provider.spoil, provider.signs_with = kept, {}, provider.key


def test_single_sign_on_gives_the_claims_scopes(served: RunningServer, honest: Provider) -> None:
    session, answer = sign_in(served)
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    about = told(session, served)
    assert (about["who"], about["by"]) == ("grace", "session")
    assert about["scopes"] == ["infer", "view", "operate"]
    own = {"origin": served.url}
    flush = session.post(f"{served.url}/performance/cache/clear", json={}, headers=own, timeout=20)
    assert flush.status_code == 200
    entries = ask(served, "GET", "/performance/audit?limit=1", API_KEY).json()["entries"]
    assert entries[0]["who"] == "session grace (sso)"


def test_somebody_without_a_known_group_stays_out(served: RunningServer, honest: Provider) -> None:
    honest.claims = {"sub": "8", "email": "eve@example.org", "groups": ["guests"]}
    session, answer = sign_in(served)
    assert answer.status_code == 401
    assert "no value of groups" in answer.text
    assert told(session, served)["who"] is None


@pytest.mark.parametrize(
    "spoil",
    [
        {"aud": "another client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"nonce": "another login"},
    ],
)
def test_a_token_for_another_is_refused(
    served: RunningServer, honest: Provider, spoil: dict[str, Any]
) -> None:
    honest.spoil = spoil
    session, answer = sign_in(served)
    assert answer.status_code == 401
    assert told(session, served)["who"] is None


def test_a_token_of_another_key_is_refused(served: RunningServer, honest: Provider) -> None:
    honest.signs_with = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)
    assert sign_in(served)[1].status_code == 401


def test_the_answer_to_another_login_is_refused(served: RunningServer, honest: Provider) -> None:
    assert sign_in(served, state="x")[1].status_code == 401
    answer = ask(served, "GET", "/login/oidc/callback?code=a&state=b")
    assert answer.status_code == 401
    assert "another browser" in answer.text


def test_the_provider_is_asked_back_to_this_server_alone(served: RunningServer) -> None:
    answer = ask(served, "GET", "/login/oidc?next=//evil.example")
    query = urlsplit(answer.headers["location"]).query
    assert (
        f"redirect_uri={served.url}/login/oidc/callback".replace(":", "%3A")
        .replace("/", "%2F")
        .replace("redirect_uri%3D", "redirect_uri=")
        in query
    )
    assert "code_challenge_method=S256" in query
    assert ask(served, "GET", "/login/oidc", headers={"host": "evil.example"}).status_code == 403


# other sites and proxies


def test_no_other_site_may_ask_unless_it_is_configured(
    served: RunningServer, start_with: StartWith
) -> None:
    theirs = {"origin": "https://app.example.org"}
    answer = ask(served, "GET", "/v2", API_KEY, headers=theirs)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    open_ = start_with("--cors-origins", "https://app.example.org")
    preflight = ask(
        open_,
        *("OPTIONS", "/v2/models/digits/infer"),
        headers=theirs | {"access-control-request-method": "POST"},
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == theirs["origin"]
    assert "access-control-allow-credentials" not in preflight.headers
    answer = ask(open_, "POST", "/v2/repository/index", API_KEY, headers=theirs, json={})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == theirs["origin"]
    assert ask(open_, "POST", "/v2/repository/index", headers=theirs, json={}).status_code == 401
    other = {"origin": "https://app.example.org.evil"}
    refused = ask(open_, "POST", "/v2/repository/index", API_KEY, headers=other, json={})
    assert refused.status_code == 403
    session, _ = log_in(open_, API_KEY)
    by_cookie = session.post(
        f"{open_.url}/performance/cache/clear", json={}, headers=theirs, timeout=20
    )
    assert by_cookie.status_code == 403, "a site that may ask with a key may not use a session"


def test_behind_a_proxy_the_callers_address_and_kind_are_the_proxys_word(
    start_with: StartWith,
) -> None:
    flags = ("--trusted-hops", "1", "--allowed-hosts", "models.example.org")
    running = start_with(*flags, "--path-prefix", "/pyro")
    said = {
        "x-forwarded-for": "6.6.6.6, 198.51.100.7",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "models.example.org",
        "origin": "https://models.example.org",
    }
    _, answer = log_in(running, API_KEY, "/models", **said)
    assert answer.headers["location"] == "/pyro/models"
    assert "; Secure" in answer.headers["set-cookie"]
    assert "; Path=/pyro;" in answer.headers["set-cookie"]
    entries = ask(running, "GET", "/performance/audit?limit=1", API_KEY).json()["entries"]
    assert entries[0]["address"] == "198.51.100.7"
    evil = said | {"x-forwarded-host": "evil.example"}
    assert log_in(running, API_KEY, **evil)[1].status_code == 403
    plain = said | {"origin": "http://models.example.org"}
    assert log_in(running, API_KEY, **plain)[1].status_code == 403, "a page without TLS"
    for path in ("/pyro/v2", "/v2"):
        assert ask(running, "GET", path, API_KEY).status_code == 200
        assert ask(running, "GET", path).status_code == 401
    assert ask(running, "GET", "/pyro").headers["location"] == "/pyro/"
    assert ask(running, "GET", "/pyro/performance/metrics").status_code == 401
    assert ask(running, "GET", "/pyrox/v2").status_code == 401
