"""A cache tier on disk that survives a restart: bytes only, checked on every read.

    offer(key, payload) -> bounded queue -> one writer thread -> diskcache
    read(key)           <- digest checked <- diskcache

Written off the request path; a full queue drops what is offered. Values are
BLAKE2b-128(key + payload) + payload: a file that somebody changed reads as a miss. The cache's
own pickling is shut off (see SECURITY.md), and its folder is private.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import diskcache

from engine.caching.memory import Held
from engine.errors import without_folders
from engine.supervised import Supervised

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
    """Payloads by key and group within a budget in bytes. A failing disk is a miss.

    Raises OSError or sqlite3.Error where the folder cannot be used at all. problem: what the disk
    said last, until it works again.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.hits = self.misses = self.written = self.dropped = self.refused = 0
        self.problem: str | None = None
        self._owes_clear = False
        self._generation = 0
        self._evicting: dict[object, str] = {}
        self._writing, self._changing = threading.Lock(), threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(folder, 0o700)
        self._cache = _opened(folder, budget_bytes)
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(MAX_QUEUED)
        self.thread = Supervised("spill", self._write)
        self.thread.start()

    def offer(self, key: bytes, make_payload: Callable[[], bytes], group: str) -> None:
        """Have a payload written soon; it is made by the writer. Never waits."""
        generation = self._generation
        self._submit(lambda: self._store(key, make_payload(), group, generation))

    def _submit(self, job: Callable[[], None]) -> bool:
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def _write(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except Exception as error:
                self.dropped += 1
                self._failed(error)
            else:
                self.problem = None

    def _store(self, key: bytes, payload: bytes, group: str, generation: int) -> None:
        with self._writing:
            if generation != self._generation:
                return  # everything was flushed since it was offered
            if self._owes_clear:
                self._clear_all()
            self._cache.set(key, _digest(key, payload) + payload, tag=group)
            self.written += 1

    def read(self, key: bytes, group: str = "") -> bytes | None:
        """The payload, or None where it is absent, being flushed or not what was written."""
        hidden = self._owes_clear or (group and group in self._evicting.values())
        try:
            stored = None if hidden else self._cache.get(key)
        except Exception as error:
            self._failed(error)
            stored = None
        payload = self._checked(key, stored)
        if payload is None:
            self.misses += 1
        else:
            self.hits += 1
        return payload

    def _failed(self, error: Exception) -> None:
        """Said once: a full disk fails for every value."""
        if self.problem is None:
            log.error("the cache on disk fails: %s: %s", type(error).__name__, error)
        self.problem = f"{type(error).__name__}: {without_folders(str(error))}"

    def _asked(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the index; none where it cannot be read."""
        try:
            # diskcache has no way to ask this.
            found: list[tuple[Any, ...]] = self._cache._sql(query, values).fetchall()
        except Exception as error:
            self._failed(error)
            return []
        return found

    def _checked(self, key: bytes, stored: Any) -> bytes | None:
        if type(stored) is not bytes:
            return None
        payload = stored[DIGEST_BYTES:]
        if _digest(key, payload) != stored[:DIGEST_BYTES]:
            self.refused += 1
            return None
        return payload

    def clear(self, group: str | None = None) -> None:
        """Forget one group or everything, what waits to be written included.

        From now on nothing of it is read, although a group goes only when the writer comes to it.
        """
        flush = object()
        with self._changing:
            if group is not None:
                # A new one each time: readers look through the one that they have.
                self._evicting = self._evicting | {flush: group}
                if not self._submit(lambda: self._evict(group, flush)):
                    self._generation += 1  # what waits is older than the flush
                    self._owes_clear = True
                    self._forget(flush)
                return
            self._generation += 1
            self._owes_clear = True
            self._drop_waiting()
            self._evicting = {}
        try:
            with self._writing:
                self._clear_all()
        except Exception as error:
            self._failed(error)

    def _clear_all(self) -> None:
        """Where the disk does not let go of what it has, nothing of it is read until it does."""
        self._owes_clear = True
        self._cache.clear()
        self._owes_clear = False

    def _evict(self, group: str, flush: object) -> None:
        try:
            self._cache.evict(group)
        except Exception:
            self._owes_clear = True
            raise
        finally:
            with self._changing:
                self._forget(flush)

    def _forget(self, flush: object) -> None:
        left = self._evicting.items()
        self._evicting = {one: group for one, group in left if one is not flush}

    def _drop_waiting(self) -> None:
        """Take out what waits, but for the word to end."""
        ends = False
        with contextlib.suppress(queue.Empty):
            while True:
                ends |= self._queue.get_nowait() is None
        if ends:
            self._queue.put_nowait(None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._cache)

    @property
    def items(self) -> int:
        return self._setting("count")

    def _setting(self, name: str) -> int:
        """One of the index' own counts; 0 where it cannot be read."""
        found = self._asked("SELECT value FROM Settings WHERE key = ?", name)
        return int(found[0][0]) if found else 0

    def groups(self) -> dict[str, Held]:
        """What each group has on disk: a read of the whole table."""
        # A value lies in its row or, when large, in a file.
        rows = self._asked(
            "SELECT tag, COUNT(*), SUM(size + COALESCE(LENGTH(value), 0)) FROM Cache GROUP BY tag"
        )
        return {str(group): Held(items, size or 0) for group, items, size in rows}

    def ages_s(self) -> tuple[float, float] | None:
        """Ages of the oldest and of the median item; None while it is empty.

        Reads half of the index of the times of storing.
        """
        asked = "SELECT store_time FROM Cache ORDER BY store_time LIMIT 1 OFFSET ?"
        oldest = self._asked(asked, 0)
        median = self._asked(asked, self.items // 2) or oldest
        if not oldest:
            return None
        now_s = time.time()
        return max(0.0, now_s - oldest[0][0]), max(0.0, now_s - median[0][0])

    def figures(self) -> dict[str, int]:
        """Counts, as the metrics show them."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "written": self.written,
            "dropped": self.dropped,
            "refused": self.refused,
            "queued": self._queue.qsize(),
            "bytes": self._bytes(),
            "budget_bytes": self.budget_bytes,
        }

    def _bytes(self) -> int:
        try:
            return int(self._cache.volume())
        except Exception as error:
            self._failed(error)
            return 0

    def close(self, wait_s: float) -> None:
        """Write what waits, for at most wait_s."""
        try:
            self._queue.put(None, timeout=wait_s)
        except queue.Full:
            return
        self.thread.join(wait_s)
        self._cache.close()


def _opened(folder: Path, budget_bytes: int) -> Any:
    """The cache in a folder; what is damaged is deleted and begun anew."""
    try:
        return _cache_in(folder, budget_bytes)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked, full, read-only: not damaged
        log.error("the cache in %s is damaged and begun anew: %s", folder, error)
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        return _cache_in(folder, budget_bytes)


def _cache_in(folder: Path, budget_bytes: int) -> Any:
    return diskcache.Cache(
        str(folder),
        disk=BytesDisk,
        size_limit=budget_bytes,
        eviction_policy="least-recently-stored",
        timeout=BUSY_TIMEOUT_S,
        tag_index=True,
    )


def _digest(key: bytes, payload: bytes) -> bytes:
    digest = blake2b(key, digest_size=DIGEST_BYTES)
    digest.update(payload)
    return digest.digest()
