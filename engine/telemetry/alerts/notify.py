"""Telling people: a bounded queue before destinations that may be slow or away.

What a destination is belongs to app; here is how often it is tried and what became of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from engine.supervised import Supervised

log = logging.getLogger(__name__)
MAX_WAITING = 100
RETRIES_S = (1.0, 2.0, 4.0, 8.0)
"""Pauses between tries; after the last one a notification is given up and counted."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What happened to one or more alerts in one second."""

    title: str
    severity: str
    time: float
    alerts: tuple[dict[str, Any], ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """One line for each thing that an alert has become: its name, that, value and limit."""
        lines: dict[str, str] = {}
        for alert in self.alerts:
            state = str(alert.get("state", "")).replace("_", " ")
            lines.setdefault(f"{alert['name']} {state}".strip(), alert["text"])
        return "\n".join(f"{became}: {text}" for became, text in lines.items())


class Notifier(Protocol):
    """A destination. label: for people, without secrets."""

    label: str

    def send(self, notification: Notification) -> None:
        """Deliver it or raise."""
        ...


class Dispatcher:
    """Sends to every destination from one thread."""

    def __init__(self, retries_s: Sequence[float] = RETRIES_S) -> None:
        self.notifiers: list[Notifier] = []
        self.sent = self.failed = self.dropped = 0
        self.last_error: str | None = None
        self._retries_s = tuple(retries_s)
        self._waiting: deque[tuple[Notifier, Notification]] = deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self.thread = Supervised("notify", self._run)

    def start(self) -> None:
        self.thread.start()

    def send(self, notification: Notification) -> None:
        """Queue it for every destination; over MAX_WAITING the oldest is dropped."""
        for notifier in self.notifiers:
            self._waiting.append((notifier, notification))
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
        self._wake.set()

    def close(self, wait_s: float = 2.0) -> None:
        self._closing.set()
        self._wake.set()
        self.thread.join(wait_s)

    def figures(self) -> dict[str, Any]:
        return {
            "destinations": [notifier.label for notifier in self.notifiers],
            "waiting": len(self._waiting),
            "limit": MAX_WAITING,
            "sent": self.sent,
            "failed": self.failed,
            "dropped": self.dropped,
            "last_error": self.last_error,
        }

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._waiting and not self._closing.is_set():
                self._deliver(*self._waiting.popleft())

    def _deliver(self, notifier: Notifier, notification: Notification) -> None:
        for pause_s in (*self._retries_s, None):
            try:
                notifier.send(notification)
            except Exception as error:
                # Any kind of failure of a destination: it is tried again, then counted.
                self.last_error = f"{notifier.label}: {type(error).__name__}"
                if pause_s is None or self._closing.wait(pause_s):
                    self.failed += 1
                    log.warning("a notification to %s was given up", notifier.label)
                    return
            else:
                self.sent += 1
                return
