"""What rules would have done: the same states over past frames."""

from __future__ import annotations

from typing import Any

from engine.telemetry.alerts.rules import SEVERITIES, Rule, Rules
from engine.telemetry.alerts.states import FIRING, AlertState, stepped
from engine.telemetry.alerts.values import values_of
from engine.telemetry.frames import Frames

MAX_SPANS = 50


def preview(rules: Rules, frames: Frames, step_s: float) -> list[dict[str, Any]]:
    """For each alert of a rule: when it would have fired in these frames, UTC seconds.

    Objectives are left out: their windows are longer than most previews.
    """
    found = []
    for rule in rules.rules:
        values = values_of(rule, frames, step_s)
        found += [
            _previewed(rule, severity, values, frames, step_s)
            for severity in SEVERITIES
            if rule.limit(severity) is not None
        ]
    return found


def _previewed(
    rule: Rule, severity: str, values: Any, frames: Frames, step_s: float
) -> dict[str, Any]:
    state, spans, known = AlertState(), [], 0
    for start_s, value in zip(frames.start_s.tolist(), values.tolist(), strict=True):
        now_s = start_s + step_s
        condition = None if value != value else rule.crossed(severity, value)
        known += condition is not None
        before, state = state, stepped(state, condition, now_s, rule.for_, rule.keep_firing)
        if state.state == FIRING and not before.is_active and not before.was_firing:
            spans.append([now_s, None])
        elif spans and spans[-1][1] is None and not (state.is_active or state.was_firing):
            spans[-1][1] = now_s
    return {
        "key": f"{rule.name}/{severity}",
        "fired": len(spans),
        "spans": spans[-MAX_SPANS:],
        "measured_percent": 100 * known / len(frames) if len(frames) else 0.0,
    }
