"""The life of one alert: a pure step from state to state.

    inactive -> pending -> firing -> recovering -> resolved -> inactive
                  '-> inactive   '-> firing

    no_data and error stand apart: nothing was measured, or the rule could not be evaluated;
    neither is ever taken for well.

Times are monotonic seconds, so that a set clock moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

INACTIVE, PENDING, FIRING, RECOVERING, RESOLVED = (
    "inactive",
    "pending",
    "firing",
    "recovering",
    "resolved",
)
NO_DATA, ERROR = "no_data", "error"
STATES = (INACTIVE, PENDING, FIRING, RECOVERING, RESOLVED, NO_DATA, ERROR)
ACTIVE = (FIRING, RECOVERING)
RESOLVED_FOR_S = 300.0
"""How long an alert is shown as resolved."""


@dataclass(frozen=True, slots=True)
class AlertState:
    """state since since_s. was_firing: what no_data or error interrupted."""

    state: str = INACTIVE
    since_s: float = 0.0
    was_firing: bool = False

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


def stepped(
    now: AlertState, condition: bool | None, now_s: float, for_s: float, keep_s: float
) -> AlertState:
    """The next state. condition: crossed or not; None is no data."""
    if condition is None:
        return _to(now, NO_DATA, now_s, now.is_active or now.was_firing)
    firing = now.is_active or now.was_firing
    if condition:
        if now.state == FIRING:
            return now
        if firing or for_s <= 0:
            return _to(now, FIRING, now_s)
        if now.state != PENDING:
            return _to(now, PENDING, now_s)
        return _to(now, FIRING, now_s) if now_s - now.since_s >= for_s else now
    if firing and now.state != RECOVERING and keep_s > 0:
        return _to(now, RECOVERING, now_s)
    if now.state == RECOVERING and now_s - now.since_s < keep_s:
        return now
    if firing:
        return _to(now, RESOLVED, now_s)
    if now.state == RESOLVED and now_s - now.since_s < RESOLVED_FOR_S:
        return now
    return _to(now, INACTIVE, now_s)


def failed(now: AlertState, now_s: float) -> AlertState:
    """The rule could not be evaluated."""
    return _to(now, ERROR, now_s, now.is_active or now.was_firing)


def _to(now: AlertState, state: str, now_s: float, was_firing: bool = False) -> AlertState:
    if now.state == state:
        return replace(now, was_firing=was_firing)
    return AlertState(state, now_s, was_firing)
