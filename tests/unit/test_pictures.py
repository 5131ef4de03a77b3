"""Pictures by the server: what is refused, what is missing, one at a time, for so long."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.access.gate import Gate
from app.api import pictures
from app.api.pictures import (
    Failed,
    Missing,
    address_of,
    browser_path,
    origin_of,
    picture_of,
    render,
)
from app.exchange import Exchange, Request, Response
from app.picture_child import Job
from engine.config import Settings
from engine.engine import Engine
from engine.errors import InvalidInput, Overloaded

JOB = Job("http://127.0.0.1:1", "/?live=0", "png", 1440, "dark", "/bin/false")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(Settings(models=tmp_path / "none", state=tmp_path / "state", history=False))
    yield engine
    engine.close()


def asked(engine: Engine, query: str = "", headers: dict[bytes, bytes] | None = None) -> Exchange:
    target = f"/performance/picture?{query}".encode()
    exchange = Exchange(Request(b"GET", target, headers or {}, b""), engine, "id", 0, {})
    exchange.gate = Gate(engine.settings)
    return exchange


def answered(engine: Engine, query: str = "", **headers: bytes) -> Response:
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    response = picture_of()(asked(engine, query, named))
    assert isinstance(response, Response)
    return response


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another program stand for the child process."""
    real = subprocess.Popen

    def start(_: Any, **options: Any) -> Any:
        return real([sys.executable, "-c", program], **options)

    monkeypatch.setattr(subprocess, "Popen", start)


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ("/", "/?live=0&theme=dark"),
        ("/models?model=a%26b&live=5", "/models?model=a%26b&live=0&theme=dark"),
        ("/system?range=1-9#panel-cpu", "/system?range=1-9&live=0&theme=dark"),
    ],
)
def test_a_page_is_asked_for_with_its_query_and_paused(page: str, address: str) -> None:
    assert address_of(page, "dark") == address


@pytest.mark.parametrize(
    "page",
    ["", "models", "/nothing", "//evil", "http://evil/", "/../", "file:///etc", "//[", "/%2e"],
)
def test_whatever_is_no_page_of_the_console_is_refused(page: str) -> None:
    with pytest.raises(InvalidInput):
        address_of(page, "dark")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
    ],
)
def test_the_browser_is_sent_to_loopback(host: str, origin: str) -> None:
    assert origin_of(Settings(host=host, port=80)) == origin


@pytest.mark.parametrize("settings", [Settings(host="192.0.2.1"), Settings(port=0)])
def test_without_a_known_loopback_address_there_are_no_pictures(settings: Settings) -> None:
    with pytest.raises(Missing):
        origin_of(settings)


def test_the_missing_extra_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda _: None)
    response = answered(engine)
    assert response.status == 501
    assert b"pip install 'pyrometer[pictures]'" in response.body


def test_the_missing_browser_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures.shutil, "which", lambda _: None)
    response = answered(engine)
    assert response.status == 501
    assert b"apt install chromium" in response.body


def test_the_first_browser_on_the_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pictures.shutil, "which", lambda name: f"/bin/{name}" if "google" in name else None
    )
    assert browser_path() == "/bin/google-chrome"


@pytest.mark.parametrize("query", ["format=gif", "theme=x", "width=99999", "width=-1", "width=ten"])
def test_a_parameter_out_of_its_domain_is_refused(engine: Engine, query: str) -> None:
    with pytest.raises(InvalidInput):
        answered(engine, query)


def test_a_page_of_another_site_gets_none(engine: Engine) -> None:
    assert answered(engine, sec_fetch_site=b"cross-site").status == 403


def test_one_picture_is_drawn_at_a_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "browser_path", lambda: "/bin/false")
    begun, go_on = threading.Event(), threading.Event()

    def slowly(job: Job, exchange: Exchange) -> bytes:
        begun.set()
        go_on.wait(10)
        return b"picture"

    monkeypatch.setattr(pictures, "render", slowly)
    handler, answers = picture_of(), []
    thread = threading.Thread(target=lambda: answers.append(handler(asked(engine))))
    thread.start()
    begun.wait(10)
    with pytest.raises(Overloaded):
        handler(asked(engine))
    go_on.set()
    thread.join(10)
    assert answers[0].body == b"picture"
    assert handler(asked(engine)).status == 200


def test_what_the_child_writes_is_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "import sys; sys.stdout.buffer.write(b'P' + sys.stdin.buffer.read()[:9])")
    assert render(JOB) == b'P["http://'


def test_a_child_that_fails_gives_its_reason(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, "import sys; print('noise\\nno display', file=sys.stderr); sys.exit(1)")
    with pytest.raises(Failed, match="no display"):
        render(JOB)
    monkeypatch.setattr(pictures, "browser_path", lambda: "/bin/false")
    response = answered(engine)
    assert response.status == 503
    assert b"no display" in response.body


def test_a_child_that_takes_too_long_is_ended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(TimeoutError):
        render(JOB, limit_s=0.2)
    monkeypatch.setattr(pictures, "browser_path", lambda: "/bin/false")
    monkeypatch.setattr(pictures, "LIMIT_S", 0.2)
    assert answered(engine).status == 504


def test_a_client_that_goes_ends_its_child(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "import time; time.sleep(60)")
    exchange = asked(engine)
    threading.Timer(0.3, exchange.request.cancel).start()
    with pytest.raises(Failed):
        render(JOB, exchange)


def test_a_browser_that_does_not_start_is_told_in_one_line() -> None:
    with pytest.raises(Failed, match="did not start"):
        render(JOB)
