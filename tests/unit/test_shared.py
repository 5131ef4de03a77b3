"""Shared results without a store: when it is asked, what a flush is, and what a URL may say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine.caching.shared import SharedTier
from engine.caching.shared_circuit import CLOSED, HALF_OPEN, OPEN, Circuit
from engine.caching.shared_claims import MOST_WAIT_S, Claims
from engine.caching.shared_epochs import ALL, MOST_FIELDS, Epochs, field_of
from engine.caching.shared_keys import opened, prefix_of, sealed
from engine.caching.shared_links import Links
from engine.caching.shared_types import Payload, SharedCounts, SharedOptions, Ticket
from engine.config import Settings
from engine.engine import Engine
from engine.errors import ConfigurationError
from engine.inventory import queues, state_families

M = field_of("m")


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


# circuit


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[tuple[str, str | None]]:
    return []


@pytest.fixture
def circuit(clock: Clock, told: list[tuple[str, str | None]]) -> Circuit:
    made = Circuit(3, lambda state, why: told.append((state, why)), clock)
    made.probed(None)
    told.clear()
    return made


def test_nothing_is_asked_before_the_first_good_probe(clock: Clock) -> None:
    circuit = Circuit(3, clock_s=clock)
    assert (circuit.state, circuit.asks) == (HALF_OPEN, False)
    circuit.probed("refused")
    assert (circuit.state, circuit.asks, circuit.problem) == (OPEN, False, "refused")
    circuit.probed(None)
    assert (circuit.state, circuit.asks, circuit.problem) == (CLOSED, True, None)


def test_it_opens_after_so_many_failures_in_a_row_and_not_before(
    circuit: Circuit, clock: Clock, told: list[tuple[str, str | None]]
) -> None:
    circuit.failed("late")
    circuit.failed("late")
    circuit.succeeded()
    circuit.failed("late")
    circuit.failed("late")
    assert circuit.asks
    clock.now_s = 130.0
    circuit.failed("late once more")
    assert (circuit.state, circuit.asks, circuit.opened) == (OPEN, False, 1)
    assert (circuit.problem, circuit.since_s) == ("late once more", 130.0)
    assert told == [(OPEN, "late once more")]


def test_a_probe_closes_it_and_what_fails_meanwhile_is_no_news(
    circuit: Circuit, clock: Clock, told: list[tuple[str, str | None]]
) -> None:
    for _ in range(3):
        circuit.failed("late")
    circuit.failed("a request that was under way")
    circuit.begin_probe()
    assert (circuit.state, circuit.asks) == (HALF_OPEN, False)
    circuit.probed("still late")
    assert (circuit.state, circuit.problem) == (OPEN, "still late")
    clock.now_s = 160.0
    circuit.begin_probe()
    circuit.probed(None)
    assert (circuit.state, circuit.since_s, circuit.opened) == (CLOSED, 160.0, 1)
    assert told == [(OPEN, "late"), (CLOSED, None)], "a probe that fails again is told once"
    circuit.failed("late")
    assert circuit.asks, "failures are counted anew"


# epochs


def test_what_is_met_first_was_flushed_by_nobody() -> None:
    epochs = Epochs()
    followed = epochs.follow({ALL: 4, M: 2})
    assert (followed.flushed, dict(followed.behind)) == ((), {})
    assert epochs.of("m") == (4, 2)
    assert epochs.of("other") == (4, 0)


def test_another_server_s_flush_is_seen_once_and_changes_keys_and_marks() -> None:
    epochs = Epochs()
    epochs.follow({})
    before, other = epochs.mark("m"), epochs.mark("other")
    assert epochs.follow({M: 1}).flushed == ("m",)
    assert epochs.follow({M: 1}).flushed == ()
    assert epochs.mark("m") != before
    assert epochs.mark("other") == other
    assert epochs.follow({M: 1, ALL: 1}).flushed == (None,)
    assert epochs.mark("other") != other
    assert prefix_of(epochs.of("m"), "m") == b"pyrometer:1:1.1:m:"


def test_an_owed_flush_hides_its_group_until_the_store_was_told() -> None:
    epochs = Epochs()
    epochs.follow({})
    before = epochs.mark("m")
    serial = epochs.owe(M)
    assert (epochs.owes("m"), epochs.owes("other")) == (True, False)
    assert epochs.mark("m") != before
    epochs.told(M, 1, serial)
    assert (epochs.owes("m"), epochs.of("m")) == (False, (0, 1))
    assert epochs.follow({M: 1}).flushed == (), "one's own flush is no news"


def test_a_flush_asked_for_while_another_is_told_is_still_owed() -> None:
    epochs = Epochs()
    first = epochs.owe(ALL)
    second = epochs.owe(ALL)
    epochs.told(ALL, 1, first)
    assert epochs.owes("m")
    epochs.told(ALL, 2, second)
    assert not epochs.owes("m")


def test_a_store_that_knows_less_is_raised_and_an_old_copy_counts_as_flushed() -> None:
    epochs = Epochs()
    epochs.follow({ALL: 5, M: 2})
    empty = epochs.follow({})
    assert (empty.flushed, dict(empty.behind)) == ((), {ALL: 5, M: 2})
    old = epochs.follow({ALL: 3, M: 2})
    assert (old.flushed, dict(old.behind)) == ((None,), {ALL: 5})
    assert epochs.of("m") == (5, 2)


def test_what_is_known_and_owed_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "epochs.json"
    epochs = Epochs(path)
    epochs.follow({M: 7})
    epochs.owe(ALL)
    again = Epochs(path)
    assert (again.of("m"), again.owes("m")) == ((0, 7), True)
    assert again.follow({M: 9}).flushed == ("m",), "flushed while this server was away"
    path.write_bytes(b"{]")
    assert Epochs(path).of("m") == (0, 0)


def test_flushes_of_very_many_models_become_flushes_of_everything() -> None:
    epochs = Epochs()
    epochs.follow({field_of(str(number)): 1 for number in range(MOST_FIELDS)})
    assert epochs.field_for("3") == field_of("3")
    assert epochs.field_for("one more") == ALL


# values


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: v[:20], lambda v: b"", lambda v: v + b"x"]
)
def test_a_value_that_is_not_what_was_stored_is_none(change: object) -> None:
    value = sealed(b"key", b"payload of some length")
    assert opened(b"key", value) == b"payload of some length"
    assert opened(b"another key", value) is None
    assert opened(b"key", change(value)) is None  # type: ignore[operator]


# claims


def claims_with(
    clock: Clock, answers: list[tuple[Payload | None, bytes | None] | None]
) -> tuple[Claims, SharedCounts]:
    counts = SharedCounts()

    def look(*_: object) -> tuple[list[Payload | None], list[object]] | None:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return None if answer is None else ([answer[0]], [answer[1]])

    return Claims(look, counts, clock, clock.sleep), counts


def ticket() -> Ticket:
    return Ticket("m", b"pyrometer:1:0.0:m:", (0, 0), (0, 0))


def test_who_takes_the_claim_computes(clock: Clock) -> None:
    claims, counts = claims_with(clock, [(None, b"OK")])
    mine = ticket()
    assert claims.lead(mine, b"k", 0.1, False) is None
    assert (counts.led, mine.claim) == (1, b"pyrometer:1:claim:k")
    assert clock.now_s == 100.0


def test_who_does_not_waits_for_the_value_and_takes_over_a_claim_that_ended(clock: Clock) -> None:
    value = Payload(b"v", 0.0)
    claims, counts = claims_with(clock, [(None, None), (None, None), (value, None)])
    assert claims.lead(ticket(), b"k", 0.1, False) == value
    assert (counts.found, counts.led) == (1, 0)
    claims, counts = claims_with(clock, [(None, None), (None, b"OK")])
    assert claims.lead(ticket(), b"k", 0.1, False) is None
    assert (counts.found, counts.led) == (0, 1)


@pytest.mark.parametrize("expected_s", [0.02, 0.1, 60.0])
def test_nobody_waits_longer_than_twice_the_run_nor_the_bound(
    clock: Clock, expected_s: float
) -> None:
    claims, counts = claims_with(clock, [(None, None)])
    assert claims.lead(ticket(), b"k", expected_s, False) is None
    assert clock.now_s - 100.0 <= min(2 * expected_s, MOST_WAIT_S)
    assert (counts.lapsed, counts.led) == (1, 0)


def test_short_runs_are_claimed_by_nobody_and_a_store_that_is_away_holds_nobody_up(
    clock: Clock,
) -> None:
    claims, counts = claims_with(clock, [(None, b"OK")])
    assert claims.lead(ticket(), b"k", 0.0199, False) is None
    claims, counts = claims_with(clock, [None])
    assert claims.lead(ticket(), b"k", 1.0, False) is None
    assert (clock.now_s, counts.led, counts.lapsed) == (100.0, 0, 0)


# settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ada:lovelace@box:6380/3", "redis://box:6380/3"),
        ("rediss://:lovelace@box", "rediss://box:6379/0"),
        ("redis://:lovelace@[::1]:7000", "redis://[::1]:7000/0"),
        ("unix://ada:lovelace@/run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
        ("redis://box?username=ada&password=lovelace", "redis://box:6379/0"),
    ],
)
def test_a_url_is_shown_without_its_credentials(url: str, shown: str) -> None:
    assert Links(url, 3).shown_url == shown


@pytest.mark.parametrize(
    "url",
    [
        *("http://ada:lovelace@box", "lovelace", "redis://box:99999/lovelace"),
        *("redis://ada:love/lovelace@box:6379", "redis://box?lovelace=1"),
    ],
)
def test_a_url_that_is_none_names_the_setting_and_not_its_value(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^redis_url is not a URL of Redis") as raised:
        Links(url, 3)
    assert "lovelace" not in str(raised.value)


def test_without_the_package_the_start_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    settings = Settings(
        models=tmp_path / "none", state=tmp_path / "state", redis_url="redis://127.0.0.1:1/0"
    )
    with pytest.raises(ConfigurationError, match=r"redis_url .*pip install 'pyrometer\[redis\]'"):
        Engine(settings)


def test_an_engine_without_the_setting_has_no_part_of_it(tmp_path: Path) -> None:
    engine = Engine(Settings(models=tmp_path / "none", state=tmp_path / "state", history=False))
    try:
        assert (engine.shared, engine.runs.sharing) == (None, None)
        assert not {"shared-watch", "shared-writer"} & {thread.name for thread in engine._threads()}
        assert not [row for row in queues(engine) if row["queue"].startswith("shared")]
        assert not [name for name in state_families(engine) if "shared" in name]
    finally:
        engine.close()


def test_a_store_that_is_not_there_keeps_no_engine_from_starting_and_owes_the_flush(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    options = SharedOptions("redis://:lovelace@127.0.0.1:1/0", state=tmp_path / "epochs.json")
    tier = SharedTier(options, lambda group: None, said.append)
    tier.watch.look()
    assert tier.circuit.state == OPEN
    assert tier.flush("m") is False
    figures = tier.figures()
    assert (figures["owed"], figures["connections"], figures["p50_ms"]) == (1, 0, None)
    assert len(said) == 1
    assert "lovelace" not in f"{figures}{said}"
