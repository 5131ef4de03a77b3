"""Sessions: signed, bounded in time, ended by logout and by their key's end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.access.callers import Caller
from app.access.keys import FILE as KEYS
from app.access.keys import KeyFile, new_key
from app.access.ring import KeyRing
from app.access.sessions import FILE, RENEW_S, SINGLE_SIGN_ON, Sessions
from tests.unit.access.test_keys import Clock

LIFETIME_S, IDLE_S = 1000.0, 300.0


class House:
    """Sessions over a state folder with one key."""

    def __init__(self, state: Path) -> None:
        self.state, self.clock = state, Clock()
        self.file = KeyFile(state / KEYS)
        self.token, self.key = new_key("ada", frozenset({"view"}), self.clock())
        self.file.add(self.key)
        self.ring = KeyRing(state, clock=self.clock)
        self.sessions = self.anew()

    def anew(self) -> Sessions:
        return Sessions(self.state, self.ring, LIFETIME_S, IDLE_S, self.clock)

    def caller(self) -> Caller:
        caller = self.ring.caller_of(self.token)
        assert caller is not None
        return caller


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_session_is_found_by_its_cookie(house: House) -> None:
    cookie, held = house.sessions.open(house.caller())
    found = house.sessions.find(cookie)
    assert found is not None
    caller, renewed = found
    assert (caller.name, caller.by, caller.scopes, renewed) == ("ada", "session", {"view"}, "")
    assert caller.session == held.session
    assert house.token not in cookie


def test_it_outlives_a_restart(house: House) -> None:
    cookie, _ = house.sessions.open(house.caller())
    assert house.anew().find(cookie) is not None
    assert stat.S_IMODE((house.state / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("place", [0, 5, -1, -10])
def test_a_cookie_that_was_changed_is_none(house: House, place: int) -> None:
    cookie, _ = house.sessions.open(house.caller())
    # Not "B" for "A": the last two bits of a signature's last character belong to nothing.
    other = "A" if cookie[place] != "A" else "E"
    at = place % len(cookie)
    assert house.sessions.find(cookie[:at] + other + cookie[at + 1 :]) is None


def test_a_pause_longer_than_idle_ends_it(house: House) -> None:
    cookie, _ = house.sessions.open(house.caller())
    house.clock.now_s += IDLE_S - 1
    found = house.sessions.find(cookie)
    assert found is not None
    renewed = found[1]
    assert renewed, "its cookie is due"
    house.clock.now_s += 2
    assert house.sessions.find(cookie) is None
    assert house.sessions.find(renewed) is not None


def test_use_does_not_prolong_its_lifetime(house: House) -> None:
    cookie, _ = house.sessions.open(house.caller())
    for _ in range(int(LIFETIME_S / (RENEW_S + 1))):
        house.clock.now_s += RENEW_S + 1
        found = house.sessions.find(cookie)
        assert found is not None
        cookie = found[1]
    house.clock.now_s += RENEW_S + 1
    assert house.sessions.find(cookie) is None


def test_logout_ends_every_copy_for_good(house: House) -> None:
    cookie, held = house.sessions.open(house.caller())
    other, _ = house.sessions.open(house.caller())
    house.clock.now_s += RENEW_S + 1
    found = house.sessions.find(cookie)
    assert found is not None
    house.sessions.end(held)
    for sessions in (house.sessions, house.anew()):
        assert sessions.find(cookie) is None
        assert sessions.find(found[1]) is None
        assert sessions.find(other) is not None


def test_revoking_its_key_ends_it(house: House) -> None:
    cookie, _ = house.sessions.open(house.caller())
    house.file.remove("ada")
    house.clock.now_s += 1
    house.ring.look()
    assert house.sessions.find(cookie) is None


def test_another_key_under_the_same_id_does_not_revive_it(house: House) -> None:
    cookie, _ = house.sessions.open(house.caller())
    house.file.remove("ada")
    _, other = new_key("ada", frozenset({"view", "operate"}), 0.0)
    house.file.add(type(other)(house.key.id, "ada", other.scopes, other.digest, 0.0))
    house.clock.now_s += 1
    house.ring.look()
    assert house.ring.get(house.key.id) is not None
    assert house.sessions.find(cookie) is None


def test_too_many_logouts_end_all_sessions_rather_than_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.access.sessions.MOST_ENDED", 3)
    kept, _ = house.sessions.open(house.caller())
    for _ in range(4):
        _, held = house.sessions.open(house.caller())
        house.sessions.end(held)
    assert len(house.sessions._ended) <= 3
    assert house.sessions.find(kept) is None


def test_a_lost_secret_ends_all_sessions(house: House) -> None:
    cookie, _ = house.sessions.open(house.caller())
    (house.state / FILE).write_text("{}")
    assert house.anew().find(cookie) is None


def test_a_session_without_a_key_keeps_its_own_scopes(house: House) -> None:
    person = Caller("grace", "key", SINGLE_SIGN_ON, frozenset({"view", "infer"}))
    cookie, _ = house.sessions.open(person)
    found = house.anew().find(cookie)
    assert found is not None
    assert (found[0].name, found[0].scopes) == ("grace", {"view", "infer"})


def test_cookies_of_two_servers_have_two_names(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    assert house.sessions.mark() != other.sessions.mark()
    assert house.anew().mark() == house.sessions.mark()
