"""Latency as a heat map: how many requests of each step took how long.

counts[step][band]   requests of a step in a band of durations, bands in equal ratios
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.telemetry.frames import Frames
from engine.telemetry.histogram import BUCKETS, GROWTH, LOW_NS

BANDS = 36
"""At most; a band is a whole number of the histogram's buckets."""


def heatmap(frames: Frames) -> dict[str, Any]:
    """times (start of each step, UTC s), bounds_ms (bands + 1), counts (steps, bands).

    Bands begin at the shortest duration that there is and end at the longest; without requests
    there are none.
    """
    filled = np.flatnonzero(frames.histograms.sum(axis=0))
    times = frames.start_s.tolist()
    if not len(filled):
        return {"times": times, "bounds_ms": [], "counts": []}
    first, last = int(filled[0]), int(filled[-1]) + 1
    width = -(-(last - first) // BANDS)
    edges = np.arange(first, last + width, width)
    edges = edges[: -(-(last - first) // width) + 1]
    padded = np.pad(frames.histograms, ((0, 0), (0, max(0, int(edges[-1]) - BUCKETS))))
    counts = np.add.reduceat(padded[:, : edges[-1]], edges[:-1], axis=1)
    return {
        "times": times,
        "bounds_ms": (LOW_NS * GROWTH**edges / 1e6).tolist(),
        "counts": counts.tolist(),
    }
