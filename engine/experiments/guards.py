"""Guard rails: when an experiment stops by itself. Pure.

    errors         the near end of the candidate's share of failed requests is over that of
                   control (its far end, at most the limit more) by more than the limit
    p99            the near end of the share of the candidate's requests that take over
                   limit x control's p99 (its far end) is over 1 %
    disagreement   the near end of the share of rows that differ is over the limit

Each near end is of an interval that holds at every look at once (statistics.rate_interval), so
that a look every second stops nothing by chance: ALPHA for all looks together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.experiments.agreement import INTERVAL_ALPHA, Agreement
from engine.experiments.blocks import Blocks, buckets_of, edge_ms
from engine.experiments.definition import Guard
from engine.experiments.statistics import rate_interval

ALPHA = INTERVAL_ALPHA
TAIL = 0.01
LEAST_STRETCHES = 3
"""Slow requests must lie in so many blocks: one stall of the machine is no reason."""
_Z = 3.09
"""One-sided 0.1 % of the normal law, for the far end of control's p99."""


class Look(NamedTuple):
    """What a guard rail sees now. value, near: None where nothing can be said yet."""

    guard: str
    requests: int
    value: float | None
    near: float | None
    passed: bool
    text: str


def look_at_errors(guard: Guard, control: tuple[int, int], candidate: tuple[int, int]) -> Look:
    """control, candidate: (failed, requests)."""
    failed, requests = candidate
    if requests < guard.least:
        return Look("errors", requests, None, None, False, _too_few(requests, guard))
    near = rate_interval(failed, requests, ALPHA)[0]
    far = rate_interval(*control, ALPHA)[1]
    control_rate = control[0] / control[1] if control[1] else 0.0
    value = failed / requests - control_rate
    # Where control has hardly been asked, its far end must not excuse everything.
    excused = min(far, control_rate + guard.limit)
    passed = near > guard.limit + excused
    text = f"{100 * failed / requests:.3g} % failed, {100 * control_rate:.3g} % of control's"
    return Look("errors", requests, value, near - control_rate, passed, text)


def look_at_p99(guard: Guard, blocks: Blocks, control: int, candidate: int) -> Look:
    """Durations of all requests, to 1 %."""
    counts = blocks.histograms
    requests, of_control = int(counts[candidate].sum()), int(counts[control].sum())
    if requests < guard.least:
        return Look("p99", requests, None, None, False, _too_few(requests, guard))
    rank = (1 - TAIL) * of_control + _Z * math.sqrt(of_control * TAIL * (1 - TAIL))
    if rank >= of_control:
        text = f"control's p99 is not known well enough after {of_control} requests"
        return Look("p99", requests, None, None, False, text)
    far_ms = edge_ms(int(np.searchsorted(np.cumsum(counts[control]), rank)) + 1)
    over_ms = guard.limit * far_ms
    first = int(buckets_of(np.array([over_ms]))[0]) + 1
    slow = int(counts[candidate, first:].sum())
    near = rate_interval(slow, requests, ALPHA)[0]
    stretches = sum(bool((block.samples[candidate] > over_ms).any()) for block in blocks.blocks)
    passed = near > TAIL and stretches >= LEAST_STRETCHES
    before, after = blocks.quantile_ms(control, 0.99), blocks.quantile_ms(candidate, 0.99)
    value = after / before if before and after else None
    text = f"{100 * slow / requests:.3g} % take over {over_ms:.3g} ms; 1 % may"
    return Look("p99", requests, value, None, passed, text)


def look_at_disagreement(guard: Guard, agreement: Agreement) -> Look:
    """Rows of requests answered by both."""
    counts = agreement.counts
    if counts.requests < guard.least:
        text = _too_few(counts.requests, guard)
        return Look("disagreement", counts.requests, None, None, False, text)
    near = agreement.interval()[0]
    value = counts.rows_differing / counts.rows
    text = f"{counts.rows_differing} of {counts.rows} rows differ"
    return Look("disagreement", counts.requests, value, near, near > guard.limit, text)


def _too_few(requests: int, guard: Guard) -> str:
    return f"{requests} of at least {guard.least} requests"
