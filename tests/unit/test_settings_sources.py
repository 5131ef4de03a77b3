"""Where settings come from, what is told of them, and that no secret ever is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from app.api.settings import FURTHER, GROUPS, folder_bytes, settings, told_of, url_words
from engine.config import (
    Settings,
    _setting,
    load_settings,
    parse_value,
    sources_of,
)

TABLE = {setting.name: setting for setting in fields(Settings)}
SECRETS = {
    "alert_webhook": "https://user:hunter2@hooks.example.org:8443/T00/PATHSECRET?key=QUERYSECRET",
    "alert_apprise": "slack://TokenA/TokenB/TokenC json://ada:lovelace@box.example.org/sub",
    "otlp_endpoint": "http://TOKENUSER@collector.example.org:4318/v1/traces#FRAGMENT",
    "redis_url": "rediss://shareuser:REDISPASS@cache.example.org:6380/2?ssl_ca_certs=CAFILE",
}
PARTS = (
    *("user", "hunter2", "8443", "T00", "PATHSECRET", "QUERYSECRET", "TokenA", "TokenB", "TokenC"),
    *("lovelace", "sub", "TOKENUSER", "4318", "traces", "FRAGMENT"),
    *("shareuser", "REDISPASS", "6380", "CAFILE"),
)


def asked(configured: Settings, sources: dict[str, str] | None = None) -> dict[str, Any]:
    """The answer of GET /performance/settings over an engine with these settings."""
    ticker = SimpleNamespace(latest={"time": 130.0, "started": 100.0})
    engine = SimpleNamespace(settings=configured, sources=sources or {}, ticker=ticker)
    answer: dict[str, Any] = orjson.loads(settings(SimpleNamespace(engine=engine)).body)  # type: ignore[arg-type]
    return answer


def told(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in answer["settings"] if one["name"] == name)


def test_the_strongest_source_is_named() -> None:
    environ = {"HOST": "127.0.0.2", "PORT": "9", "PYROMETER_PORT": "10", "PYROMETER_GZIP": "off"}
    overrides = {"gzip": True, "http_threads": 4}
    sources = sources_of(environ, overrides)
    assert sources == {
        "host": "HOST",
        "port": "PYROMETER_PORT",
        "gzip": "--gzip",
        "http_threads": "--http-threads",
    }
    loaded = load_settings(environ, overrides)
    assert (loaded.host, loaded.port, loaded.gzip, loaded.http_threads) == (
        "127.0.0.2",
        10,
        True,
        4,
    )


def test_every_setting_says_where_it_came_from() -> None:
    environ, overrides = {"PORT": "9", "PYROMETER_HTTP_DOOR": "flask"}, {"gzip": True}
    configured = replace(load_settings(environ, overrides), http_queue=7)
    answer = asked(configured, sources_of(environ, overrides))
    expected = {
        "port": ("environment", "PORT", True),
        "http_door": ("environment", "PYROMETER_HTTP_DOOR", True),
        "gzip": ("flag", "--gzip", False),
        "http_queue": ("code", None, True),
        "host": ("default", None, False),
    }
    for name, (source, given, changed) in expected.items():
        one = told(answer, name)
        assert (one["source"], one["given"], one["changed"]) == (source, given, changed), name


def test_every_setting_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(TABLE)
    answer = asked(Settings())
    assert answer["groups"] == [*GROUPS, FURTHER]
    assert FURTHER not in {one["group"] for one in answer["settings"]}


PLAIN = [name for name, one in TABLE.items() if name not in SECRETS and not one.metadata["secret"]]


@pytest.mark.parametrize("name", PLAIN)
def test_the_text_of_a_setting_gives_its_value_again(name: str) -> None:
    setting = TABLE[name]
    values: list[Any] = [setting.default]
    if isinstance(setting.default, bool):
        values.append(not setting.default)
    elif isinstance(setting.default, str | Path):
        values.append(type(setting.default)("a b'c"))
    for value in values:
        text = told_of(setting, value, None)["text"]
        assert parse_value(setting, text) == value


def test_keys_and_secrets_are_never_told() -> None:
    answer = asked(Settings(api_key="hunter2" * 4, oidc_client_secret="lovelace"))
    body = orjson.dumps(answer).decode()
    assert "hunter2" not in body
    assert "lovelace" not in body
    assert told(answer, "api_key")["value"] == "set"
    assert told(answer, "api_key")["flag"] == ""


def test_no_secret_of_a_url_is_told() -> None:
    answer = asked(Settings(**SECRETS))  # type: ignore[arg-type]
    body = orjson.dumps(answer).decode()
    for part in PARTS:
        assert f"{part}" not in body.replace("otlp_endpoint", ""), part
    shown = {name: told(answer, name)["value"] for name in SECRETS}
    assert shown == {
        "alert_webhook": "https hooks.example.org",
        "alert_apprise": "slack, json",
        "otlp_endpoint": "http collector.example.org",
        "redis_url": "rediss",
    }
    for name in SECRETS:
        assert told(answer, name)["text"] is None
        assert told(answer, name)["changed"] is True


@dataclass
class _WithSecret:
    token: str = _setting("", "a token", secret=True)


@pytest.mark.parametrize(
    ("value", "shown", "text"), [("hunter2", "set", None), ("", "not set", "")]
)
def test_a_secret_tells_whether_it_is_set(value: str, shown: str, text: str | None) -> None:
    (setting,) = fields(_WithSecret)
    one = told_of(setting, value, None)
    assert (one["kind"], one["value"], one["default"], one["text"]) == (
        "secret",
        shown,
        "not set",
        text,
    )
    assert "hunter2" not in orjson.dumps(one).decode()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://a.example/b", "https a.example"),
        ("HTTP://User:Pw@A.Example:1/b", "http a.example"),
        ("http://[::1]:4318/v1", "http ::1"),
        ("http://[broken", "http"),
        ("https://", "https"),
        ("tgram://123456:ABC/789", "tgram"),
        ("a bare secret", "set"),
        ("secret:value", "set"),
        ("S3CRET_KEY://x", "set"),
        ("://x", "set"),
    ],
)
def test_a_url_is_told_by_kind_and_host(url: str, words: str) -> None:
    assert url_words(url) == words


def test_about_has_versions_machine_process_and_state(tmp_path: Path) -> None:
    (tmp_path / "cache/results").mkdir(parents=True)
    (tmp_path / "cache/results/a").write_bytes(b"x" * 300)
    (tmp_path / "history.sqlite").write_bytes(b"x" * 20)
    (tmp_path / "history.sqlite-wal").write_bytes(b"x" * 5)
    about = asked(Settings(state=tmp_path))["about"]
    assert about["uptime_s"] == 30.0
    assert about["state"] == {
        "folder": str(tmp_path),
        "bytes": 325,
        "parts": {"cache": 300, "history": 25},
        "whole": True,
    }
    assert about["libraries"]["numpy"]
    assert about["process_id"] > 0
    assert about["cores"] >= 1


def test_a_folder_that_is_not_there_is_empty_and_links_are_not_followed(tmp_path: Path) -> None:
    assert folder_bytes(tmp_path / "none") == ({}, True)
    (tmp_path / "loop").symlink_to(tmp_path)
    parts, whole = folder_bytes(tmp_path)
    assert set(parts) == {"loop"}
    assert whole
