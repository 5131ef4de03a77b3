"""Sums by name: of the last hour, minute by minute, and since the start."""

from __future__ import annotations

import numpy as np

MINUTES = 60
MOST_NAMES = 200
OTHER = "(other)"


class Hourly:
    """Vectors of `width` figures by name; names beyond MOST_NAMES are one. For one writer.

    gained, lost: since the start, float64 (width,) by name, both positive: a negative figure
    is added to what was lost.
    """

    def __init__(self, width: int) -> None:
        self.gained: dict[str, np.ndarray] = {}
        self.lost: dict[str, np.ndarray] = {}
        self._width = width
        self._minutes: dict[int, dict[str, np.ndarray]] = {}

    def add(self, name: str, values: np.ndarray, now_s: float) -> None:
        """Add figures, float64 (width,). now_s: monotonic."""
        if name not in self.gained:
            name = name if len(self.gained) < MOST_NAMES else OTHER
            # New dicts: whoever reads one meanwhile keeps it as it was.
            self.gained = {name: np.zeros(self._width)} | self.gained
            self.lost = {name: np.zeros(self._width)} | self.lost
        self.gained[name] += np.maximum(values, 0.0)
        self.lost[name] += np.maximum(-values, 0.0)
        minute = int(now_s // 60)
        if minute not in self._minutes:
            kept = {at: of for at, of in self._minutes.items() if at > minute - MINUTES}
            self._minutes = kept | {minute: {}}
        bucket = self._minutes[minute]
        bucket[name] = bucket.get(name, 0.0) + values

    def last_hour(self, now_s: float) -> dict[str, np.ndarray]:
        """Gained minus lost in the running minute and the 59 before it, by name."""
        first, found = int(now_s // 60) - MINUTES + 1, dict[str, np.ndarray]()
        for minute, bucket in self._minutes.items():
            if minute >= first:
                for name, values in tuple(bucket.items()):
                    found[name] = found.get(name, 0.0) + values
        return found
