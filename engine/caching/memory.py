r"""A cache tier in memory, in bytes, that keeps what is asked for often (W-TinyLFU).

    put -> window (1 %) -> contest -> probation -> protected
                              \-> out                 (80 % of the rest)

A newcomer enters a small window. When the window is full its oldest item contends with the
oldest item on probation: the one asked for more often stays, so that a scan of rows that
nobody asks for twice displaces nothing. An item asked for again on probation is protected.

A tier that is no use sleeps: while fewer than 1 in 100 lookups hit, only a sample of keys
(1 in 128, always the same ones) is looked up and kept, until the sample hits again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from engine.caching.frequency import FrequencySketch
from engine.caching.key import SAMPLE_MASK


class _Miss:
    def __repr__(self) -> str:
        return "MISS"


MISS: Final = _Miss()
"""What `get` answers for an absent key; no value can be mistaken for it."""

ITEM_OVERHEAD_BYTES = 732
"""Key, dict entries, item and array headers of one item, measured on CPython 3.11."""
WINDOW_SHARE = 0.01
PROTECTED_SHARE = 0.8
PERIOD_PER_ITEM = 50
LEAST_ITEMS = 1024
WINDOW_LOOKUPS = 2048
WAKE_LOOKUPS = 128
LEAST_HIT_SHARE = 0.01


@dataclass(slots=True)
class TierCounters:
    """Exact counts since start. bypassed: lookups not made while the tier slept."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    rejected: int = 0
    expired: int = 0
    bypassed: int = 0


@dataclass(slots=True)
class Held:
    """What a group has in a tier."""

    items: int = 0
    bytes: int = 0


class _Item:
    __slots__ = ("expires_s", "group", "segment", "size", "stored_s", "value")

    def __init__(
        self, value: Any, size: int, group: Hashable, stored_s: float, expires_s: float
    ) -> None:
        self.value, self.size, self.group = value, size, group
        self.stored_s, self.expires_s = stored_s, expires_s
        self.segment: _Segment


class _Segment:
    """Items by key, the least recently used first, and their bytes."""

    __slots__ = ("bytes", "keys")

    def __init__(self) -> None:
        self.keys: OrderedDict[Hashable, _Item] = OrderedDict()
        self.bytes = 0

    def add(self, key: Hashable, item: _Item) -> None:
        self.keys[key] = item
        self.bytes += item.size
        item.segment = self

    def remove(self, key: Hashable, item: _Item) -> None:
        del self.keys[key]
        self.bytes -= item.size

    def oldest(self) -> tuple[Hashable, _Item]:
        key = next(iter(self.keys))
        return key, self.keys[key]


