"""A version of a model that serves, and where it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from engine.executors.placement import Placement
from engine.executors.remote import AUTO, LOCAL
from engine.models.loaded import LoadedModel
from engine.sent import Sent

LEAST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0


@dataclass(slots=True)
class Placed:
    """One version that serves. app: its deployment; "" where it has none.

    starts: which bridge it was deployed through. quick_rows: what the model had before.
    older: deployments of what it had before, to be removed once it has another. lost_s: when
    its replicas first answered no sample, monotonic; None while they do.
    """

    model: LoadedModel
    placement: Placement
    choice: str = AUTO
    state: str = LOCAL
    app: str = ""
    older: frozenset[str] = frozenset()
    lost_s: float | None = None
    sent: Sent | None = None
    starts: int = 0
    quick_rows: int = 0
    problem: str = ""
    pause_s: float = LEAST_PAUSE_S
    again_s: float = 0.0
    since_s: float = field(default_factory=time.time)

    def has_failed(self, error: Exception) -> None:
        """Said so, and tried again after a pause, the next time after a longer one."""
        self.state, self.problem = "failed", str(error)[:300]
        self.again_s = time.monotonic() + self.pause_s
        self.pause_s = min(LONGEST_PAUSE_S, 2 * self.pause_s)

    @property
    def where(self) -> str:
        """In words."""
        return "on Ray" if self.sent is not None else "here"

    @property
    def shown_state(self) -> str:
        """Its state, or that its replicas answer nothing just now."""
        resting = self.sent is not None and self.sent.resting
        return "away" if resting else self.state
