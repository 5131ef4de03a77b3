"""Counters of a bounded number for the `limits` library, whose own in memory have no bound."""

from __future__ import annotations

import threading
import time

from limits.storage import Storage

from app.access.callers import Clock


class Counters(Storage):
    """Counts that end with their windows; most: how many are kept."""

    STORAGE_SCHEME = None

    def __init__(self, most: int, clock: Clock = time.time) -> None:
        super().__init__()
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now_s = self._clock()
        with self._lock:
            count, until_s = self._counts.get(key, (0, 0.0))
            if until_s <= now_s:
                count, until_s = 0, now_s + expiry
                if key not in self._counts and len(self._counts) >= self._most:
                    self._drop(now_s)
            self._counts[key] = (count + amount, until_s)
            return count + amount

    def _drop(self, now_s: float) -> None:
        self._counts = {key: one for key, one in self._counts.items() if one[1] > now_s}
        while len(self._counts) >= self._most:
            del self._counts[next(iter(self._counts))]

    def get(self, key: str) -> int:
        count, until_s = self._counts.get(key, (0, 0.0))
        return count if until_s > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        return self._counts.get(key, (0, self._clock()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._lock:
            count = len(self._counts)
            self._counts.clear()
            return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)