class MemoryTier:
    """Values by key within a budget in bytes. Safe to call from any thread.

    An item larger than a tenth of the budget is not admitted. `group` is the model an item
    belongs to, so that one model can be flushed alone. limit_bytes: what it may hold now.
    judged: hits and lookups that the last judgement was by; (0, 0) before the first.
    """

    def __init__(self, budget_bytes: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.budget_bytes = budget_bytes
        self.limit_bytes = budget_bytes
        self.counters = TierCounters()
        self.awake = True
        self.judged = (0, 0)
        self._items: dict[Hashable, _Item] = {}
        self._groups: dict[Hashable, Held] = {}
        self._window, self._probation, self._protected = _Segment(), _Segment(), _Segment()
        self._sketch = FrequencySketch(PERIOD_PER_ITEM * LEAST_ITEMS)
        self._clock_s = clock_s
        self._lookups = self._window_hits = 0
        self._lock = threading.Lock()

    def skips(self, key: Hashable) -> bool:
        """True while the tier sleeps and this key is none of its sample: neither get nor put."""
        if self.awake or not hash(key) & SAMPLE_MASK:
            return False
        self.counters.bypassed += 1
        return True

    def get(self, key: Hashable) -> Any:
        """The value, now more likely to stay, or MISS."""
        with self._lock:
            self._sketch.add(key)
            item = self._items.get(key)
            if item is not None and item.expires_s and self._clock_s() >= item.expires_s:
                self._drop(key, item)
                self.counters.expired += 1
                item = None
            if self._lookups >= (WINDOW_LOOKUPS if self.awake else WAKE_LOOKUPS):
                self._judge()
            self._lookups += 1
            if item is None:
                self.counters.misses += 1
                return MISS
            self.counters.hits += 1
            self._window_hits += 1
            segment = item.segment
            segment.keys.move_to_end(key)
            if segment is self._probation:
                self._protect(key, item)
            return item.value

    def _judge(self) -> None:
        """Sleep or wake by the share of hits since the last judgement."""
        self.judged = self._window_hits, self._lookups
        self.awake = self._window_hits >= LEAST_HIT_SHARE * self._lookups
        self._lookups = self._window_hits = 0

    def _protect(self, key: Hashable, item: _Item) -> None:
        self._probation.remove(key, item)
        self._protected.add(key, item)
        most_bytes = PROTECTED_SHARE * self.limit_bytes
        while self._protected.bytes > most_bytes and len(self._protected.keys) > 1:
            oldest, moved = self._protected.oldest()
            self._protected.remove(oldest, moved)
            self._probation.add(oldest, moved)

    def put(
        self, key: Hashable, value: Any, size_bytes: int, group: Hashable, ttl_s: float = 0.0
    ) -> bool:
        """Offer a value; False when it is too large. ttl_s: 0 keeps it until it must go."""
        size_bytes += ITEM_OVERHEAD_BYTES
        if size_bytes * 10 > self.budget_bytes:
            self.counters.rejected += 1
            return False
        stored_s = self._clock_s()
        item = _Item(value, size_bytes, group, stored_s, stored_s + ttl_s if ttl_s else 0.0)
        with self._lock:
            previous = self._items.get(key)
            if previous is not None:
                self._drop(key, previous)
            self._items[key] = item
            self._window.add(key, item)
            held = self._groups.get(group)
            if held is None:
                held = self._groups[group] = Held()
            held.items += 1
            held.bytes += size_bytes
            self._sketch.period = PERIOD_PER_ITEM * max(LEAST_ITEMS, len(self._items))
            self._settle()
        return True

    def _settle(self) -> None:
        """Move items on until every segment is within its share."""
        most_bytes = WINDOW_SHARE * self.limit_bytes
        while self._window.bytes > most_bytes and self._window.keys:
            key, item = self._window.oldest()
            self._window.remove(key, item)
            if self._has_room_for(key, item):
                self._probation.add(key, item)
            else:
                self._forget(key, item)
                self.counters.evictions += 1
        while self.bytes > self.limit_bytes:
            self._evict_oldest()

    def _has_room_for(self, key: Hashable, item: _Item) -> bool:
        """Under the lock: evict what is asked for less often; False when that is the newcomer."""
        most_bytes = self.limit_bytes - WINDOW_SHARE * self.limit_bytes
        count = -1
        while self._probation.bytes + self._protected.bytes + item.size > most_bytes:
            segment = self._probation if self._probation.keys else self._protected
            if not segment.keys:
                return False
            victim, held = segment.oldest()
            count = self._sketch.count(key) if count < 0 else count
            if count <= self._sketch.count(victim):
                return False
            self._drop(victim, held)
            self.counters.evictions += 1
        return True

    def _evict_oldest(self) -> None:
        for segment in (self._probation, self._protected, self._window):
            if segment.keys:
                self._drop(*segment.oldest())
                self.counters.evictions += 1
                return

    def _drop(self, key: Hashable, item: _Item) -> None:
        self._forget(key, item)
        item.segment.remove(key, item)

    def _forget(self, key: Hashable, item: _Item) -> None:
        """An item that has left its segment, or is about to."""
        del self._items[key]
        held = self._groups[item.group]
        held.items -= 1
        held.bytes -= item.size
        if not held.items:
            del self._groups[item.group]

    def limit(self, limit_bytes: int) -> None:
        """Hold no more than this from now on, at most the budget."""
        with self._lock:
            self.limit_bytes = max(0, min(self.budget_bytes, limit_bytes))
            self._settle()

    def trim(self, share: float) -> tuple[int, int]:
        """Evict this share of the bytes, the longest unused first; returns (items, bytes) freed."""
        with self._lock:
            items, held = len(self._items), self.bytes
            while self._items and self.bytes > (1 - share) * held:
                self._evict_oldest()
            return items - len(self._items), held - self.bytes

    def clear(self, group: Hashable | None = None) -> tuple[int, int]:
        """Drop one group or everything; returns (items, bytes) freed."""
        with self._lock:
            found = [
                (key, item)
                for key, item in self._items.items()
                if group is None or item.group == group
            ]
            for key, item in found:
                self._drop(key, item)
        return len(found), sum(item.size for _, item in found)

    def groups(self) -> dict[Hashable, Held]:
        """What each group has in it now."""
        with self._lock:
            return {group: Held(held.items, held.bytes) for group, held in self._groups.items()}

    def ages_s(self) -> tuple[float, float] | None:
        """Ages of the oldest and of the median item; None while it is empty.

        The lock is held for half of the items, about 6 ns each: they lie in the order in which
        they were put.
        """
        with self._lock:
            if not self._items:
                return None
            oldest = next(iter(self._items.values()))
            median = next(islice(self._items.values(), len(self._items) // 2, None))
            now_s = self._clock_s()
        return now_s - oldest.stored_s, now_s - median.stored_s

    @property
    def items(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        return self._window.bytes + self._probation.bytes + self._protected.bytes


def tensors_bytes(tensors: Mapping[str, np.ndarray]) -> int:
    """Bytes that tensors keep alive, the text of object arrays included."""
    total = 0
    for array in tensors.values():
        total += array.nbytes
        if array.dtype.kind == "O":
            total += sum(len(str(text)) + 56 for text in array.ravel())
    return total
