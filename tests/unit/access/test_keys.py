"""Keys: made, kept as digests, found, expired, revoked."""

from __future__ import annotations

import argparse
import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from app.access.keys import FILE, KeyFile, new_key
from app.access.keys_cli import run_keys
from app.access.ring import KeyRing
from app.access.scopes import SCOPES, scopes_of
from engine.config import Settings
from engine.errors import ConfigurationError, InvalidInput

BOOTSTRAP = "b" * 32


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(state: Path, name: str, scope: str = "view", days: int | None = None) -> str:
    said: list[str] = []
    arguments = argparse.Namespace(action="create", name=name, scope=scope, expires=days)
    run_keys(arguments, Settings(state=state), said.append, 1_000_000.0)
    return said[-1]


def revoke(state: Path, key: str) -> None:
    arguments = argparse.Namespace(action="revoke", key=key)
    run_keys(arguments, Settings(state=state), lambda _: None)


def test_a_key_is_kept_as_its_digest_alone(tmp_path: Path) -> None:
    token = make(tmp_path, "ci", "infer,view")
    content = (tmp_path / FILE).read_text()
    assert token not in content
    assert token.split("_", 2)[2] not in content
    assert sha256(token.encode()).hexdigest() in content
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert len(token.split("_", 2)[2]) == 43  # 256 bits


def heard(ring: KeyRing) -> list[str]:
    """What came and went, in words, from now on."""
    changes: list[str] = []
    ring.on_change = lambda what, key: changes.append(f"{what} {key.name}")
    return changes


def test_a_key_is_found_by_itself_alone(tmp_path: Path, clock: Clock) -> None:
    token = make(tmp_path, "ci", "infer")
    ring = KeyRing(tmp_path, clock=clock)
    caller = ring.caller_of(token)
    assert caller is not None
    assert (caller.name, caller.by, caller.scopes) == ("ci", "key", frozenset({"infer"}))
    for other in (token[:-1], token + "x", token.replace("pyro_", "pyro-"), "", "pyro_", BOOTSTRAP):
        assert ring.caller_of(other) is None


def test_operate_includes_view_and_nothing_else_includes_anything() -> None:
    assert scopes_of(["operate"]) == {"operate", "view"}
    assert scopes_of(["view"]) == {"view"}
    assert scopes_of(["infer"]) == {"infer"}
    with pytest.raises(InvalidInput, match="scope is 'admin'"):
        scopes_of(["view", "admin"])


def test_the_key_of_the_environment_has_all_scopes(tmp_path: Path) -> None:
    caller = KeyRing(tmp_path, BOOTSTRAP).caller_of(BOOTSTRAP)
    assert caller is not None
    assert caller.scopes == frozenset(SCOPES)
    with pytest.raises(ConfigurationError, match="api_key has 5 characters"):
        KeyRing(tmp_path, "short")


def test_a_revoked_key_counts_no_more_after_a_second(tmp_path: Path, clock: Clock) -> None:
    token = make(tmp_path, "ci")
    make(tmp_path, "other")
    ring = KeyRing(tmp_path, clock=clock)
    changes = heard(ring)
    before = ring.generation
    assert ring.caller_of(token) is not None
    revoke(tmp_path, "ci")
    clock.now_s += 1.0
    ring.look()
    assert ring.caller_of(token) is None
    assert ring.generation > before
    assert changes == ["revoke ci"]
    assert ring.required


def test_an_expired_key_counts_no_more_and_says_so(tmp_path: Path, clock: Clock) -> None:
    token = make(tmp_path, "ci", days=1)
    ring = KeyRing(tmp_path, clock=clock)
    changes = heard(ring)
    clock.now_s += 86_399
    ring.look()
    before = ring.generation
    assert ring.caller_of(token) is not None
    clock.now_s += 1
    assert ring.caller_of(token) is None, "before anybody looked"
    ring.look()
    assert ring.generation > before
    assert changes == ["expire ci"]


def test_a_key_that_ends_while_the_file_cannot_be_read_has_ended(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "ci", days=1)
    stays = make(tmp_path, "other")
    ring = KeyRing(tmp_path, clock=clock)
    changes = heard(ring)
    clock.now_s += 86_399.8
    ring.look()
    before = ring.generation

    def refused(file: KeyFile) -> None:
        raise PermissionError("not now")

    monkeypatch.setattr(KeyFile, "mark", refused)
    clock.now_s += 1
    ring.look()
    assert ring.generation > before
    assert changes == ["expire ci"]
    assert ring.caller_of(stays) is not None


def test_keys_made_while_nobody_was_asked_are_asked_for(tmp_path: Path, clock: Clock) -> None:
    ring = KeyRing(tmp_path, clock=clock)
    assert not ring.required
    token = make(tmp_path, "ci")
    clock.now_s += 1.0
    ring.look()
    assert ring.required
    assert ring.caller_of(token) is not None
    (tmp_path / FILE).unlink()
    clock.now_s += 1.0
    ring.look()
    assert ring.caller_of(token) is None
    assert ring.required, "a process that has asked for keys goes on asking"


def test_a_revoked_last_key_leaves_no_open_door(tmp_path: Path) -> None:
    make(tmp_path, "ci")
    revoke(tmp_path, "ci")
    assert KeyRing(tmp_path).required


def test_a_broken_file_stops_the_start_and_closes_a_running_server(
    tmp_path: Path, clock: Clock
) -> None:
    token = make(tmp_path, "ci")
    ring = KeyRing(tmp_path, BOOTSTRAP, clock=clock)
    (tmp_path / FILE).write_text('{"keys": [{}]}')
    clock.now_s += 1.0
    ring.look()
    assert ring.caller_of(token) is None
    assert ring.caller_of(BOOTSTRAP) is not None
    with pytest.raises(ConfigurationError, match="is no file of keys"):
        KeyRing(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o606, 0o622])
def test_a_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    make(tmp_path, "ci")
    os.chmod(tmp_path / FILE, mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        KeyRing(tmp_path)


def test_names_are_unique_and_the_number_of_keys_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "ci")
    with pytest.raises(InvalidInput, match="a key of that name exists"):
        make(tmp_path, "ci")
    monkeypatch.setattr("app.access.keys.MOST_KEYS", 1)
    with pytest.raises(InvalidInput, match="the limit"):
        make(tmp_path, "other")
    with pytest.raises(InvalidInput, match="no key has"):
        revoke(tmp_path, "nobody")


def test_a_lent_key_counts_while_it_is_lent(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, BOOTSTRAP)
    with ring.lent("benchmark", frozenset({"infer"})) as token:
        caller = ring.caller_of(token)
        assert caller is not None
        assert caller.scopes == {"infer"}
    assert ring.caller_of(token) is None
    assert not (tmp_path / FILE).exists()


def test_a_thousand_callers_are_remembered_and_no_more(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / FILE)
    token, key = new_key("ci", frozenset({"view"}), 0.0)
    file.add(key)
    ring = KeyRing(tmp_path)
    for _ in range(10):
        assert ring.caller_of(token) is ring.caller_of(token)
    assert len(ring._callers) == 1
    for number in range(2000):
        ring.caller_of(f"{token}{number}")
    assert len(ring._callers) == 1, "a wrong key is not remembered"
