"""Commands that ask a running server: its key, its words, and where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app.client import ask, check_url
from engine.errors import ConfigurationError, PyrometerError
from tests.conftest import free_port


class Keyed(BaseHTTPRequestHandler):
    """Answers what it was asked with, to who has the key."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["authorization"] != "Bearer pyro_secret":
            self._say(401, b'{"error": "an API key is needed"}')
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("location", "/a")
            self.end_headers()
        elif self.path == "/broken":
            self._say(500, b"<html>")
        else:
            self._say(200, self.path.encode() + body)

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Tests need none."""


@pytest.fixture
def base() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Keyed)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_key_of_the_variable_is_sent(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_API_KEY", "pyro_secret")
    assert ask(base, "/a?b=1", 5, {"c": 2}) == b'/a?b=1{"c": 2}'
    with pytest.raises(PyrometerError, match=r"^/broken: HTTP 500$"):
        ask(base, "/broken", 5, {})
    with pytest.raises(PyrometerError, match=r"^/elsewhere: HTTP 302$"):
        ask(base, "/elsewhere", 5, {})


def test_who_lacks_one_is_told_where_to_put_it(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_API_KEY", raising=False)
    with pytest.raises(PyrometerError, match=r"^/a: an API key is needed; put one into BENCH_API"):
        ask(base, "/a?b=1", 5, {})


def test_where_nobody_listens_the_address_is_named() -> None:
    base = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(PyrometerError, match=f"^no server answers at {base}: .*refused"):
        ask(base, "/a", 5)


def test_only_http_is_asked() -> None:
    assert check_url("https://a/b/") == "https://a/b"
    with pytest.raises(ConfigurationError, match="url is 'file:///etc'; it must begin with http"):
        check_url("file:///etc")
