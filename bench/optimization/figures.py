"""The figures of one run: each says its value, unit, how many it is of, how and over what.

key      form/subject/name, for example plan/fraud_detector/warm_p99_ms
form     before   Flask, scikit-learn loaded at each request
         warm     scikit-learn as it is, loaded: --optimise off
         plan     Pyrometer as it is
subject  a model's name, or "server"
value    a number, or None; `why` then says why there is none
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

BEFORE, WARM, PLAN = "before", "warm", "plan"
FORMS = {
    BEFORE: "scikit-learn loaded at each request, Flask",
    WARM: "scikit-learn, warm (--optimise off)",
    PLAN: "Pyrometer as it is",
}
SERVER = "server"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. n: of how many. how: command or method. window: over what, in words."""

    value: float | None
    unit: str
    n: int
    how: str
    window: str
    why: str | None = None


@dataclass(slots=True)
class Figures:
    """All figures of a run by key."""

    by_key: dict[str, Figure] = field(default_factory=dict)

    def put(self, form: str, subject: str, name: str, figure: Figure) -> None:
        self.by_key[f"{form}/{subject}/{name}"] = figure

    def value(self, form: str, subject: str, name: str) -> float | None:
        found = self.by_key.get(f"{form}/{subject}/{name}")
        return None if found is None else found.value

    def has(self, form: str, subject: str, name: str) -> bool:
        return f"{form}/{subject}/{name}" in self.by_key

    def percentiles(
        self, form: str, subject: str, times_ms: Sequence[float], how: str, window: str
    ) -> None:
        """p50, p95 and p99 of one connection's requests."""
        for share in (50, 95, 99):
            value = float(np.percentile(times_ms, share)) if times_ms else None
            why = None if times_ms else "no request was answered"
            figure = Figure(value, "ms", len(times_ms), how, window, why)
            self.put(form, subject, f"warm_p{share}_ms", figure)

    def median(
        self, form: str, subject: str, name: str, times_ms: Sequence[float], how: str, window: str
    ) -> None:
        """A figure that is the median of few."""
        value = float(np.median(times_ms)) if times_ms else None
        why = None if times_ms else "not one of them succeeded"
        self.put(form, subject, name, Figure(value, "ms", len(times_ms), how, window, why))

    def missing(self, form: str, subject: str, name: str, unit: str, why: str) -> None:
        self.put(form, subject, name, Figure(None, unit, 0, "", "", why))

    def as_dict(self) -> Mapping[str, Any]:
        return {key: asdict(figure) for key, figure in self.by_key.items()}
