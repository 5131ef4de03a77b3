"""What a plan's timings say about where a request runs, and with whom. Pure.

quick     a run so short that the event loop itself may do it
pays      a row costs at most half in a batch of what it costs alone, and alone it costs
          more than putting a batch together does
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

LEAST_RUN_US = 100.0
"""Joining and splitting a batch, and the hop to a thread, cost about half of this."""
LEAST_GAIN = 2.0


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """max_rows: of one run. max_wait_ns: how long a batch may wait to become full."""

    max_rows: int = 1
    max_wait_ns: int = 0

    @property
    def batches(self) -> bool:
        return self.max_rows > 1


ALONE = BatchPolicy()


@dataclass(frozen=True, slots=True)
class Lanes:
    """Settings that decide it. batch_max_rows: 1 is no batching."""

    inline_us: float = 1000.0
    batch_max_rows: int = 1
    batch_max_wait_us: float = 0.0


def policy_of(run_us: Mapping[int, float], max_rows: int, max_wait_us: float) -> BatchPolicy:
    """The policy of a form from its microseconds by batch size; ALONE where it never pays.

    The size is the largest measured one, up to max_rows, whose rows still cost less than half.
    """
    alone_us = run_us.get(1)
    if alone_us is None or alone_us < LEAST_RUN_US:
        return ALONE
    paying = [
        rows
        for rows, us in run_us.items()
        if 1 < rows <= max_rows and us / rows * LEAST_GAIN <= alone_us
    ]
    if not paying:
        return ALONE
    return BatchPolicy(max(paying), int(max_wait_us * 1000))


def quick_rows(run_us: Mapping[int, float], limit_us: float) -> int:
    """The most rows whose run takes at most limit_us; 0 where nothing was measured.

    Between two measured sizes the time is taken to grow evenly, and beyond the largest as it
    did before it.
    """
    points = sorted(run_us.items())
    if not points or points[0][1] > limit_us:
        return 0
    if len(points) == 1:
        return points[0][0]
    for (fewer, less_us), (more, more_us) in itertools.pairwise(points):
        if more_us > limit_us:
            return int(fewer + (more - fewer) * (limit_us - less_us) / (more_us - less_us))
    slope = max((more_us - less_us) / (more - fewer), more_us / more / 2)
    return int(more + (limit_us - more_us) / slope)
