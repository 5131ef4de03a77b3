"""Two variants' durations compared: intervals from a bootstrap over blocks of time.

scipy.stats.bootstrap draws blocks with replacement (Künsch 1989, blocks that do not overlap);
of each draw the percentiles of both variants are taken, from the same blocks, so that what hits
both at the same time cancels. A block's sample stands for all its durations by weight. The
interval is the percentile one: it never leaves the range of what was drawn and needs no normal
law. p is twice the smaller share of draws beyond "no difference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.experiments.blocks import Blocks

FIGURES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
SHARES = np.array([share for _, share in FIGURES])
RESAMPLES = 1999
LEAST_BLOCKS = 10
_BATCH = 50


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of a candidate beside control, ms. ratio: candidate / control."""

    figure: str
    control_ms: float
    candidate_ms: float
    difference_ms: float
    difference_low_ms: float
    difference_high_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p: float


class Sorted:
    """One variant's kept durations in order, the block of each and how many it stands for."""

    def __init__(self, blocks: Blocks, variant: int, used: np.ndarray) -> None:
        chosen = [blocks.blocks[at] for at in used]
        samples = [block.samples[variant] for block in chosen]
        values = np.concatenate(samples)
        order = np.argsort(values, kind="stable")
        lengths = [len(sample) for sample in samples]
        weights = [block.counts[variant] / max(1, len(block.samples[variant])) for block in chosen]
        self.values = values[order]
        self.block = np.repeat(np.arange(len(chosen)), lengths)[order]
        self.weight = np.repeat(np.array(weights), lengths)[order]

    def percentiles(self, times: np.ndarray) -> np.ndarray:
        """Percentiles (n, len(FIGURES)) where each block counts as often as `times` (n, blocks)."""
        sums = np.cumsum(times[:, self.block] * self.weight, axis=1)
        found = np.empty((len(times), len(SHARES)))
        for row, at in enumerate(sums):
            # The last one's place where rounding puts a target beyond the sum.
            places = np.minimum(np.searchsorted(at, SHARES * at[-1]), len(self.values) - 1)
            found[row] = self.values[places]
        return found


def used_blocks(blocks: Blocks, control: int, candidate: int) -> np.ndarray:
    """Places of the blocks in which both were asked."""
    counts = blocks.counts()
    return np.flatnonzero((counts[:, control] > 0) & (counts[:, candidate] > 0))


def differences(
    blocks: Blocks,
    control: int,
    candidate: int,
    alpha: float,
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> list[Difference]:
    """Every figure with its 1 - alpha interval; empty below LEAST_BLOCKS blocks with both."""
    used = used_blocks(blocks, control, candidate)
    if len(used) < LEAST_BLOCKS:
        return []
    from scipy.stats import bootstrap

    sides = Sorted(blocks, control, used), Sorted(blocks, candidate, used)

    def figures(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        flat = drawn.reshape(-1, drawn.shape[-1]).astype(np.int64)
        cells = flat + len(used) * np.arange(len(flat))[:, np.newaxis]
        times = np.bincount(cells.reshape(-1), minlength=len(flat) * len(used))
        times = times.reshape(len(flat), len(used))
        of_both = [side.percentiles(times) for side in sides]
        found = np.concatenate([of_both[1] - of_both[0], of_both[1] / of_both[0]], axis=1)
        return np.moveaxis(found.reshape(*drawn.shape[:-1], -1), -1, 0)

    made = bootstrap(
        (np.arange(len(used)),),
        figures,
        n_resamples=resamples,
        batch=_BATCH,
        vectorized=True,
        confidence_level=1 - alpha,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = made.confidence_interval
    drawn = made.bootstrap_distribution
    once = np.ones((1, len(used)))
    before, after = (side.percentiles(once)[0] for side in sides)
    count, found = len(FIGURES), []
    for at, (name, _) in enumerate(FIGURES):
        below = (1 + np.sum(drawn[at] <= 0)) / (1 + resamples)
        above = (1 + np.sum(drawn[at] >= 0)) / (1 + resamples)
        p = min(1.0, 2 * min(below, above))
        both = before[at], after[at], after[at] - before[at], low[at], high[at]
        ratios = after[at] / before[at], low[count + at], high[count + at]
        found.append(Difference(name, *map(float, (*both, *ratios, p))))
    return found
