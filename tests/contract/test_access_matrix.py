"""Every route x verb x kind of caller, through both doors: nobody passes who should not.

A request passes where the gate lets it on: its status is none of 401, 403 and 429, and it is no way
to the login page. Requests that pass are sent as ones that change nothing: with a body that no
action takes, to names that do not exist.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from app.access.scopes import NEEDS, SCOPES
from app.routes import ROUTES
from tests.conftest import ROOT, RunningServer, free_port
from tests.waiting import until

ENVIRONMENT_KEY = "matrix-" + "k" * 40
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAFE = ("GET", "HEAD", "OPTIONS")
REFUSED = (401, 403, 429)
COSTLY = "/performance/picture"
"""It starts a browser, so another site's page may not even ask."""
CONSOLE = (
    "/",
    "/models",
    "/settings",
    "/assets/favicon.svg",
    "/_dash-layout",
    "/_dash-dependencies",
)
UNKNOWN = ("/v2/nothing", "/performance/nothing", "/metrics/nothing", "/nothing")
ALIASES = (
    *("/%76%32", "//v2", "/v2/", "/./v2", "/v2/models/%2e%2e/infer", "/PERFORMANCE/metrics"),
    *("/performance%2Fmetrics", "/performance//metrics", "/v2/health/../models/digits"),
    *("/v2/health/%2e%2e/repository/index", "/v2/health/live/", "/metrics?x", "/metrics;x"),
    *("/assets/../performance/metrics", "/login/../metrics", "/login/", "/performance/metrics%00"),
)


@dataclass(frozen=True)
class Secured:
    """A server that asks for keys, and a key for each set of scopes."""

    running: RunningServer
    keys: dict[str, str]


def _key(state: Path, name: str, scope: str) -> str:
    command = [sys.executable, "-m", "app.cli", "keys", "create", "--name", name]
    command += ["--scope", scope, "--state", str(state)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=["front", "flask"])
