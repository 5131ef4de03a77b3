"""Objectives: what share of requests is good, the error budget, how fast it burns.

Burn rate 1 uses the budget up exactly at the window's end. The pairs of windows and rates are
those of multi-window burn-rate alerting for 30 days: fast burns page, slow ones make a ticket,
and the short window of a pair ends the alert soon after the burning ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engine.telemetry.alerts.rules import Slo
from engine.telemetry.frames import Frames
from engine.telemetry.histogram import count_up_to
from engine.telemetry.tally import TOTAL_AT

BAD = ("requests_server_error", "requests_expired", "requests_shed")
NOT_OURS = ("requests_client_error", "requests_cancelled")


class Burn(NamedTuple):
    """Fires while both windows burn faster than `rate`."""

    severity: str
    rate: float
    long_s: float
    short_s: float


BURNS = (
    Burn("critical", 14.4, 3600, 300),
    Burn("critical", 6.0, 21_600, 1800),
    Burn("warning", 1.0, 3 * 86_400, 21_600),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """Good and all requests of one window that count for an objective."""

    good: int
    requests: int

    def burn_rate(self, slo: Slo) -> float | None:
        """How many times as fast as allowed the budget is used; None without requests."""
        if not self.requests:
            return None
        allowed = 1 - slo.objective_percent / 100
        return (1 - self.good / self.requests) / allowed


def judged(slo: Slo, frames: Frames) -> Judged:
    """Requests that count for an objective.

    Availability: the callers' own errors count neither way. Latency: every request counts by
    its time, whatever its answer was.
    """
    sums = frames.totals.sum(axis=0)
    requests = int(sums[TOTAL_AT["requests"]])
    if slo.kind == "latency":
        within = count_up_to(np.asarray(frames.histograms.sum(axis=0)), slo.threshold_ms)
        return Judged(within, requests)
    requests -= int(sum(sums[TOTAL_AT[name]] for name in NOT_OURS))
    return Judged(requests - int(sum(sums[TOTAL_AT[name]] for name in BAD)), requests)


def slo_report(slo: Slo, look: Callable[[float], Frames]) -> dict[str, Any]:
    """Budget and burn rates. look: frames of the last so many seconds."""
    windows = sorted({slo.window, *(window for burn in BURNS for window in burn[2:])})
    found: Mapping[float, Judged] = {window: judged(slo, look(window)) for window in windows}
    whole = found[slo.window]
    used = whole.burn_rate(slo)
    burns = [
        {
            "severity": burn.severity,
            "rate": burn.rate,
            "long_s": burn.long_s,
            "short_s": burn.short_s,
            "long_burn": found[burn.long_s].burn_rate(slo),
            "short_burn": found[burn.short_s].burn_rate(slo),
            "requests": found[burn.long_s].requests,
        }
        for burn in BURNS
    ]
    return {
        "name": slo.name,
        "kind": slo.kind,
        "objective_percent": slo.objective_percent,
        "threshold_ms": slo.threshold_ms or None,
        "window_s": slo.window,
        "requests": whole.requests,
        "good_percent": 100 * whole.good / whole.requests if whole.requests else None,
        "budget_left_percent": None if used is None else 100 * (1 - used),
        "burns": burns,
    }


def burning(slo: Slo, report: Mapping[str, Any], severity: str) -> tuple[bool | None, float | None]:
    """Whether an objective's budget burns at a severity, and the worst long burn rate.

    None: too few requests to tell.
    """
    own = [burn for burn in report["burns"] if burn["severity"] == severity]
    told = [burn for burn in own if burn["requests"] >= slo.min_requests]
    if not told:
        return None, None
    crossed = [
        burn
        for burn in told
        if burn["long_burn"] > burn["rate"] and (burn["short_burn"] or 0) > burn["rate"]
    ]
    return bool(crossed), max(burn["long_burn"] for burn in told)
