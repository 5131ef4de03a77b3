"""What watches an engine: ticker, history, timeline, alerts, objectives, scrapers' registry.

ticker --(each second)--> history's queue, alert book
objectives are judged every SLO_EVERY_S in a thread of their own: they read the file
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from engine.config import Settings
from engine.errors import Overloaded
from engine.executors.pool import WorkerPool
from engine.periodic import Periodic
from engine.supervised import Supervised
from engine.telemetry.alerts.book import AlertBook, Event
from engine.telemetry.alerts.notify import Dispatcher, Notification
from engine.telemetry.alerts.preview import preview
from engine.telemetry.alerts.rules import parse_rules
from engine.telemetry.alerts.slo import slo_report
from engine.telemetry.frames import Frames
from engine.telemetry.history import History
from engine.telemetry.recorder import Recorder
from engine.telemetry.ticker import Inventory, Second, Ticker
from engine.telemetry.timeline import Stretched, Timeline
from engine.version import VERSION

log = logging.getLogger(__name__)
SLO_EVERY_S, SLO_STEPS = 30.0, 60
MAX_EVENTS = 200
PREVIEW_S = 86_400.0
PREVIEW_STEP_S = 30.0
DOWN_SHOWN_S = 60.0
"""A thread that died counts as down for so long, although its work was begun again."""


Labelled = Sequence[tuple[tuple[str, ...], float]]


class Monitoring:
    """One engine's. gauges and watched may be added to: sources of gauges, and of threads that
    are to go on.

    trim: frees memory and says what it freed; called off the ticker.
    """

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        inventory: Inventory,
        pool: WorkerPool,
        trim: Callable[[], str],
    ) -> None:
        self.gauges: list[Callable[[], Mapping[str, float | None]]] = [self._own_gauges]
        self.watched: list[Callable[[], Sequence[Supervised]]] = [self._own_threads]
        self._recorder, self._pool, self._trim = recorder, pool, trim
        self._dropped = 0
        self.ticker = Ticker(
            recorder, lambda: inventory() | self._told(), VERSION, gauges=self._read_gauges
        )
        self.history: History | None = None
        if settings.history and settings.telemetry:
            self.history = History(
                settings.state, recorder.labels, settings.history_bytes, self.ticker.event
            )
            self.ticker.told.append(self.history.note_event)
        self.timeline = Timeline(self.ticker.ring, recorder.labels, self.history)
        self.dispatcher = Dispatcher()
        self.alerts = AlertBook(
            settings.state, self.ticker.ring, self._note, self.dispatcher.send, self._act
        )
        self._slo = Periodic("slo", SLO_EVERY_S, self.judge)
        self.ticker.after.append(self._follow)
        self._looked_s = time.monotonic()

    def start(self) -> None:
        if self.history is not None:
            self.history.start()
        self.dispatcher.start()
        self._slo.start()
        self.ticker.start()

    def stop(self) -> None:
        self.ticker.stop()
        self._slo.stop()
        self.dispatcher.close()
        if self.history is not None:
            self.history.close()

    # each second

    def _read_gauges(self) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for read in self.gauges:
            found |= read()
        return found

    def _own_gauges(self) -> dict[str, float | None]:
        self._look_after_threads()
        before, self._dropped = self._dropped, self._recorder.dropped
        return {"threads_down": float(len(self.died())), "dropped_per_s": self._dropped - before}

    def _own_threads(self) -> list[Supervised]:
        writer = [] if self.history is None else [self.history.thread]
        return [self.ticker.thread, self._slo.thread, self.dispatcher.thread, *writer]

    def _threads(self) -> list[Supervised]:
        return [thread for watched in self.watched for thread in watched()]

    def _look_after_threads(self) -> None:
        """Tell which have died since the last look, and begin anew what is not there."""
        since_s, self._looked_s = self._looked_s, time.monotonic()
        for thread in self._threads():
            thread.revive()
            if thread.died_s >= since_s:
                self.ticker.event("thread", f"{thread.name} ended, and goes on: {thread.why}")

    def down(self) -> list[str]:
        """Names of threads that are not there."""
        return [thread.name for thread in self._threads() if thread.is_missing]

    def died(self) -> list[str]:
        """Names of threads that are not there, or died within DOWN_SHOWN_S."""
        since_s = time.monotonic() - DOWN_SHOWN_S
        return [t.name for t in self._threads() if t.is_missing or t.died_s > since_s]

    def _follow(self, second: Second) -> None:
        if self.history is not None:
            self.history.offer(second.time, second.elapsed_s, second.tally, second.gauges)
        self.alerts.tick(second.time, second.monotonic_s)

    def _told(self) -> dict[str, Any]:
        """What viewers are told of all this."""
        return {
            "alerts": self.alerts.as_list(time.monotonic()),
            "history": self.history.status() if self.history else None,
            "slos": list(self.alerts.slo_reports.values()),
        }

    def _note(self, event: Event) -> None:
        if self.history is not None:
            self.history.note_alert(event)
        _, rule, severity, state, _, text = event
        if state != "pending":
            self.ticker.event("alert", f"{rule} {severity} {state.replace('_', ' ')}: {text}")

    def _act(self, action: str, key: str) -> None:
        """A rule's action, off the ticker. Only `trim` is known."""

        def run() -> None:
            text = self._trim()
            self.alerts.note(key, time.time(), "cleaned up", text)

        try:
            self._pool.submit(run)
        except Overloaded as error:
            self.ticker.event("alert", f"{key}: no clean-up: {error}")

    # objectives

    def judge(self) -> None:
        """Budgets and burn rates of every objective, anew."""
        now, now_s = time.time(), time.monotonic()

        @cache
        def look(window_s: float) -> Frames:
            step_s = max(1.0, window_s / SLO_STEPS)
            return self.timeline.frames(window_s, now, now_s, step_s).frames

        slos = self.alerts.rules.slos
        self.alerts.slo_reports = {slo.name: slo_report(slo, look) for slo in slos}

    # for anybody

    def look_back(
        self, window_s: float, step_s: float | None = None, model: str | None = None
    ) -> Stretched:
        """What was recorded in the last window_s seconds. Raises InvalidInput."""
        now = time.time()
        return self.look_at(now - window_s, now, step_s, model)

    def look_at(
        self, from_s: float, to_s: float, step_s: float | None = None, model: str | None = None
    ) -> Stretched:
        """What was recorded between two times, UTC seconds. Raises InvalidInput."""
        until_s = time.monotonic() - (time.time() - to_s)
        return self.timeline.frames(to_s - from_s, to_s, until_s, step_s, model)

    def preview_rules(self, text: str, window_s: float = PREVIEW_S) -> list[dict[str, Any]]:
        """What rules would have done. Raises InvalidInput."""
        rules = parse_rules(text)
        step_s = max(1.0, min(PREVIEW_STEP_S, window_s / 60))
        return preview(rules, self.look_back(window_s, step_s).frames, step_s)

    def events_between(self, from_s: float, to_s: float) -> list[dict[str, Any]]:
        """The newest MAX_EVENTS of what happened between two times, oldest first."""
        kept = [] if self.history is None else self.history.events(from_s, to_s, MAX_EVENTS)
        recent = [tuple(event.values()) for event in self.ticker.events()]
        within = {event for event in recent if from_s <= event[0] <= to_s}
        newest = sorted(within.union(kept))[-MAX_EVENTS:]
        return [{"t": t, "kind": kind, "text": text} for t, kind, text in newest]

    def alert_history(self, since_s: float) -> list[dict[str, Any]]:
        """What happened to alerts, newest first; from the file, or else from memory."""
        if self.history is not None:
            found = self.history.alert_events(since_s)
            if found is not None:
                return found
        return [event for event in reversed(tuple(self.alerts.events)) if event["t"] >= since_s]

    def test_notification(self) -> list[str]:
        """Send a test to every destination; returns their labels."""
        alert = {"name": "test", "text": "this is a test; nothing is wrong"}
        test = Notification("Pyrometer: test", "warning", time.time(), (alert,))
        self.dispatcher.send(test)
        return [notifier.label for notifier in self.dispatcher.notifiers]

    def registry(self, state: Callable[[], Mapping[str, Labelled]]) -> Any:
        """A registry for scrapers. state: further families of the engine, by name."""
        # Not at start: a server that nobody scrapes needs no Prometheus client.
        from engine.telemetry.openmetrics import EngineCollector, registry_of

        def everything() -> Mapping[str, Labelled]:
            alerts = self.alerts.counts().items()
            dropped = 0 if self.history is None else self.history.dropped
            return {
                **state(),
                "pyrometer_alerts": list(alerts),
                "pyrometer_recorder_dropped": [((), self._recorder.dropped)],
                "pyrometer_history_dropped": [((), dropped)],
                "pyrometer_build_info": [((VERSION,), 1)],
            }

        return registry_of(
            EngineCollector(self.ticker.totals, lambda: self.ticker.gauges, everything)
        )
