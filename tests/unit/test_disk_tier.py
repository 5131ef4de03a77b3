"""The cache on disk when its disk does not do what it should: a miss, a count, and words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.caching import disk as disks
from engine.caching.disk import DiskTier
from tests.waiting import until


@pytest.fixture
def tier(tmp_path: Path) -> Iterator[DiskTier]:
    made = DiskTier(tmp_path / "cache", 10_000_000)
    yield made
    made.close(5)


def keep(tier: DiskTier, key: bytes, group: str = "m", payload: bytes = b"payload") -> None:
    before = tier.written
    tier.offer(key, lambda: payload, group)
    until(lambda: tier.written > before, 5, "written")


def hold_up(tier: DiskTier) -> threading.Event:
    """Have the writer wait over key 0 of group m, from now until what is returned is set."""
    go, began = threading.Event(), threading.Event()

    def slow() -> bytes:
        began.set()
        go.wait(20)
        return b"slow"

    tier.offer(b"0", slow, "m")
    assert began.wait(10)
    return go


class Failing:
    """In the place of a method of the cache's, until it is told to work again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tier: DiskTier, name: str) -> None:
        self.error: Exception | None = sqlite3.OperationalError("disk I/O error '/a b/cache.db'")
        method = getattr(tier._cache, name)

        def call(*arguments: Any, **more: Any) -> Any:
            if self.error is not None:
                raise self.error
            return method(*arguments, **more)

        monkeypatch.setattr(tier._cache, name, call)


def test_a_read_that_fails_is_a_miss_told_once(
    tier: DiskTier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tier, b"k")
    failing = Failing(monkeypatch, tier, "get")
    assert [tier.read(b"k"), tier.read(b"k")] == [None, None]
    assert tier.problem == "OperationalError: disk I/O error 'cache.db'"
    assert caplog.text.count("the cache on disk fails") == 1
    failing.error = None
    assert tier.read(b"k") == b"payload"
    assert (tier.hits, tier.misses) == (1, 2)


def test_a_write_that_fails_is_dropped_and_the_next_one_clears_the_problem(
    tier: DiskTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, tier, "set")
    tier.offer(b"k", lambda: b"payload", "m")
    until(lambda: tier.dropped == 1, 5, "dropped")
    assert tier.problem is not None
    failing.error = None
    keep(tier, b"k")
    until(lambda: tier.problem is None, 5, "no problem any more")
    assert tier.read(b"k") == b"payload"


def test_a_payload_that_cannot_be_made_is_dropped_alone(tier: DiskTier) -> None:
    def broken() -> bytes:
        raise ValueError("not an answer")

    tier.offer(b"k", broken, "m")
    keep(tier, b"j")
    assert (tier.dropped, tier.read(b"k"), tier.read(b"j")) == (1, None, b"payload")


def test_offers_beyond_the_queue_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "MAX_QUEUED", 2)
    tier = DiskTier(tmp_path / "cache", 10_000_000)
    go = hold_up(tier)
    for key in (b"1", b"2", b"3", b"4"):
        tier.offer(key, lambda: b"payload", "m")
    assert tier.dropped == 2
    assert tier.figures()["queued"] == 2
    go.set()
    until(lambda: tier.written == 3, 5, "the others are written")
    tier.close(5)


def test_a_flush_forgets_what_waits_to_be_written_too(tier: DiskTier) -> None:
    go = hold_up(tier)
    tier.offer(b"1", lambda: b"payload", "m")
    tier.clear()
    go.set()
    keep(tier, b"2")
    assert tier.read(b"1") is None


def test_a_group_s_flush_that_finds_the_queue_full_forgets_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "MAX_QUEUED", 2)
    tier = DiskTier(tmp_path / "cache", 10_000_000)
    go = hold_up(tier)
    tier.offer(b"1", lambda: b"payload", "m")
    tier.offer(b"2", lambda: b"payload", "m")
    tier.clear("m")
    go.set()
    until(lambda: tier.figures()["queued"] == 0, 5, "what waited was looked at")
    keep(tier, b"3")
    assert [tier.read(key) for key in (b"0", b"1", b"2", b"3")] == [None, None, None, b"payload"]
    tier.close(5)


def test_one_group_is_forgotten_and_what_waits_of_others_is_written(tier: DiskTier) -> None:
    keep(tier, b"a", "one")
    keep(tier, b"b", "two")
    tier.clear("one")
    until(lambda: tier.read(b"a") is None, 5, "forgotten")
    assert tier.read(b"b") == b"payload"
    assert {group: held.items for group, held in tier.groups().items()} == {"two": 1}


@pytest.mark.parametrize(("group", "method"), [(None, "clear"), ("m", "evict")])
def test_what_could_not_be_flushed_is_not_read_until_it_is(
    tier: DiskTier, monkeypatch: pytest.MonkeyPatch, group: str | None, method: str
) -> None:
    keep(tier, b"k")
    failing = Failing(monkeypatch, tier, method)
    tier.clear(group)
    until(lambda: tier.problem is not None, 5, "it failed")
    assert tier.read(b"k") is None
    failing.error = None
    keep(tier, b"j")  # clears what was owed first
    assert (tier.read(b"k"), tier.read(b"j")) == (None, b"payload")


def test_an_index_that_cannot_be_read_counts_nothing(
    tier: DiskTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tier, b"k")
    assert (tier.items, list(tier)) == (1, [b"k"])
    for name in ("_sql", "volume"):
        Failing(monkeypatch, tier, name) if name == "volume" else monkeypatch.setattr(
            type(tier._cache), "_sql", property(_broken)
        )
    assert (tier.items, tier.groups(), tier.ages_s()) == (0, {}, None)
    assert tier.figures()["bytes"] == 0
    monkeypatch.undo()
    assert tier.items == 1


def _broken(_: Any) -> Any:
    raise sqlite3.OperationalError("locked")


def test_ages_are_those_of_the_oldest_and_the_median(tier: DiskTier) -> None:
    assert tier.ages_s() is None
    for key in (b"a", b"b", b"c"):
        keep(tier, key)
    ages = tier.ages_s()
    assert ages is not None
    oldest, median = ages
    assert 0 <= median <= oldest < 60


def test_a_damaged_index_is_begun_anew(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / "cache", 10_000_000)
    keep(tier, b"k")
    tier.close(5)
    for path in (tmp_path / "cache").glob("cache.db*"):
        path.write_bytes(b"this is no database" * 1000)
    again = DiskTier(tmp_path / "cache", 10_000_000)
    assert again.read(b"k") is None
    keep(again, b"j")
    assert again.read(b"j") == b"payload"
    again.close(5)


def test_a_folder_that_cannot_be_one_is_the_callers_to_handle(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="exists"):
        DiskTier(tmp_path / "cache", 10_000_000)


def test_closing_does_not_wait_for_a_writer_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "MAX_QUEUED", 1)
    tier = DiskTier(tmp_path / "cache", 10_000_000)
    go = hold_up(tier)
    tier.offer(b"1", lambda: b"payload", "m")
    tier.close(0.05)
    go.set()
    tier.close(5)
