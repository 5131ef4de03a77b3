"""The alert book under any series of measurements and any order of what people do."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.errors import InvalidInput
from engine.telemetry.alerts.book import MAX_EVENTS, REPEAT_S, AlertBook, Event
from engine.telemetry.alerts.notify import Notification
from engine.telemetry.alerts.states import RESOLVED_FOR_S
from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.ring import Ring
from engine.telemetry.tally import tally_of

FOR_S, KEEP_S, WARNING, CRITICAL = 3, 2, 1000.0, 2000.0
RULES = f"""
[[rule]]
name = "memory"
metric = "memory_mb"
reduce = "last"
warning = {WARNING:g}
critical = {CRITICAL:g}
window = "1s"
for = "{FOR_S}s"
keep_firing = "{KEEP_S}s"
action = "trim"
"""
LIMITS = {"memory/warning": WARNING, "memory/critical": CRITICAL}
KEYS = st.sampled_from(sorted(LIMITS))
LEGAL = {
    "inactive": {"pending", "no_data"},
    "pending": {"firing", "inactive", "no_data"},
    "firing": {"recovering", "no_data"},
    "recovering": {"firing", "resolved", "no_data"},
    "resolved": {"inactive", "pending", "no_data"},
    "no_data": {"inactive", "pending", "firing", "recovering"},
}
KEPT = {"pending", "firing", "recovering", "resolved"}
"""States whose beginning is an event whatever was before."""


class AlertMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        (Path(self.folder.name) / "alerts.toml").write_text(RULES)
        self.ring, self.recorder = Ring(), Recorder()
        self.kept, self.told = list[Event](), list[Notification]()
        self.acted = list[str]()
        self.book = AlertBook(
            Path(self.folder.name),
            self.ring,
            self.kept.append,
            self.told.append,
            lambda action, key: self.acted.append(key),
        )
        self.wall_s, self.now_s = 1e9, 100.0
        self.expected = list[tuple[str, str]]()
        self.seen = dict.fromkeys(LIMITS, "inactive")
        self.since = dict.fromkeys(LIMITS, 0.0)
        self.fired = dict.fromkeys(LIMITS, False)
        self.known_to_people = dict.fromkeys(LIMITS, True)
        self.silenced_until: dict[str, float] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def states(self) -> dict[str, str]:
        return {one["key"]: one["state"] for one in self.book.as_list(self.now_s)}

    @rule(memory_mb=st.sampled_from([None, 500.0, 1500.0, 1500.0, 2500.0, 2500.0]))
    def second(self, memory_mb: float | None) -> None:
        self.wall_s += 1
        self.now_s += 1
        self.recorder.append(RequestMetrics("r", "/r", 200, "m", rows=1, duration_ns=1000))
        tally = tally_of(self.recorder.drain().rows)
        gauges = {"memory_mb": memory_mb}
        self.ring.append(self.now_s, 1.0, gauges, tally, self.recorder.labels.is_service())
        told, acted = len(self.told), len(self.acted)
        self.book.tick(self.wall_s, self.now_s)
        self.silenced_until = {
            key: until for key, until in self.silenced_until.items() if until > self.wall_s
        }
        states, fired = self.states(), 0
        for key in LIMITS:
            fired += self.check_step(key, states[key], memory_mb)
        assert len(self.acted) - acted == fired
        self.check_told(self.told[told:], states)
        self.seen = states

    @rule(memory_mb=st.sampled_from([500.0, 1500.0, 2500.0]), seconds=st.integers(2, 8))
    def seconds(self, memory_mb: float, seconds: int) -> None:
        for _ in range(seconds):
            self.second(memory_mb)

    @rule(seconds=st.sampled_from([60.0, RESOLVED_FOR_S, REPEAT_S]))
    def nothing_happens_for_long(self, seconds: float) -> None:
        """The ticker stands still, the machine was asleep say."""
        self.wall_s += seconds
        self.now_s += seconds

    def check_step(self, key: str, state: str, memory_mb: float | None) -> int:
        """One alert's step is legal and for a reason; returns how often it began to fire."""
        before = self.seen[key]
        over = memory_mb is not None and memory_mb > LIMITS[key]
        assert (state == "no_data") == (memory_mb is None)
        if state == before:
            return 0
        assert state in LEGAL[before], f"{before} to {state}"
        if state == "firing":
            assert over
            lasted = before == "pending" and self.now_s - self.since[key] >= FOR_S
            assert self.fired[key] or lasted
        if state in ("recovering", "resolved", "inactive"):
            assert not over
        if state == "resolved":
            assert self.fired[key]
            assert self.now_s - self.since[key] >= KEEP_S
        if state in ("inactive", "pending"):
            assert not self.fired[key], "an alert that fired ends without being resolved"
        begins = state == "firing"
        if begins and not self.fired[key]:
            self.known_to_people[key] = False
        self.fired[key] = begins or (self.fired[key] and state in ("recovering", "no_data"))
        if state in KEPT or before in ("firing", "recovering"):
            self.expected.append((key, state))
        self.since[key] = self.now_s
        return int(begins)

    def is_quiet(self, key: str, states: dict[str, str]) -> bool:
        if self.silenced_until:
            return True
        critical = states["memory/critical"] in ("firing", "recovering")
        return key == "memory/warning" and critical

    def check_told(self, sent: list[Notification], states: dict[str, str]) -> None:
        """People hear of all that begins and ends, unless it is quiet; never of what is quiet."""
        assert len(sent) <= 1, "one notification a second"
        told = {one["key"]: one["state"] for note in sent for one in note.alerts}
        for key, state in states.items():
            if self.is_quiet(key, states):
                assert key not in told
                continue
            lost = state == "no_data" and self.seen[key] in ("firing", "recovering")
            if state != self.seen[key] and (state in ("firing", "resolved") or lost):
                assert told.get(key) == state, f"nobody heard that {key} is {state}"
            if state == "firing":
                acknowledged = self.acknowledged(key)
                if key in told:
                    self.known_to_people[key] = True
                assert self.known_to_people[key] or acknowledged, f"{key} fires unheard"

    def acknowledged(self, key: str) -> bool:
        (one,) = [a for a in self.book.as_list(self.now_s) if a["key"] == key]
        return one["acknowledged"] is not None

    # people

    @rule(key=KEYS)
    def acknowledge(self, key: str) -> None:
        if self.states()[key] in ("firing", "recovering"):
            self.book.acknowledge(key, "ann", "", self.wall_s)
            self.expected.append((key, "acknowledged"))
            assert self.acknowledged(key)
        else:
            with pytest.raises(InvalidInput):
                self.book.acknowledge(key, "ann", "", self.wall_s)

    @rule(seconds=st.sampled_from([1.0, 4.0, 600.0]))
    def silence(self, seconds: float) -> None:
        until = self.wall_s + seconds
        number = self.book.silence("mem*", until, "ann", "work", self.wall_s)
        self.silenced_until[number] = until
        self.expected += [(one, "silenced") for one in ("memory/warning", "memory/critical")]

    @rule()
    def end_silences(self) -> None:
        for number in list(self.silenced_until):
            self.book.end_silence(number)
        self.silenced_until.clear()

    @rule()
    def keep_the_rules(self) -> None:
        """Rules that did not change: alerts go on as they were."""
        before = self.states()
        self.book.replace_rules(RULES)
        assert self.states() == before

    @rule()
    def bad_rules_change_nothing(self) -> None:
        before = self.book.text, self.states()
        with pytest.raises(InvalidInput):
            self.book.replace_rules("[[rule]]\nname = 3")
        assert (self.book.text, self.states()) == before

    # always

    @invariant()
    def no_event_is_lost_and_none_is_made_up(self) -> None:
        kept = [(f"{event[1]}/{event[2]}", event[3]) for event in self.kept]
        assert sorted(kept) == sorted(self.expected)
        shown = [(f"{e['rule']}/{e['severity']}", e["state"]) for e in self.book.events]
        assert shown == kept[-MAX_EVENTS:]

    @invariant()
    def counts_are_of_all_alerts(self) -> None:
        counts = self.book.counts()
        assert sum(counts.values()) == len(LIMITS)
        for key, state in self.states().items():
            assert counts[key.partition("/")[2], state] >= 1

    @invariant()
    def a_critical_value_is_over_the_warning_too(self) -> None:
        states = self.states()
        if states["memory/critical"] == "firing":
            assert states["memory/warning"] == "firing"

    @invariant()
    def silences_are_those_that_were_made(self) -> None:
        assert {one["id"] for one in self.book.silences} >= set(self.silenced_until)


TestAlertState = AlertMachine.TestCase
TestAlertState.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
