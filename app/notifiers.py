"""Where notifications go: the log, a webhook, whatever Apprise knows. Built from settings.

Secrets stay in the settings: labels, logs and errors name a destination's host alone. One thread
sends, so a destination has one connection at a time; a webhook's is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from app.outgoing import Outgoing, row
from engine.config import Settings
from engine.errors import ConfigurationError
from engine.telemetry.alerts.notify import Dispatcher, Notification, Notifier

log = logging.getLogger("pyrometer.alerts")
TIMEOUT_S = 5.0


class LogNotifier:
    """Writes to the log: as an error what is critical, as news what is over."""

    label = "log"

    def send(self, notification: Notification) -> None:
        is_over = notification.alerts and all(
            alert.get("state") == "resolved" for alert in notification.alerts
        )
        level = logging.ERROR if notification.severity == "critical" else logging.WARNING
        text = notification.text().replace("\n", "; ")
        log.log(logging.INFO if is_over else level, "%s", text)


class WebhookNotifier:
    """POSTs {title, severity, time, alerts} as JSON. Raises ConfigurationError for no http URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("alert_webhook must be an http or https URL")
        self.label = f"webhook {parts.hostname}"
        self._url = url
        self._http = Outgoing("webhook", parts.hostname, 1, 1, TIMEOUT_S)

    def send(self, notification: Notification) -> None:
        headers = {"content-type": "application/json"}
        content = orjson.dumps(notification.as_dict())
        status = self._http.ask("POST", self._url, headers, content).status
        if not 200 <= status < 300:
            raise self._http.failure(f"answered {status}")

    def figures(self) -> dict[str, Any]:
        """Its connection, as it is shown."""
        return self._http.figures()


class AppriseNotifier:
    """Sends by Apprise, to one of its URLs. Raises ConfigurationError where that cannot be."""

    def __init__(self, url: str) -> None:
        try:
            import apprise
        except ImportError:
            raise ConfigurationError(
                "alert_apprise needs the extra: pip install 'pyrometer[apprise]'"
            ) from None
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise ConfigurationError("alert_apprise holds a URL that Apprise does not know")
        self.label = f"apprise {urlsplit(url).scheme}"
        self._used = self._asked = self._failed = 0

    def send(self, notification: Notification) -> None:
        self._asked += 1
        self._used = 1
        try:
            delivered = self._apprise.notify(title=notification.title, body=notification.text())
        finally:
            self._used = 0
        if not delivered:
            self._failed += 1
            raise ConnectionError("not delivered")

    def figures(self) -> dict[str, Any]:
        """As it is shown: Apprise opens a connection each time and closes it."""
        counts = {"asked": self._asked, "failed": self._failed}
        return row("apprise", self.label, self._used, 1, **counts, text="opened each time")


def outgoing_of(notifiers: Sequence[Notifier], dispatcher: Dispatcher) -> list[dict[str, Any]]:
    """Connections to all destinations, which one queue stands before."""
    told = dispatcher.figures()
    queue = {"waiting": told["waiting"], "waiting_limit": told["limit"]}
    ours = (one for one in notifiers if isinstance(one, WebhookNotifier | AppriseNotifier))
    return [one.figures() | queue for one in ours]


def notifiers_of(settings: Settings) -> list[Notifier]:
    """Every destination that the settings name. Raises ConfigurationError."""
    found: list[Notifier] = [LogNotifier()]
    if settings.alert_webhook:
        found.append(WebhookNotifier(settings.alert_webhook))
    found += [AppriseNotifier(url) for url in settings.alert_apprise.split()]
    return found
