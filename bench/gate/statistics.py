"""The interval of a trimmed mean, by a bootstrap of starts and of blocks of time.

    Sample: one entry a round (a fresh start of the servers)
              one entry a block (a stretch of time)
                values: log ratios, or logs of a figure

Neighbours in time are alike, and so is all that one process measures (its memory's layout):
rounds are drawn again, then blocks within each. So few rounds vary too little among their own
draws, by sqrt((rounds - 1) / rounds); the interval is widened by that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TRIMMED_SHARE = 0.2
LEVEL = 0.95
DRAWS = 2000
LEAST_BLOCKS = 8
"""Fewer blocks give an interval that is too narrow: no verdict is made of them."""
Sample = Sequence[Sequence[Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Interval:
    """A change in percent, and the ends of its 95 % interval. +8: it takes 1.08 times as much."""

    percent: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.percent:+.2f} % ({self.low:+.2f} to {self.high:+.2f})"


def trimmed_mean(values: np.ndarray) -> float:
    """Mean without the lowest and the highest fifth; of a few values, of all but those ends."""
    cut = int(len(values) * TRIMMED_SHARE)
    return float(np.mean(np.sort(values)[cut : len(values) - cut]))


def block_count(sample: Sample) -> int:
    return sum(len(blocks) for blocks in sample)


def interval_of(sample: Sample, seed: int = 7, draws: int = DRAWS) -> Interval:
    """The change that a sample of log ratios shows. Raises ValueError for an empty one."""
    rounds = _arrays(sample)
    drawn = _drawn(rounds, np.random.default_rng(seed), draws)
    return _as_interval(_middle(rounds), drawn, len(rounds))


def interval_of_change(
    before: Sample, after: Sample, seed: int = 7, draws: int = DRAWS
) -> Interval:
    """The change between two samples of logs that were not measured together.

    Raises ValueError for an empty one.
    """
    random = np.random.default_rng(seed)
    first, second = _arrays(before), _arrays(after)
    drawn = _drawn(second, random, draws) - _drawn(first, random, draws)
    return _as_interval(_middle(second) - _middle(first), drawn, min(len(first), len(second)))


def _arrays(sample: Sample) -> list[list[np.ndarray]]:
    rounds = [[np.asarray(block, float) for block in blocks if len(block)] for blocks in sample]
    rounds = [blocks for blocks in rounds if blocks]
    if not rounds:
        raise ValueError("nothing was measured")
    return rounds


def _middle(rounds: list[list[np.ndarray]]) -> float:
    return trimmed_mean(np.concatenate([block for blocks in rounds for block in blocks]))


def _drawn(rounds: list[list[np.ndarray]], random: np.random.Generator, draws: int) -> np.ndarray:
    """The statistic of each draw."""
    found = np.empty(draws)
    for draw in range(draws):
        chosen: list[np.ndarray] = []
        for place in random.integers(0, len(rounds), len(rounds)):
            blocks = rounds[place]
            chosen += [blocks[i] for i in random.integers(0, len(blocks), len(blocks))]
        found[draw] = trimmed_mean(np.concatenate(chosen))
    return found


def _as_interval(middle: float, drawn: np.ndarray, rounds: int) -> Interval:
    wider = math.sqrt(rounds / (rounds - 1)) if rounds > 1 else 1.0
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(middle + (drawn - middle) * wider, [tail, 100 - tail])
    return Interval(*(100 * math.expm1(value) for value in (middle, float(low), float(high))))