def secured(
    request: pytest.FixtureRequest,
    bundled_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Secured]:
    state = tmp_path_factory.mktemp(f"access-{request.param}")
    keys = {scope: _key(state, scope, scope) for scope in SCOPES}
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--models", str(bundled_models), "--state", str(state), "--preload", "digits"]
    command += ["--http-door", request.param, "--rate-actions-per-minute", "0"]
    command += ["--rate-login-per-minute", "0"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    environ = clean | {"PYROMETER_API_KEY": ENVIRONMENT_KEY}
    process = subprocess.Popen(command, cwd=ROOT, env=environ)
    running = RunningServer(process, port)
    running.wait_ready()
    bearer = {"authorization": f"Bearer {keys['view']}"}
    until(lambda: ask(port, "GET", "/models", bearer)[0] == 200, 60, "the console")
    yield Secured(running, keys | {"all": ENVIRONMENT_KEY})
    running.stop()


Answer = tuple[int, dict[str, str], bytes]


def ask(port: int, verb: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """One request as written, on a connection of its own: no client tidies its path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        return ask_on(connection, verb, path, headers, body)
    finally:
        connection.close()


def ask_on(
    connection: http.client.HTTPConnection,
    verb: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
) -> Answer:
    connection.putrequest(verb, path, skip_host="host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body or verb in ("POST", "PUT", "PATCH", "DELETE"):
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, told, answer.read()


def passes(status: int, headers: dict[str, str]) -> bool:
    return status not in REFUSED and not headers.get("location", "").startswith("/login")


BODY = b'{"nobody takes this field": 1}'
CALLERS: dict[str, Callable[[int, str], dict[str, str]]] = {
    "no key": lambda port, key: {},
    "wrong key": lambda port, key: {"authorization": f"Bearer {key[:-1]}!"},
    "evil host": lambda port, key: {"authorization": f"Bearer {key}", "host": "evil.example"},
    "evil origin": lambda port, key: {
        "authorization": f"Bearer {key}",
        "origin": "http://evil.example",
    },
    "cross site": lambda port, key: {"x-api-key": key, "sec-fetch-site": "cross-site"},
    "right key": lambda port, key: {"authorization": f"Bearer {key}"},
    "right key, own origin": lambda port, key: {
        "x-api-key": key,
        "origin": f"http://127.0.0.1:{port}",
    },
}


def concrete(path: str) -> str:
    """A route's path with names that nothing has."""
    for part in ("model", "version", "run", "report", "experiment"):
        path = path.replace(f"{{{part}}}", f"no_such_{part}")
    assert "{" not in path, path
    return f"{path}?page=/nowhere" if path == COSTLY else path


def needed(verb: str, rule: str) -> tuple[frozenset[str], bool]:
    """Scopes of which one is enough, and whether the route is health, which everybody may ask."""
    methods = {method for method, path in NEEDS if path == rule}
    method = "GET" if verb == "HEAD" else verb
    if method not in methods:
        return frozenset(SCOPES), False
    need = NEEDS[(method, rule)]
    return need.scopes, need.any_host


def test_every_route_says_what_it_asks_of_its_caller() -> None:
    routes = {(method, path) for method, path, _ in ROUTES}
    assert set(NEEDS) == routes


@pytest.mark.timeout(600)
def test_nothing_passes_that_should_not(secured: Secured) -> None:
    port, tried, wrong = secured.running.port, Counter[str](), []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for rule, verb, (caller, headers_of), (scope, key) in product(
        dict.fromkeys(path for _, path, _ in ROUTES), VERBS, CALLERS.items(), secured.keys.items()
    ):
        if caller in ("no key", "wrong key") and scope != "all":
            continue  # the same request four times
        scopes, is_health = needed(verb, rule)
        held = set(SCOPES) if scope == "all" else {scope, *_included(scope)}
        expected = _expected(verb, caller, scopes, held, is_health)
        if rule == COSTLY and caller == "cross site" and verb in ("GET", "HEAD"):
            expected = False
        status, headers, _ = ask_on(connection, verb, concrete(rule), headers_of(port, key), BODY)
        tried["passed" if passes(status, headers) else "refused"] += 1
        if passes(status, headers) is not expected:
            wrong.append(f"{caller}, {scope}: {verb} {rule} answered {status}")
    connection.close()
    assert wrong == []
    print(f"\n{sum(tried.values())} requests by {len(CALLERS)} callers: {dict(tried)}")
    assert tried["passed"] > 500
    assert tried["refused"] > 5000


def _included(scope: str) -> set[str]:
    return {"view"} if scope == "operate" else set()


def _expected(
    verb: str, caller: str, scopes: frozenset[str], held: set[str], is_health: bool
) -> bool:
    if is_health and verb in ("GET", "HEAD"):
        return True
    if caller == "evil host":
        return False
    if caller in ("evil origin", "cross site") and verb not in SAFE:
        return False
    if not scopes:
        return True  # the login page and what belongs to it
    return caller not in ("no key", "wrong key") and bool(scopes & held)


@pytest.mark.parametrize("path", [*CONSOLE, *UNKNOWN, *ALIASES])
def test_no_alias_and_no_page_is_a_door(secured: Secured, path: str) -> None:
    port = secured.running.port
    for verb in VERBS:
        for caller in ("no key", "wrong key", "evil host"):
            headers = CALLERS[caller](port, secured.keys["all"])
            status, told, content = ask(port, verb, path, headers, BODY)
            assert not passes(status, told), (verb, caller, status, content[:80])
        headers = CALLERS["right key"](port, secured.keys["infer"])
        status, told, content = ask(port, verb, path, headers, BODY)
        assert status in (401, 403, 404, 405, 308) or path in ("/%76%32",), (verb, status)


def test_kept_console_files_are_behind_the_gate(secured: Secured) -> None:
    port = secured.running.port
    right = {"authorization": f"Bearer {secured.keys['view']}", "accept-encoding": "gzip"}
    page = ask(port, "GET", "/", right | {"accept": "text/html"})[2]
    text = (gzip.decompress(page) if page[:2] == b"\x1f\x8b" else page).decode()
    (script,) = [
        part.split('"')[0] for part in text.split('src="')[1:] if "/assets/console." in part
    ]
    for _ in range(2):  # kept by the first
        status, told, content = ask(port, "GET", script, right)
        assert (status, len(content) > 10_000) == (200, True)
    tag = told.get("etag", "")
    for further in ({}, {"if-none-match": tag or "*"}):
        for caller in ("no key", "wrong key", "evil host"):
            headers = CALLERS[caller](port, secured.keys["all"])
            headers |= {"accept-encoding": "gzip", **further}
            assert ask(port, "GET", script, headers)[0] in (401, 403), caller
        infer = {"authorization": f"Bearer {secured.keys['infer']}", "accept-encoding": "gzip"}
        assert ask(port, "GET", script, infer | further)[0] == 403


def test_a_304_is_behind_the_gate(secured: Secured) -> None:
    port = secured.running.port
    right = {"authorization": f"Bearer {secured.keys['view']}"}
    status, told, _ = ask(port, "GET", "/v2/models/digits", right)
    assert status == 200
    again = {"if-none-match": told["etag"]}
    assert ask(port, "GET", "/v2/models/digits", right | again)[0] == 304
    for caller in ("no key", "wrong key", "evil host"):
        headers = CALLERS[caller](port, secured.keys["all"]) | again
        assert ask(port, "GET", "/v2/models/digits", headers)[0] in (401, 403), caller


def test_a_cached_answer_is_behind_the_gate(secured: Secured) -> None:
    port, path = secured.running.port, "/v2/models/digits/infer"
    body = (
        b'{"inputs":[{"name":"input","shape":[1,64],"datatype":"FP64","data":['
        + b",".join([b"1.5"] * 64)
        + b"]}]}"
    )
    metadata = ask(
        port, "GET", "/v2/models/digits", CALLERS["right key"](port, secured.keys["all"])
    )
    name = json.loads(metadata[2])["inputs"][0]["name"].encode()
    body = body.replace(b'"input"', b'"' + name + b'"', 1)
    right = {"authorization": f"Bearer {secured.keys['infer']}", "content-type": "application/json"}
    hits = set()
    for _ in range(200):
        status, told, _ = ask(port, "POST", path, right, body)
        assert status == 200
        hits.add(told["x-cache-hit"])
    assert "true" in hits, "the answer was never cached"
    for caller in ("no key", "wrong key", "evil host", "evil origin", "cross site"):
        headers = CALLERS[caller](port, secured.keys["all"]) | {"content-type": "application/json"}
        assert ask(port, "POST", path, headers, body)[0] in (401, 403), caller
    for scope in ("view", "operate"):
        headers = {**right, "authorization": f"Bearer {secured.keys[scope]}"}
        assert ask(port, "POST", path, headers, body)[0] == 403, scope
    assert ask(port, "POST", path, right, body)[0] == 200
