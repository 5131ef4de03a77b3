"""A cache tier on disk that survives a restart: bytes only, checked on every read.

    offer(key, payload) -> bounded queue -> one writer thread -> diskcache
    read(key)           <- digest checked <- diskcache

Written off the request path; a full queue drops what is offered. Values are
BLAKE2b-128(key + payload) + payload: a file that somebody changed reads as a miss. The cache's
own pickling is shut off (see SECURITY.md), and its folder is private.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import diskcache

from engine.caching.memory import Held

log = logging.getLogger(__name__)
DIGEST_BYTES = 16
MAX_QUEUED = 4096
BUSY_TIMEOUT_S = 2.0


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """diskcache's storage without pickle: keys and values are bytes, whatever else is refused."""

    def put(self, key: Any) -> tuple[Any, bool]:
        if type(key) is not bytes:
            raise TypeError("keys must be bytes")
        return super().put(key)  # type: ignore[no-any-return]

    def get(self, key: Any, raw: bool) -> Any:
        if not raw:
            raise ValueError("a pickled key is not read")
        return super().get(key, raw)

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> Any:
        if type(value) is not bytes or read:
            raise TypeError("values must be bytes")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode == diskcache.core.MODE_PICKLE:
            raise ValueError("a pickled value is not read")
        return super().fetch(mode, filename, value, read)


class DiskTier:
    """Payloads by key and group within a budget in bytes. A failing disk is a miss."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.hits = self.misses = self.written = self.dropped = self.refused = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(folder, 0o700)
        self._cache = diskcache.Cache(
            str(folder),
            disk=BytesDisk,
            size_limit=budget_bytes,
            eviction_policy="least-recently-stored",
            timeout=BUSY_TIMEOUT_S,
            tag_index=True,
        )
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(MAX_QUEUED)
        self._writer = threading.Thread(target=self._write, name="pyrometer-spill", daemon=True)
        self._writer.start()

    def offer(self, key: bytes, make_payload: Callable[[], bytes], group: str) -> None:
        """Have a payload written soon; it is made by the writer. Never waits."""
        self._submit(lambda: self._store(key, make_payload(), group))

    def _submit(self, job: Callable[[], None]) -> None:
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self.dropped += 1

    def _write(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except Exception:
                self.dropped += 1
                log.exception("a cached value could not be written")

    def _store(self, key: bytes, payload: bytes, group: str) -> None:
        self._cache.set(key, _digest(key, payload) + payload, tag=group)
        self.written += 1

    def read(self, key: bytes) -> bytes | None:
        """The payload, or None where it is absent or not what was written."""
        try:
            stored = self._cache.get(key)
        except Exception:
            log.exception("a cached value could not be read")
            stored = None
        payload = self._checked(key, stored)
        if payload is None:
            self.misses += 1
        else:
            self.hits += 1
        return payload

    def _checked(self, key: bytes, stored: Any) -> bytes | None:
        if type(stored) is not bytes:
            return None
        payload = stored[DIGEST_BYTES:]
        if _digest(key, payload) != stored[:DIGEST_BYTES]:
            self.refused += 1
            return None
        return payload

    def clear(self, group: str | None = None) -> None:
        """Forget one group or everything, what waits to be written included."""
        waiting = []
        while True:
            try:
                waiting.append(self._queue.get_nowait())
            except queue.Empty:
                break
        if group is not None:
            for job in waiting:
                if job is not None:
                    self._submit(job)
            self._submit(lambda: self._evict(group))
        else:
            self._cache.clear()

    def _evict(self, group: str) -> None:
        self._cache.evict(group)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._cache)

    @property
    def items(self) -> int:
        return len(self._cache)

    def groups(self) -> dict[str, Held]:
        """What each group has on disk: a read of the whole table."""
        # diskcache has no way to ask this; a value lies in its row or, when large, in a file.
        rows = self._cache._sql(
            "SELECT tag, COUNT(*), SUM(size + COALESCE(LENGTH(value), 0)) FROM Cache GROUP BY tag"
        )
        return {str(group): Held(items, size or 0) for group, items, size in rows.fetchall()}

    def ages_s(self) -> tuple[float, float] | None:
        """Ages of the oldest and of the median item; None while it is empty.

        Reads half of the index of the times of storing.
        """
        asked = "SELECT store_time FROM Cache ORDER BY store_time LIMIT 1 OFFSET ?"
        oldest = self._cache._sql(asked, (0,)).fetchone()
        median = self._cache._sql(asked, (self.items // 2,)).fetchone() or oldest
        if oldest is None:
            return None
        now_s = time.time()
        return max(0.0, now_s - oldest[0]), max(0.0, now_s - median[0])

    def figures(self) -> dict[str, int]:
        """Counts, as the metrics show them."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "written": self.written,
            "dropped": self.dropped,
            "refused": self.refused,
            "queued": self._queue.qsize(),
            "bytes": int(self._cache.volume()),
            "budget_bytes": self.budget_bytes,
        }

    def close(self, wait_s: float) -> None:
        """Write what waits, for at most wait_s."""
        try:
            self._queue.put(None, timeout=wait_s)
        except queue.Full:
            return
        self._writer.join(wait_s)
        self._cache.close()


def _digest(key: bytes, payload: bytes) -> bytes:
    digest = blake2b(key, digest_size=DIGEST_BYTES)
    digest.update(payload)
    return digest.digest()
