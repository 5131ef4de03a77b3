"""The alert book: every alert's state, who has seen it, what is silenced, what happened.

    each second  rules -> values -> states -> transitions -> history, notification, action

Silences and the rules' file outlive the process; states are found anew, from the same data.
"""

from __future__ import annotations

import fnmatch
import json
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput, without_folders
from engine.files import write_atomically
from engine.telemetry.alerts.default_rules import DEFAULT_TOML
from engine.telemetry.alerts.notify import Notification
from engine.telemetry.alerts.rules import SEVERITIES, Rule, Rules, Slo, parse_rules
from engine.telemetry.alerts.slo import burning
from engine.telemetry.alerts.states import (
    FIRING,
    NO_DATA,
    RESOLVED,
    STATES,
    AlertState,
    failed,
    stepped,
)
from engine.telemetry.alerts.values import Reader
from engine.telemetry.catalogue import BY_NAME
from engine.telemetry.ring import Ring

log = logging.getLogger(__name__)
MAX_SILENCES = 100
MAX_EVENTS = 200
MAX_TEXT = 500
REPEAT_S = 4 * 3600.0
"""A firing alert that nobody has acknowledged is told again after this long."""
NEVER_S = float("-inf")
"""When an alert was told that was quiet since it fired: it is told as soon as it is not."""
RULES_FILE, SILENCES_FILE = "alerts.toml", "silences.json"
TOLD = (FIRING, RESOLVED, NO_DATA, "error")

Event = tuple[float, str, str, str, float | None, str]


@dataclass(slots=True)
class Alert:
    """One rule at one severity."""

    source: Rule | Slo
    severity: str
    state: AlertState
    value: float | None = None
    told_s: float = NEVER_S
    fired_at: float | None = None
    acknowledged: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def key(self) -> str:
        return f"{self.name}/{self.severity}"

    def text(self) -> str:
        """The value beside its limit, in words."""
        if isinstance(self.source, Slo):
            if self.value is None:
                return "Too few requests to tell how fast the error budget burns"
            return f"Error budget burns at {self.value:,.4g} times the allowed rate"
        metric = BY_NAME[self.source.metric]
        shown = "no data" if self.value is None else metric.shown(self.value)
        side = "below" if self.source.below else "above"
        limit = metric.shown(self.source.limit(self.severity) or 0.0)
        return f"{metric.label}: {shown}; {self.severity} {side} {limit}"


def _is_like(alert: Alert, pattern: str) -> bool:
    return fnmatch.fnmatchcase(alert.key if "/" in pattern else alert.name, pattern)


