"""What the tiers keep, what they refuse, and what survives."""

from __future__ import annotations

import pickle
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import cache_replay
from engine.caching.budget import MemoryBudget
from engine.caching.disk import BytesDisk, DiskTier
from engine.caching.frequency import LEAST_CELLS, MOST_CELLS, MOST_COUNT, FrequencySketch
from engine.caching.key import MatrixKey, result_key
from engine.caching.memory import ITEM_OVERHEAD_BYTES, MISS, WINDOW_LOOKUPS, MemoryTier
from engine.caching.payload import dump_run, load_run
from tests.waiting import until


@pytest.mark.parametrize(("share", "least"), [(0.1, 0.78), (0.25, 0.84)])
def test_what_is_asked_for_often_is_kept_and_a_scan_displaces_little(
    share: float, least: float
) -> None:
    found = cache_replay.replay(seed=0, share_of_distinct=share)
    assert found.tier >= least
    assert found.tier > found.lru
    assert found.tier - found.tier_mixed <= 0.05


def test_a_tier_never_holds_more_than_its_limit_and_counts_its_bytes() -> None:
    tier = MemoryTier(200_000)
    random = np.random.default_rng(3)
    for _ in range(5_000):
        key = b"%d" % random.integers(400)
        if tier.get(key) is MISS:
            tier.put(key, key, int(random.integers(1, 5_000)), "m")
        assert tier.bytes <= 200_000
    assert tier.items > 20
    tier.limit(50_000)
    assert tier.bytes <= 50_000
    items, freed = tier.items, tier.bytes
    assert tier.clear() == (items, freed)
    assert (tier.items, tier.bytes) == (0, 0)


def test_a_value_expires() -> None:
    now = [100.0]
    tier = MemoryTier(100_000, clock_s=lambda: now[0])
    tier.put(b"a", 1, 10, "m", ttl_s=5)
    tier.put(b"b", 2, 10, "m")
    now[0] = 104.9
    assert tier.get(b"a") == 1
    now[0] = 105.0
    assert tier.get(b"a") is MISS
    assert tier.get(b"b") == 2
    assert tier.counters.expired == 1


def test_a_tier_that_is_no_use_sleeps_and_wakes_when_it_would_be() -> None:
    tier = MemoryTier(10**9)
    for place in range(2 * WINDOW_LOOKUPS):
        cache_replay.ask(tier, b"unique %d" % place)
    assert not tier.awake
    held = tier.items
    for place in range(3200):
        cache_replay.ask(tier, b"more %d" % place)
    assert tier.items - held < 100
    for _ in range(30):
        for place in range(3200):
            cache_replay.ask(tier, b"again %d" % place)
    assert tier.awake


def test_counts_age_and_their_memory_is_bounded() -> None:
    sketch = FrequencySketch(period=50)
    for _ in range(49):
        sketch.add(b"a")
    assert sketch.count(b"a") == MOST_COUNT
    sketch.add(b"b")
    assert sketch.count(b"a") == MOST_COUNT // 2
    crowded = FrequencySketch(period=LEAST_CELLS // 4)
    for place in range(LEAST_CELLS):
        crowded.add(b"%d" % place)
    assert LEAST_CELLS < len(crowded._cells) <= MOST_CELLS


def test_the_process_budget_shrinks_the_tiers_and_gives_back() -> None:
    tiers = [MemoryTier(60_000), MemoryTier(30_000)]
    models = [0]
    budget = MemoryBudget(200_000, tiers, lambda: models[0])
    for place in range(200):
        for tier in tiers:
            tier.put(b"%d" % place, place, 300, "m")
    held = sum(tier.bytes for tier in tiers)
    budget.balance(100_000 + held)
    assert [tier.limit_bytes for tier in tiers] == [60_000, 30_000]
    models[0] = 55_000
    budget.balance(100_000 + models[0] + held)
    assert [tier.limit_bytes for tier in tiers] == [30_000, 15_000]
    assert sum(tier.bytes for tier in tiers) <= 45_000
    models[0] = 0
    budget.balance(100_000 + sum(tier.bytes for tier in tiers))
    assert [tier.limit_bytes for tier in tiers] == [60_000, 30_000]


def test_the_key_of_a_matrix_is_the_key_of_its_tensors() -> None:
    key_of = MatrixKey(b"digest", "input", ("predict",))
    rows = np.random.default_rng(1).normal(size=(6, 4))
    for part in (rows[:1], rows[1:2], rows[2:6]):
        assert key_of(part) == result_key(b"digest", {"input": part}, ("predict",))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskTier]:
    tier = DiskTier(tmp_path / "cache", 10_000_000)
    yield tier
    tier.close(5)


