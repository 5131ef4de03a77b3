"""What the cache's choice of what to keep is worth: `python -m bench.cache_replay`.

100,000 requests, Zipf(1.1) over 20,000 rows, replayed through the result tier and through a
plain least-recently-used cache of the same number of items. `mixed`: a scan of rows that
nobody asks for twice, one for each request; its share is of the repeated half. `unique`: rows
never asked for again, and what a lookup of one costs.
"""

from __future__ import annotations

import argparse
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.caching.memory import ITEM_OVERHEAD_BYTES, MISS, MemoryTier

ROWS, REQUESTS, EXPONENT = 20_000, 100_000, 1.1
VALUE_BYTES = 200


@dataclass(frozen=True, slots=True)
class Replay:
    """Shares of hits, 0..1."""

    share_of_distinct: float
    lru: float
    tier: float
    tier_mixed: float


def requests(seed: int) -> list[bytes]:
    """Keys in the order they are asked for."""
    chance = 1 / np.arange(1, ROWS + 1) ** EXPONENT
    ranks = np.random.default_rng(seed).choice(ROWS, REQUESTS, p=chance / chance.sum())
    return [b"row %d" % rank for rank in ranks]


def tier_of(items: float) -> MemoryTier:
    """A tier with room for so many values."""
    return MemoryTier(int(items * (VALUE_BYTES + ITEM_OVERHEAD_BYTES)))


def ask(tier: MemoryTier, key: bytes) -> bool:
    """One lookup, and the value kept where it was missing; True for a hit."""
    if tier.skips(key):
        return False
    if tier.get(key) is not MISS:
        return True
    tier.put(key, key, VALUE_BYTES, "model")
    return False


def lru_share(keys: list[bytes], items: int) -> float:
    """Hits of the textbook's cache."""
    kept: OrderedDict[bytes, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
            continue
        kept[key] = None
        if len(kept) > items:
            kept.popitem(last=False)
    return hits / len(keys)


def replay(seed: int, share_of_distinct: float) -> Replay:
    """All of it at one size: a share of the distinct rows seen."""
    keys = requests(seed)
    items = share_of_distinct * len(set(keys))
    tier, mixed = tier_of(items), tier_of(items)
    hits = sum(ask(tier, key) for key in keys)
    mixed_hits = 0
    for place, key in enumerate(keys):
        mixed_hits += ask(mixed, key)
        ask(mixed, b"scan %d" % place)
    return Replay(
        share_of_distinct, lru_share(keys, int(items)), hits / len(keys), mixed_hits / len(keys)
    )


def unique_ns() -> float:
    """Median nanoseconds that a lookup takes of traffic that never repeats."""

    def rounds() -> Iterator[float]:
        tier, place = tier_of(100_000), 0
        for _ in range(50):
            began_ns = time.perf_counter_ns()
            for _ in range(5_000):
                place += 1
                ask(tier, b"unique %d" % place)
            yield (time.perf_counter_ns() - began_ns) / 5_000

    return float(np.median(list(rounds())))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.cache_replay", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    print(f"seed {seed}\n\n| size, of distinct rows | LRU | this tier | this tier, mixed |")
    print("|---|---|---|---|")
    met = True
    for share, least in ((0.1, 0.78), (0.25, 0.84)):
        found = replay(seed, share)
        print(f"| {share:.0%} | {found.lru:.3f} | {found.tier:.3f} | {found.tier_mixed:.3f} |")
        met &= found.tier >= least and found.tier - found.tier_mixed <= 0.05
    print(f"\nunique traffic: {unique_ns():.0f} ns a request")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
