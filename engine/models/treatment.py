"""One version served in another way than its plan and the settings say.

    form        one form for all numbers of rows; "": as planned
    batch_rows  rows of a joined run, 1: none; None: as set
    caches      whether answers are kept; None: as model.toml says

A treated model has a digest of its own, so that no cache takes its answers for another's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any

from engine.batching.policy import Lanes
from engine.models.plan import NO_LIMIT, Plan
from engine.models.repository import ModelEntry


@dataclass(frozen=True, slots=True)
class Treatment:
    """See above. batch_wait_us: longest a batch waits to become full; None: as set."""

    form: str = ""
    batch_rows: int | None = None
    batch_wait_us: float | None = None
    caches: bool | None = None

    def plan_of(self, plan: Plan) -> Plan:
        """The plan with one form for everything, if it has that form and did not rule it out."""
        candidate = next((c for c in plan.candidates if c.form == self.form), None)
        if candidate is None or candidate.verdict == "out":
            return plan
        reason = f"{self.form} was promoted by an experiment"
        marked = tuple(
            replace(c, verdict="chosen", reason=reason)
            if c.form == self.form
            else replace(c, verdict="agrees")
            if c.verdict == "chosen"
            else c
            for c in plan.candidates
        )
        return replace(plan, candidates=marked, ranges=((NO_LIMIT, self.form),), reason=reason)

    def entry_of(self, entry: ModelEntry) -> ModelEntry:
        if self.caches is None:
            return entry
        return replace(entry, declared=replace(entry.declared, cache_results=self.caches))

    def lanes_of(self, lanes: Lanes) -> Lanes:
        rows = lanes.batch_max_rows if self.batch_rows is None else self.batch_rows
        wait_us = lanes.batch_max_wait_us if self.batch_wait_us is None else self.batch_wait_us
        return replace(lanes, batch_max_rows=rows, batch_max_wait_us=wait_us)

    def digest_of(self, digest: bytes, salt: str = "") -> bytes:
        """Of the model treated so. salt: tells apart what is treated alike."""
        if self == AS_IS and not salt:
            return digest
        words = f"{self.form}\0{self.batch_rows}\0{self.batch_wait_us}\0{self.caches}\0{salt}"
        return blake2b(digest + words.encode(), digest_size=32).digest()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


AS_IS = Treatment()
