"""Embeddings row by row: from memory, from disk, from whoever is encoding them already."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.caching.disk import DiskTier
from engine.caching.embeddings import EmbeddingCache
from engine.caching.memory import MemoryTier
from tests.waiting import until


class Encoder:
    """The vector of the row at a place is [place, place]; keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, places: list[int]) -> np.ndarray:
        self.asked.append(list(places))
        return np.array([[float(p), float(p)] for p in places])


def test_equal_rows_of_one_request_are_encoded_once() -> None:
    cache, encode = EmbeddingCache(MemoryTier(1_000_000)), Encoder()
    found = cache.rows([b"a", b"b", b"a"], encode, "m")
    assert found.vectors.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert encode.asked == [[0, 1]]
    assert (found.hits, found.misses) == (1, 2)


def test_only_rows_that_nobody_has_are_encoded() -> None:
    cache, encode = EmbeddingCache(MemoryTier(1_000_000)), Encoder()
    cache.rows([b"a"], encode, "m")
    found = cache.rows([b"b", b"a"], encode, "m")
    assert found.vectors.tolist() == [[0, 0], [0, 0]]  # each was the first of its own request
    assert encode.asked == [[0], [0]]
    assert (found.hits, found.misses) == (1, 1)
    whole = cache.rows([b"a", b"b"], encode, "m")
    assert (whole.hits, whole.misses, len(encode.asked)) == (2, 0, 2)


def test_rows_on_disk_are_read_back_and_not_encoded(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path / "cache", 10_000_000)
    encode = Encoder()
    EmbeddingCache(MemoryTier(1_000_000), disk).rows([b"a", b"b"], encode, "m")
    until(lambda: disk.written == 2, 5, "both are on disk")
    again = EmbeddingCache(MemoryTier(1_000_000), disk)
    found = again.rows([b"b", b"c", b"a"], encode, "m")
    assert found.vectors.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert [sorted(places) for places in encode.asked] == [[0, 1], [1]]
    assert (again.use["m"].disk_hits, again.use["m"].encoded) == (2, 1)
    disk.close(5)


def test_what_is_no_vector_on_disk_is_encoded_again(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path / "cache", 10_000_000)
    disk.offer(b"a", lambda: b"no answer", "m")
    until(lambda: disk.written == 1, 5, "written")
    encode = Encoder()
    found = EmbeddingCache(MemoryTier(1_000_000), disk).rows([b"a"], encode, "m")
    assert (found.vectors.tolist(), encode.asked) == ([[0, 0]], [[0]])
    disk.close(5)


def test_two_callers_of_one_row_have_it_encoded_once_and_share_its_failure() -> None:
    cache = EmbeddingCache(MemoryTier(1_000_000))
    began, go = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(places: list[int]) -> np.ndarray:
        calls.append(len(places))
        began.set()
        assert go.wait(10)
        if len(calls) == 1:
            raise ValueError("the encoder broke")
        return np.ones((len(places), 2))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.rows, [b"a"], slow, "m")
        assert began.wait(10)
        second = pool.submit(cache.rows, [b"a"], Encoder(), "m")
        flight = cache._flights[b"a"]
        until(lambda: flight._condition._waiters, 5, "it waits for the first")  # type: ignore[attr-defined]
        go.set()
        for one in (first, second):
            with pytest.raises(ValueError, match="the encoder broke"):
                one.result(10)
    found = cache.rows([b"a"], slow, "m")  # what failed is not kept
    assert found.vectors.tolist() == [[1, 1]]


def test_kept_vectors_cannot_be_written_into() -> None:
    tier = MemoryTier(1_000_000)
    EmbeddingCache(tier).rows([b"a"], Encoder(), "m")
    kept = tier.get(b"a")
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 1.0  # type: ignore[index]