def written(tier: DiskTier, count: int) -> None:
    until(lambda: tier.written >= count, 5, "written")


def test_values_survive_a_restart_in_a_private_folder(disk: DiskTier, tmp_path: Path) -> None:
    disk.offer(b"k", lambda: b"payload", "m")
    written(disk, 1)
    disk.close(5)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    again = DiskTier(tmp_path / "cache", 10_000_000)
    assert again.read(b"k") == b"payload"
    assert again.read(b"other") is None
    again.clear("m")
    until(lambda: again.read(b"k") is None, 5, "forgotten")
    again.close(5)


def test_what_was_flushed_is_not_read_although_the_writer_is_still_at_work(disk: DiskTier) -> None:
    held, goes_on = threading.Event(), threading.Event()

    def make() -> bytes:
        held.set()
        goes_on.wait(10)
        return b"made before the flush"

    disk.offer(b"k" * 20, lambda: b"value", "m")
    disk.offer(b"n" * 20, lambda: b"value", "n")
    written(disk, 2)
    disk.offer(b"l" * 20, make, "m")
    assert held.wait(5)
    disk.clear("m")
    assert disk.read(b"k" * 20, "m") is None
    assert disk.read(b"n" * 20, "n") == b"value", "another's"
    disk.clear()
    goes_on.set()
    disk.offer(b"o" * 20, lambda: b"new", "m")
    until(lambda: disk.read(b"o" * 20, "m") == b"new", 5, "what is new is kept")
    assert disk.read(b"l" * 20, "m") is None
    assert list(disk) == [b"o" * 20]


def test_a_value_that_was_changed_is_a_miss(disk: DiskTier) -> None:
    disk.offer(b"k", lambda: b"payload", "m")
    written(disk, 1)
    stored = disk._cache.get(b"k")
    disk._cache.set(b"k", stored[:-1] + b"X")
    disk._cache.set(b"j", stored)  # another key's value
    assert disk.read(b"k") is None
    assert disk.read(b"j") is None
    assert disk.refused == 2


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("exploded"),))  # type: ignore[return-value]


def test_nothing_is_pickled_or_unpickled(disk: DiskTier, tmp_path: Path) -> None:
    import diskcache

    with pytest.raises(TypeError):
        disk._cache.set(b"k", {"not": "bytes"})
    with pytest.raises(TypeError):
        disk._cache.set("text", b"v")
    plain = diskcache.Cache(str(tmp_path / "cache"), disk=diskcache.Disk)
    plain.set(b"bomb", Bomb())
    plain.close()
    assert disk.read(b"bomb") is None
    assert not Path("exploded").exists()
    assert disk._cache.disk.__class__ is BytesDisk


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array([1, 2], dtype=np.int64),
        np.array([[True], [False]]),
        np.array([["a", ""], ["é", "\x00"]], dtype=object),
        np.zeros((0, 4), dtype=np.float32),
    ],
)
def test_answers_go_to_bytes_and_back(array: np.ndarray) -> None:
    outputs, form = load_run(dump_run({"out": array, "two": array}, "a form"))
    assert form == "a form"
    for name in ("out", "two"):
        np.testing.assert_array_equal(outputs[name], array)
        assert outputs[name].dtype == array.dtype
        assert not outputs[name].flags.writeable


@pytest.mark.parametrize("value", [None, 1, 1.5, b"a"])
def test_text_that_is_none_is_made_no_text_of(value: object) -> None:
    with pytest.raises(TypeError, match="is no text"):
        dump_run({"out": np.array(["a", value], dtype=object)}, "a form")


@pytest.mark.parametrize("payload", [b"", b"\x05\x00\x00\x00{}", pickle.dumps({}), b"\xff" * 40])
def test_bytes_that_are_no_answer_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        load_run(payload)


def test_items_are_charged_for_their_overhead() -> None:
    tier = MemoryTier(100 * ITEM_OVERHEAD_BYTES)
    for place in range(500):
        tier.put(b"%d" % place, None, 0, "m")
    assert tier.items <= 100
