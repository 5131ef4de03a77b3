"""How often keys were asked for lately, in fixed memory: two counters a key, of 0 to 15.

The smaller of a key's two counters is its count, so that two keys must share both cells to be
mistaken for each other. After `period` additions all counters are halved, so that what was
popular once makes room.
"""

from __future__ import annotations

from collections.abc import Hashable

LEAST_CELLS = 1 << 19
MOST_CELLS = 1 << 22
MOST_COUNT = 15
_HALVES = bytes(count >> 1 for count in range(256))


class FrequencySketch:
    """Counts of keys. Not safe to share between threads without a lock.

    It doubles while more than a quarter of its cells are taken: few cells for many keys would
    call all of them popular. MOST_CELLS bytes are its bound. period: additions between two
    halvings, for its owner to set.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self._cells = bytearray(LEAST_CELLS)
        self._mask = LEAST_CELLS - 1
        self._additions = 0

    def add(self, key: Hashable) -> None:
        cells, mask, digest = self._cells, self._mask, hash(key)
        first, second = digest & mask, (digest >> 24) & mask
        if cells[first] < MOST_COUNT:
            cells[first] += 1
        if cells[second] < MOST_COUNT:
            cells[second] += 1
        self._additions += 1
        if self._additions >= self.period:
            self._age()

    def count(self, key: Hashable) -> int:
        digest, mask = hash(key), self._mask
        return min(self._cells[digest & mask], self._cells[(digest >> 24) & mask])

    def _age(self) -> None:
        cells = self._cells
        if 4 * (len(cells) - cells.count(0)) > len(cells) and len(cells) < MOST_CELLS:
            # A key's counters lie at the same places of both copies.
            cells = cells + cells
            self._mask = len(cells) - 1
        self._cells = cells.translate(_HALVES)
        self._additions //= 2
