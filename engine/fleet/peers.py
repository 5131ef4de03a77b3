"""One address and what came of asking it; one process and what it served.

state         when                                              counts as live
asking        it has not answered yet                           no
up            it answered                                       yes
lost          it has not answered LOST_AFTER times in a row,    no
              or its name has it no more
incompatible  it tells another form, or other buckets           no
refused       it answered, but not with an export: a key, say   no
self          it is this process                                as this process
duplicate     it is a process that another address has too      as that one
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engine.fleet.export import Export
from engine.fleet.steps import STEP_S, Step, StepRing

LOST_AFTER = 2
SLOWER_AFTER = 10
SLOW_S, SELF_S = 10.0, 30.0
"""Pauses before what is long lost or incompatible, and this process itself, is asked again."""
SKEWS = 5
STATES = ("asking", "up", "lost", "incompatible", "refused", "self", "duplicate")


class Skew(NamedTuple):
    """How far a peer's clock is ahead of ours, and how long the question took; s.

    The true offset is within half of the latter.
    """

    offset_s: float
    trip_s: float


@dataclass(slots=True)
class Process:
    """One run of one process. seq: of the last second that was taken."""

    run: str
    seq: int = 0
    ring: StepRing = field(default_factory=StepRing)
    latest: Export | None = None
    heard_s: float = 0.0

    def take(self, export: Export, now_s: float, offset_s: float) -> bool:
        """Add what is new; False where it does not follow on what is there.

        Its steps are numbered by its own clock: offset_s is how far that is ahead.
        """
        self.latest, self.heard_s = replace(export, steps=()), now_s
        if export.since != self.seq:
            return False
        ahead = round(offset_s / STEP_S)
        for step in export.steps:
            self.ring.add(step._replace(number=step.number - ahead) if ahead else step)
        self.seq = export.seq
        self.ring.prune(now_s)
        return True

    def newest(self, steps: int, now_s: float) -> list[Step]:
        return self.ring.newest(steps, now_s)


@dataclass(slots=True)
class Address:
    """One address of the fleet. state: asking, up, lost, incompatible or refused.

    since_s: when it came into its state, UTC; of a lost one, when it was last heard.
    asked_s, due_s: when it was last asked, and is to be asked next, monotonic. absent: whatever
    is there now may be another's: it is shown, and not asked.
    """

    url: str
    since_s: float
    state: str = "asking"
    run: str | None = None
    problem: str | None = None
    heard_s: float | None = None
    failures: int = 0
    asked: int = 0
    failed: int = 0
    answer_bytes: int = 0
    absent: bool = False
    asked_s: float = -math.inf
    due_s: float = -math.inf
    skews: deque[Skew] = field(default_factory=lambda: deque(maxlen=SKEWS))

    @property
    def skew(self) -> Skew | None:
        """The surest of the newest: the one whose question took least."""
        return min(self.skews, key=lambda one: one.trip_s, default=None)

    def enter(self, state: str, now_s: float, problem: str | None) -> None:
        if state != self.state:
            self.since_s = now_s if state != "lost" else (self.heard_s or self.since_s)
        self.state, self.problem = state, problem

    def is_there(self, there: bool, now_s: float) -> None:
        """Whether its name still has it."""
        if not there and not self.absent:
            self.enter("lost", now_s, "its name has this address no more; it is not asked")
        self.absent = not there

    def answered(self, now_s: float) -> None:
        self.failures, self.heard_s = 0, now_s

    def missed(self, now_s: float, problem: str) -> None:
        """It did not answer."""
        self.failures += 1
        self.failed += 1
        if self.failures >= LOST_AFTER or self.state != "up":
            state = "lost" if self.failures >= LOST_AFTER else self.state
            self.enter(state, now_s, problem)
        else:
            self.problem = problem

    def pause_s(self, interval_s: float) -> float:
        """Until it is asked again."""
        if self.state in ("incompatible", "refused") or self.failures > SLOWER_AFTER:
            return max(interval_s, SLOW_S)
        return interval_s
