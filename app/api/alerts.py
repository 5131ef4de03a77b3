"""Alerts: what fires, who has seen it, what is silenced, the rules and what they would do."""

from __future__ import annotations

import time
from typing import Any

from app.api.performance import object_of
from app.api.telemetry import checked_text
from app.exchange import Exchange, Response, json_response
from engine.errors import InvalidInput
from engine.telemetry.alerts.rules import MAX_BYTES, parse_duration

MAX_SILENCE_S = 30 * 86_400.0
HISTORY_S = 30 * 86_400.0


def overview(exchange: Exchange) -> Response:
    """Every alert with its state, silences, objectives, rules, destinations, and the history."""
    monitoring = exchange.engine.monitoring
    book = monitoring.alerts
    return json_response(
        {
            "alerts": book.as_list(time.monotonic()),
            "silences": book.silences,
            "slos": list(book.slo_reports.values()),
            "rules": book.text,
            "problem": book.problem,
            "notifications": monitoring.dispatcher.figures(),
            "history": monitoring.alert_history(time.time() - HISTORY_S),
        }
    )


def replace_rules(exchange: Exchange) -> Response:
    """POST {"rules": TOML, "author"}: take new rules; nothing changes when one is wrong."""
    body = object_of(exchange, {"rules", "author"})
    author = checked_text(body, "author", 80)
    rules = exchange.engine.monitoring.alerts.replace_rules(checked_text(body, "rules", MAX_BYTES))
    text = f"{author} replaced the rules: {len(rules.rules)} rules, {len(rules.slos)} objectives"
    exchange.engine.ticker.event("rules", text)
    return json_response({"text": text})


def preview(exchange: Exchange) -> Response:
    """POST {"rules": TOML, "window"?}: when they would have fired; nothing changes."""
    body = object_of(exchange, {"rules", "window"})
    window_s = parse_duration("window", body.get("window", "1d"))
    if window_s < 60:
        raise InvalidInput(f"window is {window_s:g} s; it must be at least 1m")
    rules = checked_text(body, "rules", MAX_BYTES)
    alerts = exchange.engine.monitoring.preview_rules(rules, window_s)
    fired = sum(alert["fired"] for alert in alerts)
    text = f"{len(alerts)} alerts would have fired {fired} times"
    return json_response({"alerts": alerts, "window_s": window_s, "text": text})


def acknowledge(exchange: Exchange) -> Response:
    """POST {"alert": "rule/severity", "author", "note"?}: somebody has seen it."""
    body = object_of(exchange, {"alert", "author", "note"})
    key, author = checked_text(body, "alert", 100), checked_text(body, "author", 80)
    note = checked_text(body, "note", 300, "")
    exchange.engine.monitoring.alerts.acknowledge(key, author, note, time.time())
    return json_response({"text": f"{key} is acknowledged by {author}"})


def silence(exchange: Exchange) -> Response:
    """POST {"rule": name, rule/severity or a pattern, "for", "author", "reason"}: tell nobody."""
    body = object_of(exchange, {"rule", "for", "author", "reason"})
    rule, author = checked_text(body, "rule", 80), checked_text(body, "author", 80)
    reason = checked_text(body, "reason", 300)
    for_s = parse_duration("for", body.get("for", ""))
    if not 1 <= for_s <= MAX_SILENCE_S:
        raise InvalidInput(f"for is {for_s:g} s; it must be 1 s to 30 d")
    now = time.time()
    book = exchange.engine.monitoring.alerts
    number = book.silence(rule, now + for_s, author, reason, now)
    return json_response({"id": number, "until": now + for_s, "text": f"{rule} is silenced"})


def end_silence(exchange: Exchange) -> Response:
    """POST {"id"}: tell people again."""
    body = object_of(exchange, {"id"})
    exchange.engine.monitoring.alerts.end_silence(checked_text(body, "id", 40))
    return json_response({"text": "the silence has ended"})


def test(exchange: Exchange) -> Response:
    """POST {}: send a test notification to every destination."""
    object_of(exchange, set())
    labels = exchange.engine.monitoring.test_notification()
    text = f"a test goes to {', '.join(labels)}" if labels else "no destination is configured"
    answer: dict[str, Any] = {"destinations": labels, "text": text}
    return json_response(answer)
