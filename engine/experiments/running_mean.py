"""Candidates' mean log-durations beside control's, block by block, for a look at any time.

A block ends once it is BLOCK_S old and both variants have LEAST_REQUESTS in it; the difference
of their mean logarithms is one value of a confidence sequence. Its exponential is a ratio of
geometric means.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.experiments.statistics import Sequence

BLOCK_S = 5.0
LEAST_REQUESTS = 8


class Pair:
    """One candidate beside control: sums of the block under way, and the sequence."""

    def __init__(self, alpha: float) -> None:
        self.sequence = Sequence(alpha)
        self.began_s = 0.0
        self.counts, self.sums = [0, 0], [0.0, 0.0]

    def add(self, since_s: float, side: int, logs: np.ndarray) -> None:
        """side: 0 control, 1 the candidate. logs: (n,), ln ms."""
        old = since_s - self.began_s >= BLOCK_S
        if old and min(self.counts) >= LEAST_REQUESTS:
            means = [total / count for total, count in zip(self.sums, self.counts, strict=True)]
            self.sequence.add(means[1] - means[0])
            self.began_s, self.counts, self.sums = since_s, [0, 0], [0.0, 0.0]
        self.counts[side] += len(logs)
        self.sums[side] += float(logs.sum())


class RunningMeans:
    """Every candidate's pair. Not safe for several threads: its owner locks."""

    def __init__(self, variants: int, alpha: float) -> None:
        self.pairs = [Pair(alpha) for _ in range(variants - 1)]

    def add(self, since_s: float, variant: int, times_ms: np.ndarray) -> None:
        """Durations of one variant, since_s after the start."""
        if not len(times_ms):
            return
        logs = np.log(np.maximum(times_ms, 1e-6))
        for at, pair in enumerate(self.pairs, 1):
            if variant in (0, at):
                pair.add(since_s, int(variant > 0), logs)

    def as_stored(self) -> list[dict[str, Any]]:
        return [
            {
                "sequence": pair.sequence.as_dict(),
                "began_s": pair.began_s,
                "counts": pair.counts,
                "sums": pair.sums,
            }
            for pair in self.pairs
        ]

    @classmethod
    def restored(cls, stored: list[dict[str, Any]], alpha: float) -> RunningMeans:
        """The inverse of `as_stored`. Raises KeyError or TypeError for something else."""
        made = cls(len(stored) + 1, alpha)
        for pair, kept in zip(made.pairs, stored, strict=True):
            pair.sequence = Sequence.from_dict(kept["sequence"])
            pair.began_s = float(kept["began_s"])
            pair.counts, pair.sums = list(kept["counts"]), list(kept["sums"])
        return made
