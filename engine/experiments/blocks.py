"""Durations of each variant by blocks of time: a bounded sample of every block.

    block   | 0 .. 1 s | 1 .. 2 s | ...   at most MOST_BLOCKS; then neighbours are joined
    variant |  n, a uniform sample of at most SAMPLE durations, ms

Latency in one block resembles itself, so blocks and not requests are what is resampled
(compare.py). When the last block is full, pairs are joined and blocks are twice as long.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MOST_BLOCKS = 120
SAMPLE = 256
BLOCK_S = 1.0
GROWTH = 1.01
BUCKETS = 2_000
LOWEST_MS = 1e-3
_EMPTY = np.empty(0, dtype=np.float64)


class Block:
    """One stretch of time. counts: durations seen of each variant. samples: those kept, ms."""

    __slots__ = ("counts", "samples")

    def __init__(self, variants: int) -> None:
        self.counts = [0] * variants
        self.samples: list[np.ndarray] = [_EMPTY] * variants


class Blocks:
    """Not safe for several threads: its owner locks.

    block_s: length of a block now. histograms: of all durations, int64 (variants, BUCKETS), in
    buckets of 1 %, for what must not depend on a sample.
    """

    def __init__(
        self, variants: int, block_s: float = BLOCK_S, most: int = MOST_BLOCKS, seed: int = 0
    ) -> None:
        self.variants, self.block_s = variants, block_s
        self.blocks: list[Block] = []
        self.histograms = np.zeros((variants, BUCKETS), dtype=np.int64)
        self.most = most
        self._random = np.random.default_rng(seed)

    def add(self, since_s: float, variant: int, durations_ms: np.ndarray) -> None:
        """Take durations (n,) that ended since_s after the start."""
        if not len(durations_ms):
            return
        self.histograms[variant] += np.bincount(buckets_of(durations_ms), minlength=BUCKETS)
        while since_s >= self.most * self.block_s:
            self._join_pairs()
        number = int(since_s // self.block_s)
        while len(self.blocks) <= number:
            self.blocks.append(Block(self.variants))
        block = self.blocks[number]
        count = block.counts[variant]
        block.samples[variant] = self._sample(
            block.samples[variant], count, durations_ms, len(durations_ms)
        )
        block.counts[variant] = count + len(durations_ms)

    def _join_pairs(self) -> None:
        joined = []
        for at in range(0, len(self.blocks), 2):
            block = self.blocks[at]
            if at + 1 < len(self.blocks):
                other = self.blocks[at + 1]
                for variant in range(self.variants):
                    block.samples[variant] = self._sample(
                        block.samples[variant],
                        block.counts[variant],
                        other.samples[variant],
                        other.counts[variant],
                    )
                    block.counts[variant] += other.counts[variant]
            joined.append(block)
        self.blocks, self.block_s = joined, 2 * self.block_s

    def _sample(self, kept: np.ndarray, n: int, new: np.ndarray, m: int) -> np.ndarray:
        """A uniform sample of n + m durations from uniform samples of both."""
        if n + m <= SAMPLE:
            return np.concatenate([kept, new])
        size = min(SAMPLE, len(kept) + len(new))
        of_new = int(self._random.hypergeometric(m, n, size)) if n else size
        of_new = min(max(of_new, size - len(kept)), len(new))
        return np.concatenate(
            [
                self._random.choice(kept, size - of_new, replace=False),
                self._random.choice(new, of_new, replace=False),
            ]
        )

    def counts(self) -> np.ndarray:
        """Durations seen, int64 (blocks, variants)."""
        return np.array([block.counts for block in self.blocks], dtype=np.int64).reshape(
            -1, self.variants
        )

    def copy(self) -> Blocks:
        """One to compute with while this one grows; samples are shared, none is changed."""
        other = Blocks(self.variants, self.block_s, self.most)
        for block in self.blocks:
            own = Block(self.variants)
            own.counts, own.samples = list(block.counts), list(block.samples)
            other.blocks.append(own)
        other.histograms = self.histograms.copy()
        return other

    def quantile_ms(self, variant: int, share: float) -> float | None:
        """From the histogram, to 1 %; None while there is nothing."""
        counts = self.histograms[variant]
        total = int(counts.sum())
        if not total:
            return None
        rank = max(1, int(np.ceil(share * total)))
        return float(edge_ms(int(np.searchsorted(np.cumsum(counts), rank)) + 0.5))

    def as_arrays(self) -> dict[str, np.ndarray]:
        """For storing."""
        return {
            "block_s": np.array([self.block_s]),
            "counts": self.counts(),
            "lengths": np.array(
                [[len(s) for s in block.samples] for block in self.blocks], dtype=np.int64
            ).reshape(-1, self.variants),
            "samples": np.concatenate(
                [_EMPTY, *(sample for block in self.blocks for sample in block.samples)]
            ).astype(np.float32),
            "histograms": self.histograms,
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `as_arrays`. Raises KeyError or ValueError for other arrays."""
        lengths, samples = arrays["lengths"], arrays["samples"].astype(np.float64)
        counts, histograms = arrays["counts"], arrays["histograms"].astype(np.int64)
        if histograms.shape != (self.variants, BUCKETS) or counts.shape != lengths.shape:
            raise ValueError("these are not the blocks of this experiment")
        parts = iter(np.split(samples, np.cumsum(lengths.reshape(-1))[:-1]) if lengths.size else ())
        self.blocks = []
        for row in counts.tolist():
            block = Block(self.variants)
            block.counts, block.samples = row, [next(parts) for _ in row]
            self.blocks.append(block)
        self.block_s, self.histograms = float(arrays["block_s"][0]), histograms


def buckets_of(durations_ms: np.ndarray) -> np.ndarray:
    """The bucket, int64, of each duration (n,)."""
    scaled = np.log(np.maximum(durations_ms, LOWEST_MS) / LOWEST_MS) / np.log(GROWTH)
    found: np.ndarray = np.minimum(scaled.astype(np.int64), BUCKETS - 1)
    return found


def edge_ms(bucket: float) -> float:
    """Where a bucket begins."""
    return float(LOWEST_MS * GROWTH**bucket)
