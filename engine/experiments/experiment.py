r"""One experiment: its state, and what was seen of its variants.

    draft --start--> running --planned number--> finished --\
                        |----by hand, guard rail--> stopped ---> promoted, rolled_back

Fed from three sides: callers are assigned (any thread), a second's records come from the ticker,
comparisons from the shadow's thread. One lock; nothing is computed under it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engine.experiments.agreement import Agreement, compare
from engine.experiments.blocks import Blocks
from engine.experiments.compare import LEAST_BLOCKS, used_blocks
from engine.experiments.definition import Definition, Guard
from engine.experiments.guards import (
    Look,
    look_at_disagreement,
    look_at_errors,
    look_at_p99,
)
from engine.experiments.running_mean import RunningMeans
from engine.experiments.split import Split, digest_of
from engine.experiments.units import Units

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "draft": ("start", "delete"),
    "running": ("stop", "promote", "rollback"),
    "finished": ("promote", "rollback", "delete"),
    "stopped": ("promote", "rollback", "delete"),
    "promoted": ("undo", "rollback", "delete"),
    "rolled_back": ("promote", "delete"),
}


@dataclass(slots=True)
class VariantCounts:
    """Since the start. errors: failed by the server. refused: answered with 4xx but 429, 499."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    cached: int = 0

    @property
    def failed(self) -> int:
        return self.errors + self.refused


class Answered(NamedTuple):
    """Records of one second. variant: places. times_ms: NaN where there is nothing to measure."""

    variant: np.ndarray
    status: np.ndarray
    cached: np.ndarray
    times_ms: np.ndarray


class Ending(NamedTuple):
    """Why an experiment is to end. by: a guard rail, "planned", "hand" or "changed"."""

    by: str
    reason: str
    blamed: str | None = None