class AlertBook:
    """All alerts of one engine. `tick` is the ticker's; the rest is for any thread.

    act: what to do when a rule with an action fires. note: keeps an event. send: tells people.
    """

    def __init__(
        self,
        folder: Path,
        ring: Ring,
        note: Callable[[Event], None],
        send: Callable[[Notification], None],
        act: Callable[[str, str], None],
    ) -> None:
        self._folder, self._ring = folder, ring
        self._note, self._send, self._act = note, send, act
        self._lock = threading.RLock()
        self.problem: str | None = None
        self.slo_reports: dict[str, Mapping[str, Any]] = {}
        self.silences: list[dict[str, Any]] = []
        self.events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self.text, self.rules = self._load_rules()
        self._alerts = self._alerts_of(self.rules, {})
        self._load_silences()

    # rules

    def _load_rules(self) -> tuple[str, Rules]:
        path = self._folder / RULES_FILE
        try:
            text = path.read_text() if path.exists() else DEFAULT_TOML
            return text, parse_rules(text)
        except (InvalidInput, OSError, UnicodeDecodeError) as error:
            log.warning("%s: %s; the default rules apply", path, error)
            self.problem = f"{RULES_FILE}: {without_folders(str(error))}; the default rules apply"
            return DEFAULT_TOML, parse_rules(DEFAULT_TOML)

    def replace_rules(self, text: str) -> Rules:
        """Take new rules and keep them. Raises InvalidInput and changes nothing."""
        rules = parse_rules(text)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / RULES_FILE, text.encode())
        except OSError as error:
            raise InvalidInput(f"the rules could not be kept: {error}") from None
        with self._lock:
            self.text, self.rules, self.problem = text, rules, None
            self._alerts = self._alerts_of(rules, {alert.key: alert for alert in self._alerts})
        return rules

    @staticmethod
    def _alerts_of(rules: Rules, before: Mapping[str, Alert]) -> list[Alert]:
        """An alert for each limit; one whose rule has not changed keeps its state."""
        found = []
        sources: tuple[Rule | Slo, ...] = (*rules.rules, *rules.slos)
        for source in sources:
            for severity in SEVERITIES:
                if isinstance(source, Rule) and source.limit(severity) is None:
                    continue
                old = before.get(f"{source.name}/{severity}")
                same = old is not None and old.source == source
                found.append(old if old and same else Alert(source, severity, AlertState()))
        return found

    # each second

    def tick(self, now: float, now_s: float) -> None:
        """Evaluate every rule. now: UTC, for people; now_s: monotonic, for durations."""
        with self._lock:
            self._end_silences(now)
            reader = Reader(self._ring)
            changed = [alert for alert in self._alerts if self._step(alert, reader, now, now_s)]
            repeated = [alert for alert in self._alerts if self._is_due_again(alert, now_s)]
            told = [
                alert
                for alert in {id(a): a for a in (*changed, *repeated)}.values()
                if alert.state.state in TOLD and not self._is_quiet(alert)
            ]
            for alert in told:
                alert.told_s = now_s
        if told:
            self._tell(told, now)
        for alert in changed:
            action = alert.source.action if isinstance(alert.source, Rule) else ""
            if action and alert.state.state == FIRING:
                self._act(action, alert.key)

    def _step(self, alert: Alert, reader: Reader, now: float, now_s: float) -> bool:
        """Move an alert on; True when that is worth keeping."""
        before, source = alert.state, alert.source
        try:
            condition, alert.value = self._condition(alert, reader)
        except Exception:
            log.exception("rule %s could not be evaluated", alert.name)
            alert.state, alert.value = failed(before, now_s), None
        else:
            for_s, keep_s = (
                (source.for_, source.keep_firing) if isinstance(source, Rule) else (0.0, 0.0)
            )
            alert.state = stepped(before, condition, now_s, for_s, keep_s)
        if alert.state.state == before.state:
            return False
        if alert.state.state == FIRING and not (before.is_active or before.was_firing):
            alert.fired_at, alert.acknowledged, alert.told_s = now, None, NEVER_S
        quiet = {before.state, alert.state.state} <= {"inactive", NO_DATA, "pending", RESOLVED}
        ended = alert.state.state == RESOLVED
        if quiet and not ended and alert.state.state != "pending":
            return False
        self._keep(alert, now, alert.state.state, alert.text())
        return True

    def _condition(self, alert: Alert, reader: Reader) -> tuple[bool | None, float | None]:
        source = alert.source
        if isinstance(source, Slo):
            report = self.slo_reports.get(source.name)
            return burning(source, report, alert.severity) if report else (None, None)
        value = reader.value(source)
        return (None if value is None else source.crossed(alert.severity, value)), value

    def _is_due_again(self, alert: Alert, now_s: float) -> bool:
        waited = now_s - alert.told_s >= REPEAT_S
        return alert.state.state == FIRING and waited and alert.acknowledged is None

    def _is_quiet(self, alert: Alert) -> bool:
        """Silenced, or a warning whose rule is critical at the same time."""
        if self.silence_of(alert) is not None:
            return True
        return alert.severity == "warning" and any(
            other.name == alert.name
            and other.severity == "critical"
            and other.state.is_active
            and self.silence_of(other) is None
            for other in self._alerts
        )

    def _tell(self, alerts: list[Alert], now: float) -> None:
        """One notification for all that changed in one second."""
        worst = "critical" if any(a.severity == "critical" for a in alerts) else "warning"
        became = (f"{alert.name} {alert.state.state.replace('_', ' ')}" for alert in alerts)
        words = list(dict.fromkeys(became))  # both severities of a rule end in one second
        title = f"Pyrometer: {', '.join(words[:5])}" + (", and more" if len(words) > 5 else "")
        self._send(Notification(title, worst, now, tuple(map(self._as_dict, alerts))))

    def _keep(self, alert: Alert, now: float, state: str, text: str) -> None:
        event = (now, alert.name, alert.severity, state, alert.value, text[:MAX_TEXT])
        names = ("t", "rule", "severity", "state", "value", "text")
        self.events.append(dict(zip(names, event, strict=True)))
        self._note(event)

    def note(self, key: str, now: float, state: str, text: str) -> None:
        """Add what was done about an alert to its history."""
        with self._lock:
            self._keep(self._find(key), now, state, text)

    # people

    def _find(self, key: str) -> Alert:
        for alert in self._alerts:
            if alert.key == key:
                return alert
        raise InvalidInput(f"there is no alert {key[:80]!r}; it is named rule/severity")

    def acknowledge(self, key: str, author: str, note: str, now: float) -> None:
        """Somebody has seen it: it is not told again while it fires. Raises InvalidInput."""
        with self._lock:
            alert = self._find(key)
            if not alert.state.is_active:
                raise InvalidInput(f"alert {key!r} is {alert.state.state}; it does not fire")
            alert.acknowledged = {"author": author, "note": note, "time": now}
            self._keep(alert, now, "acknowledged", f"{author}: {note}" if note else author)

    def silence(self, pattern: str, until: float, author: str, reason: str, now: float) -> str:
        """Tell nobody of the alerts that match, until then. Raises InvalidInput.

        pattern: of rules' names, for all their severities, or of rule/severity.
        """
        with self._lock:
            if len(self.silences) >= MAX_SILENCES:
                raise InvalidInput(f"there are {MAX_SILENCES} silences, the limit")
            matching = [alert for alert in self._alerts if _is_like(alert, pattern)]
            if not matching:
                raise InvalidInput(
                    f"no rule has a name like {pattern[:80]!r}, nor has a rule/severity"
                )
            number = uuid.uuid4().hex[:12]
            self.silences.append(
                {
                    "id": number,
                    "rule": pattern,
                    "until": until,
                    "author": author,
                    "reason": reason,
                    "since": now,
                }
            )
            for alert in matching:
                self._keep(alert, now, "silenced", f"{author}: {reason}")
        self._save_silences()
        return number

    def end_silence(self, number: str) -> None:
        """Raises InvalidInput for one that is not there."""
        with self._lock:
            kept = [silence for silence in self.silences if silence["id"] != number]
            if len(kept) == len(self.silences):
                raise InvalidInput(f"there is no silence {number[:40]!r}")
            self.silences = kept
        self._save_silences()

    def _end_silences(self, now: float) -> None:
        """Drop those that are over; the file may keep them, no tick waits for a disk."""
        if any(silence["until"] <= now for silence in self.silences):
            self.silences = [one for one in self.silences if one["until"] > now]

    def silence_of(self, alert: Alert) -> dict[str, Any] | None:
        for silence in self.silences:
            if _is_like(alert, silence["rule"]):
                return silence
        return None

    def _load_silences(self) -> None:
        path = self._folder / SILENCES_FILE
        try:
            if path.exists():
                self.silences = list(json.loads(path.read_text()))[:MAX_SILENCES]
        except (OSError, ValueError):
            log.warning("%s could not be read; nothing is silenced", SILENCES_FILE)

    def _save_silences(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            content = json.dumps(self.silences).encode()
            write_atomically(self._folder / SILENCES_FILE, content)
        except OSError:
            log.exception("silences could not be kept; they end with this process")

    # reading

    def _as_dict(self, alert: Alert) -> dict[str, Any]:
        silence = self.silence_of(alert)
        return {
            "key": alert.key,
            "name": alert.name,
            "severity": alert.severity,
            "state": alert.state.state,
            "since_s": alert.state.since_s,
            "value": alert.value,
            "text": alert.text(),
            "description": getattr(alert.source, "description", ""),
            "fired_at": alert.fired_at,
            "acknowledged": alert.acknowledged,
            "silenced": silence["reason"] if silence else None,
        }

    def as_list(self, now_s: float) -> list[dict[str, Any]]:
        """Every alert, those that matter first; for_s: how long it has been as it is."""
        order = (FIRING, "recovering", "error", "pending", NO_DATA, RESOLVED, "inactive")
        with self._lock:
            found = [self._as_dict(alert) for alert in self._alerts]
        for one in found:
            since_s = one.pop("since_s")
            one["for_s"] = max(0.0, now_s - since_s) if since_s else None
        return sorted(found, key=lambda a: (order.index(a["state"]), a["severity"], a["name"]))

    def counts(self) -> dict[tuple[str, str], int]:
        """Alerts by severity and state, zeros included."""
        found = {(severity, state): 0 for severity in SEVERITIES for state in STATES}
        with self._lock:
            for alert in self._alerts:
                found[alert.severity, alert.state.state] += 1
        return found
