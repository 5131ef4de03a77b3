"""A cache tier in memory: least recently used by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np


class _Miss:
    def __repr__(self) -> str:
        return "MISS"


MISS: Final = _Miss()
"""What `get` answers for an absent key; no value can be mistaken for it."""

ITEM_OVERHEAD_BYTES = 600
"""Key, dict entry, tuple and array headers of one item, measured on CPython 3.11."""


@dataclass(slots=True)
class TierCounters:
    """Exact counts since start."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    rejected: int = 0


class MemoryTier:
    """Results by key within a budget in bytes.

    An item larger than a tenth of the budget is not admitted. `group` is the model an item
    belongs to, so that one model can be flushed alone.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.counters = TierCounters()
        self._items: OrderedDict[bytes, tuple[Any, int, Hashable]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Any:
        """The value, now the most recently used, or MISS."""
        with self._lock:
            item = self._items.get(key)
            if item is None:
                self.counters.misses += 1
                return MISS
            self._items.move_to_end(key)
            self.counters.hits += 1
            return item[0]

    def put(self, key: bytes, value: Any, size_bytes: int, group: Hashable) -> bool:
        """Keep a value, evicting the least recently used; False when it is too large."""
        size_bytes += ITEM_OVERHEAD_BYTES
        if size_bytes * 10 > self.budget_bytes:
            self.counters.rejected += 1
            return False
        with self._lock:
            previous = self._items.pop(key, None)
            if previous is not None:
                self._bytes -= previous[1]
            self._items[key] = (value, size_bytes, group)
            self._bytes += size_bytes
            while self._bytes > self.budget_bytes:
                _, (_, freed_bytes, _) = self._items.popitem(last=False)
                self._bytes -= freed_bytes
                self.counters.evictions += 1
        return True

    def clear(self, group: Hashable | None = None) -> tuple[int, int]:
        """Drop one group or everything; returns (items, bytes) freed."""
        with self._lock:
            keys = [k for k, item in self._items.items() if group is None or item[2] == group]
            freed_bytes = sum(self._items.pop(key)[1] for key in keys)
            self._bytes -= freed_bytes
        return len(keys), freed_bytes

    @property
    def items(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        return self._bytes


def tensors_bytes(tensors: Mapping[str, np.ndarray]) -> int:
    """Bytes that tensors keep alive, the text of object arrays included."""
    total = 0
    for array in tensors.values():
        total += array.nbytes
        if array.dtype.kind == "O":
            total += sum(len(str(text)) + 56 for text in array.ravel())
    return total