class Experiment:
    """Safe for several threads. digests: of the content behind each variant, set at its start.

    out: candidates that a guard rail took out while others go on: by, reason, t. final: figures
    and when they were computed, once it has ended. elapsed_s: how long it had run when it was
    stored.
    """

    def __init__(
        self,
        number: str,
        definition: Definition,
        created_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        elapsed_s: float = 0.0,
    ) -> None:
        self.id, self.definition, self.created_s = number, definition, created_s
        self.state = "draft"
        self.started_s: float | None = None
        self.ended_s: float | None = None
        self.reason = ""
        self.stopped_by: str | None = None
        self.blamed: str | None = None
        self.promoted: str | None = None
        self.out: dict[str, dict[str, Any]] = {}
        self.digests: list[str] = []
        self.final: dict[str, Any] | None = None
        self.computed: dict[str, Any] = {}
        self.computed_s: float | None = None
        variants = definition.variants
        self.names = tuple(variant.name for variant in variants)
        self.split = Split(number, [variant.weight for variant in variants])
        self.lock = threading.Lock()
        self.units = Units(len(variants))
        self.by_header = self.by_inputs = 0
        self.blocks = Blocks(len(variants))
        self.counts = [VariantCounts() for _ in variants]
        self.means = RunningMeans(len(variants), definition.alpha)
        self.agreements = [Agreement(name) for name in self.names[1:]]
        self.shadow: dict[str, int] = {}
        self._monotonic = monotonic
        self._elapsed_s, self._resumed_s = elapsed_s, monotonic()

    # its life

    def run(self, now_s: float) -> None:
        """Begin, or go on after a restart. now_s: UTC seconds."""
        self.state, self._resumed_s = "running", self._monotonic()
        if self.started_s is None:
            self.started_s = now_s

    def end(self, ending: Ending, now_s: float) -> None:
        """Nothing is taken from now on."""
        with self.lock:
            self._elapsed_s = self.since_s
            self.state = "finished" if ending.by == "planned" else "stopped"
            self.ended_s, self.reason, self.blamed = now_s, ending.reason, ending.blamed
            self.stopped_by = None if ending.by == "planned" else ending.by

    def take_out(self, ending: Ending, now_s: float) -> bool:
        """Go on without the candidate that is to blame; False where it was the last one."""
        if ending.blamed is None:
            return False
        with self.lock:
            told = {"by": ending.by, "reason": ending.reason, "t": now_s}
            self.out = self.out | {ending.blamed: told}
            return len(self.out) < len(self.names) - 1

    @property
    def places_in(self) -> list[int]:
        """Places of control and of the candidates that no guard rail has taken out."""
        return [at for at, name in enumerate(self.names) if name not in self.out]

    @property
    def since_s(self) -> float:
        """Seconds it has run; a time when the server was down does not count."""
        if self.state != "running":
            return self._elapsed_s
        return self._elapsed_s + self._monotonic() - self._resumed_s

    @property
    def actions(self) -> list[str]:
        return list(ACTIONS[self.state])

    # what it is fed

    def assign(self, header: str, inputs: Mapping[str, np.ndarray]) -> int:
        """The variant of a caller: its place. header: the value of the caller's, or ""."""
        place = self.split.place(header.encode() if header else digest_of(inputs))
        with self.lock:
            self.units.add(place.variant, place.unit)
            if header:
                self.by_header += 1
            else:
                self.by_inputs += 1
        return place.variant

    def take(self, answered: Answered) -> None:
        """A second's records."""
        since_s = self.since_s
        with self.lock:
            if self.state != "running":
                return
            for at, counts in enumerate(self.counts):
                mine = answered.variant == at
                status = answered.status[mine & (answered.status != 499)]
                counts.requests += len(status)
                counts.errors += int(((status >= 500) | (status == 429)).sum())
                counts.refused += int(((status >= 400) & (status < 500) & (status != 429)).sum())
                counts.cached += int(answered.cached[mine].sum())
                times_ms = answered.times_ms[mine & (answered.status == 200)]
                self._time(since_s, at, times_ms[~np.isnan(times_ms)])

    def _time(self, since_s: float, variant: int, times_ms: np.ndarray) -> None:
        self.blocks.add(since_s, variant, times_ms)
        self.means.add(since_s, variant, times_ms)

    def take_shadow(self, times_ms: Mapping[int, float | None]) -> None:
        """One request run by variants beside its caller, by place; None for one that failed."""
        since_s = self.since_s
        with self.lock:
            if self.state != "running":
                return
            for at, ms in times_ms.items():
                counts = self.counts[at]
                counts.requests += 1
                if ms is None:
                    counts.errors += 1
                elif times_ms[0] is not None:
                    self._time(since_s, at, np.array([ms]))

    def take_comparison(
        self,
        candidate: int,
        of_control: Mapping[str, np.ndarray],
        of_candidate: Mapping[str, np.ndarray] | None,
        inputs: Mapping[str, np.ndarray],
        now_s: float,
    ) -> None:
        """Two answers to the same inputs; None: the candidate failed. candidate: from 1."""
        agreement = self.agreements[candidate - 1]
        if of_candidate is None:
            with self.lock:
                agreement.add_failure()
            return
        rows = len(next(iter(inputs.values())))
        compared = compare(of_control, of_candidate, rows, self.definition.tolerance)
        digest = digest_of(inputs) if compared.worst else b""
        with self.lock:
            if self.state == "running":
                agreement.add(of_control, of_candidate, compared, digest, now_s)

    # what it says

    def progress(self) -> tuple[int, int | None]:
        """Measured requests of the variant with the fewest, and how many are needed."""
        measured = self.blocks.histograms.sum(axis=1)[self.places_in]
        return int(measured.min()), self.definition.requests

    @property
    def visible(self) -> bool:
        """Whether its figures may be shown: while it runs, only those made to be looked at."""
        return self.definition.requests is None or self.state not in ("draft", "running")

    @property
    def is_judged(self) -> bool:
        """Whether there is a verdict: one that ended before its planned number has none."""
        done, needed = self.progress()
        return self.visible and (needed is None or done >= needed)

    def looks(self) -> list[tuple[str, Guard | None, Look | None]]:
        """What each guard rail sees of each candidate: (candidate, guard, look)."""
        with self.lock:
            return [
                (name, guard, None if guard is None else self._look(kind, guard, at))
                for at, name in enumerate(self.names[1:], 1)
                for kind, guard in self.definition.guards.items()
            ]

    def _look(self, kind: str, guard: Guard, at: int) -> Look:
        if kind == "errors":
            control, candidate = self.counts[0], self.counts[at]
            return look_at_errors(
                guard, (control.failed, control.requests), (candidate.failed, candidate.requests)
            )
        if kind == "p99":
            return look_at_p99(guard, self.blocks, 0, at)
        return look_at_disagreement(guard, self.agreements[at - 1])

    def judge(self) -> Ending | None:
        """Whether it is to end now, and why."""
        for name, guard, look in self.looks():
            if name in self.out:
                continue
            if guard is not None and look is not None and look.passed:
                reason = (
                    f"guard rail {look.guard}: {name}: {look.text}; the limit is {guard.limit:g}"
                )
                return Ending(look.guard, reason, name)
        done, needed = self.progress()
        if needed is None or done < needed:
            return None
        pairs = self.places_in[1:]
        if min(len(used_blocks(self.blocks, 0, at)) for at in pairs) < LEAST_BLOCKS:
            return None
        return Ending("planned", f"each variant has answered {needed} requests")
