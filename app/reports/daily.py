"""A report each day at report_at, UTC, stored beside the others; it measures nothing anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.reports.gather import report_of
from app.reports.store import ReportStore
from engine.engine import Engine
from engine.periodic import Periodic

LOOK_EVERY_S = 20.0
WINDOW_S = 86_400.0


def next_at(at: str, now_s: float) -> float | None:
    """When the next one is due, UTC seconds; None where `at`, HH:MM, is empty."""
    if not at:
        return None
    hour, minute = map(int, at.split(":"))
    now = datetime.fromtimestamp(now_s, UTC)
    due = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (due if due > now else due + timedelta(days=1)).timestamp()


class Daily:
    """Calls `make` once each day, when the time has come. For one thread."""

    def __init__(self, at: str, now_s: float, make: Callable[[float], object]) -> None:
        self._at, self._make = at, make
        self.due_s = next_at(at, now_s)

    def look(self, now_s: float) -> None:
        if self.due_s is not None and now_s >= self.due_s:
            self.due_s = next_at(self._at, now_s)
            self._make(now_s)


def daily_reports(engine: Engine, now: Callable[[], float]) -> Periodic:
    """What makes them, to be started."""
    store = ReportStore(engine.settings.state / "reports")

    def make(now_s: float) -> None:
        name = store.write(report_of(engine, now_s - WINDOW_S, now_s, "schedule"))
        engine.ticker.event("report", f"the daily report is stored: {name}")

    daily = Daily(engine.settings.report_at, now(), make)
    return Periodic("reports", LOOK_EVERY_S, lambda: daily.look(now()))
