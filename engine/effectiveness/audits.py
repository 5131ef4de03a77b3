"""What audits of one model found lately: agreement, and speed beside the plan's.

audit  rows that were served, run again by the model as it is in a child process:
       do the answers agree, and how long do both take now
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

RECENT = 100
RECENT_SPEEDS = 20
LEAST_SPEEDS = 5
KEPT_S = 3600.0
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A row that differed. digest: of its inputs; the row itself is kept nowhere.

    difference: relative to the larger of 1 and the expected value; None for unequal labels.
    """

    time: float
    digest: str
    output: str
    difference: float | None


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit. monotonic_s, time: when it ended, the latter UTC.

    differing: rows out of `rows` whose answers do not agree; largest: the largest difference,
    None where that is infinite. oracle_us and alone_us: the model as it is and the form, in
    turns, in the child; served_us: processor time of a run of the form in the server itself;
    taken_us: the run that answered, with all that went on beside it. None: not timed.
    planned_oracle_us and planned_form_us: the plan's for so many rows.
    """

    monotonic_s: float
    time: float
    form: str
    rows: int
    differing: int
    largest: float | None
    planned_oracle_us: float
    planned_form_us: float
    oracle_us: float | None = None
    alone_us: float | None = None
    served_us: float | None = None
    taken_us: float | None = None
    examples: Sequence[Example] = ()

    @property
    def planned(self) -> float:
        """Speed-up that the plan measured."""
        return self.planned_oracle_us / self.planned_form_us

    @property
    def served(self) -> float | None:
        """Speed-up now, in the server."""
        if self.oracle_us is None or not self.served_us:
            return None
        return self.oracle_us / self.served_us

    @property
    def alone(self) -> float | None:
        """Speed-up now, both in a process of their own."""
        if self.oracle_us is None or not self.alone_us:
            return None
        return self.oracle_us / self.alone_us

    @property
    def kept(self) -> float | None:
        """What the form has kept of its planned speed: 1 is all, 0.1 ten times slower.

        Beside the model as it is, or by the clock: the larger. A slower machine slows both, and
        a plan made on a busy machine may have found the model as it is too slow; only a form
        that has become slower itself loses by both.
        """
        if self.served is None or self.served_us is None:
            return None
        return max(self.served / self.planned, self.planned_form_us / self.served_us)


class ModelAudits:
    """Audits of one loaded model; at most RECENT, none older than KEPT_S.

    judged: False where its answers may differ, for it serves a smaller form by its budget.
    count, rows, failed: since it was loaded. examples: the newest.
    """

    def __init__(self, name: str, version: str, judged: bool = True) -> None:
        self.name, self.version, self.judged = name, version, judged
        self.count = self.rows = self.differing = self.failed = 0
        self.problem: str | None = None
        self.examples: deque[Example] = deque(maxlen=MOST_EXAMPLES)
        self._audits: deque[Audit] = deque(maxlen=RECENT)

    def add(self, audit: Audit) -> None:
        """Take an audit that ended."""
        self.count += 1
        self.rows += audit.rows
        self.differing += audit.differing
        self.problem = None
        self.examples.extend(audit.examples)
        self._audits.append(audit)

    def fail(self, words: str) -> None:
        """An audit came to no end."""
        self.failed += 1
        self.problem = words

    def recent(self, now_s: float) -> list[Audit]:
        """Oldest first."""
        return [audit for audit in tuple(self._audits) if now_s - audit.monotonic_s <= KEPT_S]

    def differing_rows(self, now_s: float) -> int | None:
        """Rows of the recent audits that differ; None without audits, or where none is judged."""
        audits = self.recent(now_s)
        return sum(audit.differing for audit in audits) if audits and self.judged else None

    def speed_percent(self, now_s: float) -> float | None:
        """What the form has kept of its planned speed; None before LEAST_SPEEDS audits."""
        kept = [audit.kept for audit in self._timed(now_s)]
        known = [share for share in kept if share is not None]
        return 100 * statistics.median(known) if len(known) >= LEAST_SPEEDS else None

    def _timed(self, now_s: float) -> list[Audit]:
        timed = [audit for audit in self.recent(now_s) if audit.served is not None]
        return timed[-RECENT_SPEEDS:]

    def scales(self, now_s: float) -> tuple[float, float]:
        """Times now over the plan's, of the model as it is and of the form; 1 where unknown."""
        audits = self.recent(now_s)[-RECENT_SPEEDS:]
        oracle = [a.oracle_us / a.planned_oracle_us for a in audits if a.oracle_us is not None]
        form = [a.served_us / a.planned_form_us for a in audits if a.served_us is not None]
        return (
            statistics.median(oracle) if oracle else 1.0,
            statistics.median(form) if form else 1.0,
        )

    def figures(self, now_s: float) -> dict[str, Any]:
        """All of it as plain data; speeds are medians of the recent audits that were timed."""
        audits = self.recent(now_s)
        timed = self._timed(now_s)
        return {
            "audits": self.count,
            "rows": self.rows,
            "differing": self.differing,
            "failed": self.failed,
            "problem": self.problem,
            "judged": self.judged,
            "recent": {
                "audits": len(audits),
                "rows": sum(audit.rows for audit in audits),
                "differing": sum(audit.differing for audit in audits),
                "largest": _largest(audits),
                "timed": len(timed),
                "planned_speedup": _median(timed, lambda audit: audit.planned),
                "served_speedup": _median(timed, lambda audit: audit.served),
                "alone_speedup": _median(timed, lambda audit: audit.alone),
                "oracle_us": _median(timed, lambda audit: audit.oracle_us),
                "served_us": _median(timed, lambda audit: audit.served_us),
                "alone_us": _median(timed, lambda audit: audit.alone_us),
                "taken_us": _median(timed, lambda audit: audit.taken_us),
                "speed_percent": self.speed_percent(now_s),
            },
            "last": audits[-1].time if audits else None,
            "form": audits[-1].form if audits else None,
            "examples": [asdict(example) for example in self.examples],
        }


def _largest(audits: Iterable[Audit]) -> float | None:
    """None where there is none, or one is infinite."""
    found = [audit.largest for audit in audits]
    known = [value for value in found if value is not None]
    return max(known) if known and len(known) == len(found) else None


def _median(audits: Sequence[Audit], of: Callable[[Audit], float | None]) -> float | None:
    known = [value for value in map(of, audits) if value is not None]
    return statistics.median(known) if known else None
