"""How many different callers each variant had, in bounded memory.

A caller's number is kept while it falls into the sampled part of all numbers. When too many
are kept the part is halved and those outside are dropped (Wegman's adaptive sampling): what
stays is a uniform sample of the callers, each counted once however often it came.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MOST_KEPT = 65_536


class Units:
    """Numbers of callers by variant. Not safe for several threads: its owner locks."""

    def __init__(self, variants: int, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept: list[set[int]] = [set() for _ in range(variants)]
        self._mask = 0

    def add(self, variant: int, unit: int) -> None:
        if unit & self._mask:
            return
        kept = self._kept[variant]
        kept.add(unit)
        if len(kept) > self._most // len(self._kept):
            self._halve()

    def _halve(self) -> None:
        self._mask = (self._mask << 1) | 1
        self._kept = [{unit for unit in kept if not unit & self._mask} for kept in self._kept]

    @property
    def counts(self) -> list[int]:
        """Callers kept of each variant; all of them while `is_sample` is False."""
        return [len(kept) for kept in self._kept]

    @property
    def is_sample(self) -> bool:
        return bool(self._mask)

    def as_arrays(self) -> dict[str, np.ndarray]:
        """For storing."""
        parts = {
            f"units_{at}": np.fromiter(one, np.uint64, len(one))
            for at, one in enumerate(self._kept)
        }
        return parts | {"units_mask": np.array([self._mask], dtype=np.uint64)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `as_arrays`. Raises KeyError where something is missing."""
        self._mask = int(arrays["units_mask"][0])
        self._kept = [{int(u) for u in arrays[f"units_{at}"]} for at in range(len(self._kept))]
