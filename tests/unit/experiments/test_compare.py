"""Blocks and the bootstrap over them: known percentiles, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from engine.experiments.blocks import Blocks
from engine.experiments.compare import LEAST_BLOCKS, differences


def drifting(
    random: np.random.Generator, blocks: int, per_block: int, ratio: float = 1.2
) -> Blocks:
    """Log-normal times whose level drifts from block to block for both; the second is slower."""
    found, level = Blocks(2), 0.0
    for number in range(blocks):
        level = 0.6 * level + random.normal(0, 0.12)
        for variant in (0, 1):
            own = random.normal(0, 0.03)
            times = np.exp(level + own + random.normal(0, 0.4, random.poisson(per_block)))
            found.add(float(number), variant, times * (ratio if variant else 1.0))
    return found


@pytest.mark.parametrize(("blocks", "per_block"), [(15, 120), (60, 60)])
def test_intervals_cover_the_true_ratio(blocks: int, per_block: int) -> None:
    random, runs = np.random.default_rng(1), 120
    covered = np.zeros(3)
    for _ in range(runs):
        found = differences(drifting(random, blocks, per_block), 0, 1, 0.05, resamples=399)
        covered += [row.ratio_low <= 1.2 <= row.ratio_high for row in found]
        assert all(row.ratio_low <= row.ratio <= row.ratio_high for row in found)
    # 95 % intended; three standard deviations of 120 runs below it, and less for few blocks.
    assert (covered / runs >= 0.87).all()


def test_variants_alike_are_seldom_found_different() -> None:
    random, runs = np.random.default_rng(2), 150
    alarms = np.zeros(3)
    for _ in range(runs):
        found = differences(drifting(random, 30, 80, 1.0), 0, 1, 0.05, resamples=399)
        alarms += [row.p <= 0.05 for row in found]
    assert (alarms / runs <= 0.11).all()


def test_resampling_requests_one_by_one_would_not_cover() -> None:
    """Why blocks: with a level of its own for each variant and block, requests are too alike."""
    random, runs, covered = np.random.default_rng(3), 60, 0
    for _ in range(runs):
        sides = [
            np.concatenate(
                [np.exp(random.normal(0, 0.3) + random.normal(0, 0.4, 200)) for _ in range(20)]
            )
            for _ in (0, 1)
        ]
        drawn = [
            np.median(random.choice(sides[1], 4000)) / np.median(random.choice(sides[0], 4000))
            for _ in range(200)
        ]
        covered += np.quantile(drawn, 0.025) <= 1.0 <= np.quantile(drawn, 0.975)
    assert covered / runs < 0.6


def test_a_shift_is_found_with_its_size() -> None:
    blocks = drifting(np.random.default_rng(4), 40, 200)
    for row in differences(blocks, 0, 1, 0.05):
        assert row.p < 0.01
        assert row.ratio == pytest.approx(1.2, abs=0.12)
        assert row.difference_ms == pytest.approx(row.candidate_ms - row.control_ms)


def test_percentiles_are_those_of_all_requests() -> None:
    blocks, random = Blocks(2), np.random.default_rng(5)
    every: list[np.ndarray] = []
    for number in range(20):
        # The busiest block stands for more requests than its sample has.
        times = random.gamma(2.0, 1.0 + number / 10, 5000 if number == 19 else 200)
        every.append(times)
        for variant in (0, 1):
            blocks.add(float(number), variant, times)
    (p50, *_, p99) = differences(blocks, 0, 1, 0.05, resamples=99)
    assert p50.control_ms == pytest.approx(np.quantile(np.concatenate(every), 0.5), rel=0.06)
    assert p99.control_ms == pytest.approx(np.quantile(np.concatenate(every), 0.99), rel=0.15)
    assert blocks.quantile_ms(0, 0.5) == pytest.approx(
        np.quantile(np.concatenate(every), 0.5), rel=0.011
    )


def test_too_few_blocks_have_no_interval() -> None:
    blocks = Blocks(2)
    for number in range(LEAST_BLOCKS + 3):
        blocks.add(float(number), 0, np.ones(50))
        if number < LEAST_BLOCKS - 1:
            blocks.add(float(number), 1, np.ones(50))
    assert differences(blocks, 0, 1, 0.05) == []


def test_neighbours_are_joined_when_the_last_block_is_full() -> None:
    blocks = Blocks(2, block_s=1.0, most=10)
    for second in range(35):
        blocks.add(float(second), 0, np.full(300, float(second)))
    assert blocks.block_s == 4.0
    assert len(blocks.blocks) == 9
    assert blocks.counts()[:, 0].tolist() == [1200] * 8 + [900]
    assert all(len(block.samples[0]) == 256 for block in blocks.blocks)
    # A block's sample is of its four seconds alike.
    seconds, counts = np.unique(blocks.blocks[2].samples[0], return_counts=True)
    assert seconds.tolist() == [8.0, 9.0, 10.0, 11.0]
    assert counts.min() > 40


def test_blocks_are_the_same_after_storing() -> None:
    blocks = drifting(np.random.default_rng(6), 12, 300)
    again = Blocks(2)
    again.restore(blocks.as_arrays())
    assert again.block_s == blocks.block_s
    assert (again.counts() == blocks.counts()).all()
    one, other = (differences(kept, 0, 1, 0.05, resamples=99) for kept in (blocks, again))
    assert [row.ratio for row in other] == pytest.approx([row.ratio for row in one], rel=1e-6)
    with pytest.raises(ValueError, match="not the blocks"):
        Blocks(3).restore(blocks.as_arrays())
