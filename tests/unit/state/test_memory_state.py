"""A memory tier under any order of calls: what it answers, holds and counts."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.caching.key import SAMPLE_MASK
from engine.caching.memory import ITEM_OVERHEAD_BYTES, MISS, MemoryTier

BUDGET_BYTES = 120_000
KEYS = st.one_of(st.integers(0, 3), st.integers(0, 20))
GROUPS = st.sampled_from(["a", "b", "c"])
SIZES = st.one_of(st.integers(0, 500), st.integers(8000, 12_000))


class MemoryMachine(RuleBasedStateMachine):
    """Beside the tier: what was put last under each key, and the fate of every item."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.tier = MemoryTier(BUDGET_BYTES, clock_s=lambda: self.now_s)
        self.last: dict[int, tuple[Any, str, float]] = {}
        self.accepted = self.refused = self.lookups = self.skipped = 0
        self.flushed = self.replaced = self.serial = 0

    @initialize()
    def warm(self) -> None:
        for key in range(5):
            self.put(key, 100, "a", 0.0)

    @rule(key=KEYS, size=SIZES, group=GROUPS, ttl_s=st.sampled_from([0.0, 5.0, 60.0]))
    def put(self, key: int, size: int, group: str, ttl_s: float) -> None:
        self.serial += 1
        value = (key, self.serial)
        before, evicted = self.tier.items, self.tier.counters.evictions
        was_there = key in self.tier._items
        roomy = self.tier.bytes + size + ITEM_OVERHEAD_BYTES < 0.9 * self.tier.limit_bytes
        taken = self.tier.put(key, value, size, group, ttl_s)
        assert taken == ((size + ITEM_OVERHEAD_BYTES) * 10 <= BUDGET_BYTES)
        if not taken:
            self.refused += 1
            assert self.tier.items == before
            return
        self.accepted += 1
        gone = self.tier.counters.evictions - evicted
        assert self.tier.items == before + (not was_there) - gone, "gone, and not counted"
        self.replaced += was_there
        self.last[key] = (value, group, self.now_s + ttl_s if ttl_s else float("inf"))
        if roomy:
            assert gone == 0
            assert self.tier.get(key) == value
            self.lookups += 1

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        self.lookups += 1
        expired = self.tier.counters.expired
        found = self.tier.get(key)
        value, _, until_s = self.last.get(key, (MISS, "", 0.0))
        if found is not MISS:
            assert found == value
            assert self.now_s < until_s
        if self.tier.counters.expired > expired:
            assert self.now_s >= until_s
            del self.last[key]

    @rule(key=KEYS)
    def get_twice(self, key: int) -> None:
        """What was there a moment ago is there still: a look evicts nothing."""
        self.lookups += 2
        first = self.tier.get(key)
        assert self.tier.get(key) == first

    @rule(key=KEYS, ttl_s=st.sampled_from([1.0, 5.0]), early=st.booleans())
    def expire(self, key: int, ttl_s: float, early: bool) -> None:
        self.put(key, 10, "a", ttl_s)
        self.now_s += ttl_s - early * 0.5
        self.get(key)

    @rule(group=st.one_of(st.none(), GROUPS))
    def clear(self, group: str | None) -> None:
        before = self.tier.groups()
        items, freed = self.tier.clear(group)
        gone = before if group is None else {group: before[group]} if group in before else {}
        assert items == sum(held.items for held in gone.values())
        assert freed == sum(held.bytes for held in gone.values())
        assert self.tier.groups() == {n: held for n, held in before.items() if n not in gone}
        self.flushed += items
        for key, (_, of, _) in list(self.last.items()):
            if group in (None, of):
                del self.last[key]

    @rule(share=st.sampled_from([0.1, 0.5, 1.0]))
    def trim(self, share: float) -> None:
        held, evicted = self.tier.bytes, self.tier.counters.evictions
        items, freed = self.tier.trim(share)
        assert self.tier.counters.evictions - evicted == items
        assert held - self.tier.bytes == freed >= share * held - 1e-6

    @rule(share=st.sampled_from([0.0, 0.05, 0.5, 1.0, 2.0]))
    def limit(self, share: float) -> None:
        self.tier.limit(int(BUDGET_BYTES * share))
        assert self.tier.limit_bytes == int(BUDGET_BYTES * min(1.0, share))

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(key=st.integers(1000, 100_000))
    def ask_for_nothing_for_long(self, key: int) -> None:
        """No hit in so many lookups: it sleeps, and looks only at its sample."""
        for ordinal in range(2500):
            assert self.tier.get(key + 100_001 * ordinal) is MISS
        self.lookups += 2500
        assert not self.tier.awake

    @rule(key=KEYS)
    def skips(self, key: int) -> None:
        skipped = self.tier.skips(key)
        assert skipped == (not self.tier.awake and bool(hash(key) & SAMPLE_MASK))
        self.skipped += skipped

    @precondition(lambda self: self.tier.items)
    @rule()
    def ages(self) -> None:
        found = self.tier.ages_s()
        assert found is not None
        assert found[0] >= found[1] >= 0

    @invariant()
    def within_its_limit(self) -> None:
        assert 0 <= self.tier.bytes <= self.tier.limit_bytes <= BUDGET_BYTES

    @invariant()
    def groups_are_what_is_held(self) -> None:
        groups = self.tier.groups().values()
        assert sum(held.items for held in groups) == self.tier.items
        assert sum(held.bytes for held in groups) == self.tier.bytes
        assert all(held.items > 0 for held in groups)
        assert self.tier.bytes >= self.tier.items * ITEM_OVERHEAD_BYTES

    @invariant()
    def counters_add_up(self) -> None:
        counters = self.tier.counters
        assert counters.hits + counters.misses == self.lookups
        assert counters.rejected == self.refused
        assert counters.bypassed == self.skipped
        gone = counters.evictions + counters.expired + self.flushed + self.replaced
        assert self.accepted == self.tier.items + gone
        assert 0 <= self.replaced <= self.accepted


TestMemoryState = MemoryMachine.TestCase
TestMemoryState.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
