"""A fault: how it is tried, how it is injected, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.faults.callers import Tally
from bench.faults.row import Row
from bench.faults.server import Place


@dataclass(slots=True)
class Seen:
    """What trying a fault showed. may_lose: requests that the fault itself takes along."""

    tally: Tally = field(default_factory=Tally)
    times: int = 0
    recover_s: float = 0.0
    may_lose: int = 0
    injected: str = ""
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def expect(self, holds: object, promise: str) -> None:
        """Note a promise that did not hold."""
        if not holds:
            self.broken.append(promise)

    def recovered(self, seconds: float) -> None:
        """One recovery; the longest is kept."""
        self.recover_s = max(self.recover_s, seconds)


@dataclass(frozen=True, slots=True)
class Fault:
    """One of the catalogue.

    run: tries it so many times. short, long: times in tests and in `make faults`. says: statuses
    that the fault itself says; 0 is a connection that is refused.
    """

    name: str
    run: Callable[[Place, int], Seen]
    injected: str
    short: int
    long: int
    says: frozenset[int] = frozenset()

    def row(self, place: Place, times: int) -> Row:
        """Try it."""
        seen = self.run(place, times)
        tally = seen.tally
        broken = [*seen.broken, *tally.problems(set(self.says), seen.may_lose)]
        if seen.recover_s == float("inf"):
            broken.append("it did not recover")
        return Row(
            self.name,
            seen.times or times,
            tally.requests,
            tally.failed,
            tally.lost,
            tally.wrong,
            seen.recover_s,
            seen.injected or self.injected,
            "; ".join(seen.notes),
            tuple(broken),
        )
