"""What a run came to: was it valid, did it keep its SLO, and the record that is stored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.lab import environment
from bench.lab.payloads import Payload
from bench.lab.spec import LabSpec, SloSpec
from bench.lab.store import new_id
from bench.lab.tally import Tally

MOST_LAG_PERCENT = 1.0
BUSY_PERCENT = 90.0


@dataclass(slots=True)
class Measured:
    """What one stretch of sending gave. seconds: measured, warm-up not included."""

    tally: Tally
    seconds: float
    requested_per_s: float | None
    achieved_per_s: float
    lag_percent: float | None
    cpu_percent: float
    gave_up: bool
    cancelled: bool
    open_loop: bool

    @property
    def why_invalid(self) -> str | None:
        """In words; None for a run that did what it was asked to."""
        if self.cancelled:
            return f"it was cancelled after {self.seconds:.1f} s"
        if not self.tally.requests:
            if self.gave_up and not self.tally.due and self.lag_percent is not None:
                return (
                    f"given up in the warm-up, {self.lag_percent:.1f} % behind the requested rate: "
                    f"{self._bottleneck()}"
                )
            return "nothing was answered"
        if self.lag_percent is not None and self.lag_percent > MOST_LAG_PERCENT:
            return (
                f"sending fell {self.lag_percent:.1f} % behind the requested rate (at most "
                f"{MOST_LAG_PERCENT:g} %){', and was given up' if self.gave_up else ''}: "
                f"{self._bottleneck()}"
            )
        return None

    def _bottleneck(self) -> str:
        if self.cpu_percent > BUSY_PERCENT:
            return f"the generator itself used {self.cpu_percent:.0f} % of a core"
        return "all connections were waiting for answers"


def record_of(
    spec: LabSpec, kind: str, started: float, measured: Measured, payload: Payload
) -> dict[str, Any]:
    """The run as it is stored, but for what only ramps and soaks have."""
    why = measured.why_invalid
    late = measured.tally.late.figures()
    return {
        "id": new_id(started),
        "kind": kind,
        "name": spec.name,
        "started": round(started, 3),
        "ended": round(time.time(), 3),
        **surroundings(),
        "spec": spec.as_dict(),
        "valid": why is None,
        "invalid_because": why,
        "cancelled": measured.cancelled,
        "requested_per_s": rounded(measured.requested_per_s, 2),
        "achieved_per_s": round(measured.achieved_per_s, 2),
        "lag_percent": rounded(measured.lag_percent, 3),
        **measured.tally.record(measured.open_loop),
        "expected_errors": measured.tally.expected_errors,
        "steps": None,
        "highest_within_slo_per_s": None,
        "payload": payload.source,
        "generator": {
            "name": "lab",
            "cpu_percent": round(measured.cpu_percent, 1),
            "late_ms": {name: late[name] for name in ("p50", "p99", "max")},
        },
    }


def surroundings() -> dict[str, Any]:
    """machine, versions and commit of a stored run."""
    return {
        "machine": environment.machine(),
        "versions": dict(environment.versions()),
        "commit": environment.commit(),
    }


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def slo_misses(slo: SloSpec, record: Mapping[str, Any]) -> list[str]:
    """Which limits of an SLO a run missed, in words."""
    misses = []
    p99_ms = record["latency_ms"]["p99"]
    error_percent = 100 * record["errors"] / max(1, record["requests"])
    if slo.p99_ms is not None and (p99_ms is None or p99_ms > slo.p99_ms):
        shown = "no data" if p99_ms is None else f"{p99_ms:.2f} ms"
        misses.append(f"p99 is {shown}; at most {slo.p99_ms:g} ms")
    if slo.error_percent is not None and error_percent > slo.error_percent:
        misses.append(f"{error_percent:.2f} % of requests failed; at most {slo.error_percent:g} %")
    if slo.least_per_s is not None and record["achieved_per_s"] < slo.least_per_s:
        misses.append(f"{record['achieved_per_s']:.1f} requests/s; at least {slo.least_per_s:g}")
    return misses
