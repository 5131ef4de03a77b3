"""Mergeable log-bucket histograms of durations.

Bucket i holds durations in [LOW * G**i, LOW * G**(i+1)) nanoseconds with G = 1.02, so a
percentile read from the middle of its bucket is within 1 % of the exact one, and two
histograms merge by adding their counts. 1 us to 200 s in 966 buckets; values outside
fall into the first and the last.
"""

from __future__ import annotations

import math

import numpy as np

LOW_NS = 1_000.0
GROWTH = 1.02
BUCKETS = 966
_LOG_GROWTH = math.log(GROWTH)


def histogram_of(durations_ns: np.ndarray) -> np.ndarray:
    """Counts per bucket, uint32 (BUCKETS,), of durations (n,)."""
    scaled = np.log(np.maximum(durations_ns, LOW_NS) / LOW_NS) / _LOG_GROWTH
    buckets = np.minimum(scaled.astype(np.int64), BUCKETS - 1)
    return np.bincount(buckets, minlength=BUCKETS).astype(np.uint32)


def percentile_ms(counts: np.ndarray, share: float) -> float | None:
    """The duration, ms, that `share` (0..1) of the counted requests do not exceed."""
    total = int(counts.sum())
    if total == 0:
        return None
    rank = max(1, math.ceil(share * total))
    bucket = int(np.searchsorted(np.cumsum(counts, dtype=np.int64), rank))
    return float(LOW_NS * GROWTH ** (bucket + 0.5) / 1e6)
