"""The embedding cache: an encoder's output row by row, shared by all models that use it.

A row is computed once however many ask for it at the same time: the first caller encodes
it, those who come meanwhile wait for that row alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np

from engine.caching.disk import DiskTier
from engine.caching.memory import MISS, MemoryTier
from engine.caching.payload import dump_run, load_run

VECTOR = "vector"

Encode = Callable[[list[int]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors, one a row of the request; hits: rows found, or awaited from another caller."""

    vectors: np.ndarray
    hits: int
    misses: int


@dataclass(slots=True)
class EncoderUse:
    """Rows of one encoder since start. encode_ns: what those encoded took."""

    hits: int = 0
    disk_hits: int = 0
    encoded: int = 0
    encode_ns: int = 0


class EmbeddingCache:
    """Rows by key in a memory tier, with one computation a row. use: by group."""

    def __init__(self, tier: MemoryTier, disk: DiskTier | None = None) -> None:
        self.tier, self.disk = tier, disk
        self.use: dict[str, EncoderUse] = {}
        self._flights: dict[bytes, Future[np.ndarray]] = {}
        self._lock = threading.Lock()

    def rows(self, keys: list[bytes], encode: Encode, group: str) -> Embedded:
        """The vector of every key, in order.

        encode: vectors (n, width) for these positions among keys; called at most once, for
        all rows that nobody has. Raises what encode raised, here or in the other caller.
        """
        first_place = {key: place for place, key in reversed(list(enumerate(keys)))}
        found, awaited, led = self._claim(first_place, group)
        if led:
            # Its own rows first, so that two callers never wait for each other.
            found |= self._encoded(led, [first_place[key] for key in led], encode, group)
        for key, flight in awaited.items():
            found[key] = flight.result()
        vectors = np.stack([found[key] for key in keys])
        return Embedded(vectors, hits=len(keys) - len(led), misses=len(led))

    def _claim(
        self, keys: Iterable[bytes], group: str
    ) -> tuple[dict[bytes, np.ndarray], dict[bytes, Future[np.ndarray]], list[bytes]]:
        """Rows found, rows that others are encoding, and rows that are now this caller's."""
        found, awaited, led = {}, {}, []
        with self._lock:
            for key in keys:
                flight = self._flights.get(key)
                if flight is not None:
                    awaited[key] = flight
                elif (kept := self.tier.get(key)) is not MISS:
                    found[key] = kept
                else:
                    self._flights[key] = Future()
                    led.append(key)
            self.use.setdefault(group, EncoderUse()).hits += len(found)
        return found, awaited, led

    def _encoded(
        self, keys: list[bytes], places: list[int], encode: Encode, group: str
    ) -> dict[bytes, np.ndarray]:
        encoded = self._read_back(keys, group)
        lacking = [(k, p) for k, p in zip(keys, places, strict=True) if k not in encoded]
        began_ns = time.perf_counter_ns()
        try:
            vectors = encode([place for _, place in lacking]) if lacking else ()
            encode_ns = time.perf_counter_ns() - began_ns
        except BaseException as error:
            for flight in self._landed(keys):
                flight.set_exception(error)
            raise
        self._note(group, len(encoded), len(lacking), encode_ns)
        for (key, _), vector in zip(lacking, vectors, strict=True):
            encoded[key] = kept = np.array(vector)
            kept.flags.writeable = False
            if self.disk is not None:
                self.disk.offer(key, partial(dump_run, {VECTOR: kept}, ""), group)
        encoded = {key: encoded[key] for key in keys}
        for key, kept in encoded.items():
            self.tier.put(key, kept, kept.nbytes, group)
        for flight, vector in zip(self._landed(keys), encoded.values(), strict=True):
            flight.set_result(vector)
        return encoded

    def _read_back(self, keys: list[bytes], group: str) -> dict[bytes, np.ndarray]:
        """The rows that are on disk."""
        found: dict[bytes, np.ndarray] = {}
        for key in keys if self.disk is not None else ():
            payload = self.disk.read(key, group) if self.disk is not None else None
            if payload is not None:
                with contextlib.suppress(ValueError, KeyError):
                    found[key] = load_run(payload)[0][VECTOR]
        return found

    def _note(self, group: str, disk_hits: int, encoded: int, encode_ns: int) -> None:
        with self._lock:
            use = self.use[group]
            use.disk_hits += disk_hits
            use.encoded += encoded
            use.encode_ns += encode_ns

    def _landed(self, keys: list[bytes]) -> list[Future[np.ndarray]]:
        with self._lock:
            return [self._flights.pop(key) for key in keys]
