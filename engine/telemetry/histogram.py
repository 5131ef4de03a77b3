"""Mergeable log-bucket histograms of durations.

Bucket i holds durations in [LOW * G**i, LOW * G**(i+1)) nanoseconds with G = 1.02, so a
percentile read from the middle of its bucket is within 1 % of the exact one, and two
histograms merge by adding their counts. 1 us to 200 s in 966 buckets; values outside
fall into the first and the last.

    dense    int (..., BUCKETS)                       counts, for arithmetic
    packed   bytes, per bucket uint16 + uint32 counts  what is stored; empty buckets cost nothing
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LOW_NS = 1_000.0
GROWTH = 1.02
BUCKETS = 966
_LOG_GROWTH = math.log(GROWTH)
_CELL = np.dtype([("bucket", "<u2"), ("count", "<u4")])
MIDDLE_MS = LOW_NS * GROWTH ** (np.arange(BUCKETS) + 0.5) / 1e6
"""What a percentile in each bucket is reported as."""
UPPER_NS = LOW_NS * GROWTH ** np.arange(1, BUCKETS + 1)


def buckets_of(durations_ns: np.ndarray) -> np.ndarray:
    """The bucket, int64, of each duration (n,), ns."""
    scaled = np.log(np.maximum(durations_ns, LOW_NS) / LOW_NS) / _LOG_GROWTH
    buckets: np.ndarray = np.minimum(scaled.astype(np.int64), BUCKETS - 1)
    return buckets


def histogram_of(durations_ns: np.ndarray) -> np.ndarray:
    """Counts per bucket, uint32 (BUCKETS,), of durations (n,)."""
    return np.bincount(buckets_of(durations_ns), minlength=BUCKETS).astype(np.uint32)


def percentile_ms(counts: np.ndarray, share: float) -> float | None:
    """The duration, ms, that `share` (0..1) of the counted requests do not exceed."""
    value = float(percentiles_ms(counts[np.newaxis], (share,))[0, 0])
    return None if math.isnan(value) else value


def percentiles_ms(counts: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Percentiles, ms, (n, len(shares)), of n histograms (n, BUCKETS); NaN where one is empty."""
    sums = np.cumsum(counts, axis=1, dtype=np.int64)
    totals = sums[:, -1]
    found = np.full((len(counts), len(shares)), np.nan)
    for place, share in enumerate(shares):
        ranks = np.maximum(1, np.ceil(share * totals)).astype(np.int64)
        buckets = (sums < ranks[:, np.newaxis]).sum(axis=1)
        found[:, place] = MIDDLE_MS[np.minimum(buckets, BUCKETS - 1)]
    found[totals == 0] = np.nan
    return found


def count_up_to(counts: np.ndarray, limit_ms: float) -> int:
    """How many of the counted durations are at most limit_ms, to the nearest bucket."""
    return int(counts[limit_ms >= MIDDLE_MS].sum())


def pack(counts: np.ndarray) -> bytes:
    """The packed form of one dense histogram."""
    filled = np.flatnonzero(counts)
    cells = np.empty(len(filled), dtype=_CELL)
    cells["bucket"], cells["count"] = filled, np.minimum(counts[filled], 2**32 - 1)
    return cells.tobytes()


def unpack(packed: Sequence[bytes], rows: np.ndarray, height: int) -> np.ndarray:
    """Dense histograms, int64 (height, BUCKETS): each packed one added to its row.

    Raises ValueError where bytes are no packed histogram.
    """
    cells = np.frombuffer(b"".join(packed), dtype=_CELL)
    lengths = np.array([len(one) for one in packed], dtype=np.int64) // _CELL.itemsize
    places = np.repeat(rows, lengths) * BUCKETS + np.minimum(cells["bucket"], BUCKETS - 1)
    sums = np.bincount(places, weights=cells["count"], minlength=height * BUCKETS)
    return sums.astype(np.int64).reshape(height, BUCKETS)
