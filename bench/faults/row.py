"""What one fault showed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

HEAD = (
    "| fault | times | requests | failed | lost | wrong | recovered in, s | injected by | notes |\n"
    "|---|---:|---:|---|---:|---:|---:|---|---|"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault's outcome.

    times: how often it was tried. requests: sent by callers that check answers. failed: answers
    with a status that the fault itself says, by status; 0 is a connection that was refused.
    lost: requests without any answer. wrong: answers that are not the model's. recover_s: from
    the fault's end to the next right answer, the longest. injected: how. notes: what else was
    seen. broken: promises that did not hold; none when all is well.
    """

    fault: str
    times: int
    requests: int
    failed: Counter[int]
    lost: int
    wrong: int
    recover_s: float
    injected: str
    notes: str = ""
    broken: tuple[str, ...] = field(default=())

    def line(self) -> str:
        """Its line of the table."""
        failed = ", ".join(
            f"{count:,} x {status or 'refused'}" for status, count in sorted(self.failed.items())
        )
        cells = (
            *(self.fault, f"{self.times:,}", f"{self.requests:,}", failed or "0"),
            *(f"{self.lost:,}", f"{self.wrong:,}", f"{self.recover_s:.2f}", self.injected),
            "; ".join(filter(None, (self.notes, *(f"BROKEN: {one}" for one in self.broken)))),
        )
        return f"| {' | '.join(cells)} |"
