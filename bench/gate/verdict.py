"""What an interval means against a threshold.

    slower               its near end is over the threshold: the gate fails
    not decided          the threshold lies within it: passes, as nothing is shown
    slower, in bounds    all of it is over 0 and none over the threshold
    faster               all of it is under 0
    no difference seen   0 lies within it

For instrumentation the change is that of its own cost, and the threshold is its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.gate.statistics import LEAST_BLOCKS, Interval

SLOWER, NOT_DECIDED, IN_BOUNDS = "slower", "not decided", "slower, in bounds"
FASTER, SAME, TOO_FEW = "faster", "no difference seen", "too few blocks"


@dataclass(frozen=True, slots=True)
class Verdict:
    """word: one of this module's. fails: the gate does not pass by this case."""

    word: str
    fails: bool


def verdict_of(interval: Interval, threshold_percent: float, blocks: int) -> Verdict:
    """blocks: stretches of time the interval is made of; too few make no verdict."""
    if blocks < LEAST_BLOCKS:
        return Verdict(TOO_FEW, False)
    if interval.low > threshold_percent:
        return Verdict(SLOWER, True)
    if interval.high > threshold_percent:
        return Verdict(NOT_DECIDED, False)
    if interval.low > 0:
        return Verdict(IN_BOUNDS, False)
    return Verdict(FASTER if interval.high < 0 else SAME, False)
