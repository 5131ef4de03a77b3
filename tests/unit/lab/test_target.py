"""Where requests go."""

from __future__ import annotations

import pytest

from bench.lab.target import KEY_VARIABLE, Target
from engine.errors import InvalidInput


def test_a_base_path_comes_before_every_path() -> None:
    target = Target.of("http://host:8000/serving/")
    raw = target.request_bytes("/v2/models/m/infer", b"{}", cache=False)
    head, body = raw.split(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /serving/v2/models/m/infer HTTP/1.1"
    assert b"host: host:8000" in head
    assert b"content-length: 2" in head
    assert b"cache-control: no-cache" in head
    assert body == b"{}"


@pytest.mark.parametrize(
    ("url", "authority", "port"),
    [("http://h", "h:80", 80), ("https://h", "h:443", 443), ("http://[::1]:9", "[::1]:9", 9)],
)
def test_ports_and_addresses(url: str, authority: str, port: int) -> None:
    target = Target.of(url)
    assert (target.authority, target.port) == (authority, port)


def test_names_are_quoted() -> None:
    assert Target.of("http://h").model_path("a/b c", "1") == "/v2/models/a%2Fb%20c/versions/1"


def test_the_key_is_sent_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target.of("http://h")
    assert b"authorization" not in target.request_bytes("/", b"", cache=True)
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    assert b"authorization: Bearer secret\r\n" in target.request_bytes("/", b"", cache=True)
    monkeypatch.setenv(KEY_VARIABLE, "a\r\nb: c")
    with pytest.raises(InvalidInput, match=KEY_VARIABLE):
        target.request_bytes("/", b"", cache=True)
