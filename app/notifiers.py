"""Where notifications go: the log, a webhook, whatever Apprise knows. Built from settings.

Secrets stay in the settings: labels, logs and errors name a destination's host alone.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import orjson

from engine.config import Settings
from engine.errors import ConfigurationError
from engine.telemetry.alerts.notify import Notification, Notifier

log = logging.getLogger("pyrometer.alerts")
TIMEOUT_S = 5.0


class LogNotifier:
    """Writes to the log."""

    label = "log"

    def send(self, notification: Notification) -> None:
        level = logging.ERROR if notification.severity == "critical" else logging.WARNING
        log.log(level, "%s; %s", notification.title, notification.text().replace("\n", "; "))


class WebhookNotifier:
    """POSTs {title, severity, time, alerts} as JSON. Raises ConfigurationError for no http URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("alert_webhook must be an http or https URL")
        self.label = f"webhook {parts.hostname}"
        self._parts = parts

    def send(self, notification: Notification) -> None:
        import http.client  # not at start: most servers post nothing

        parts = self._parts
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"content-type": "application/json", "user-agent": "pyrometer"}
            connection.request("POST", target, orjson.dumps(notification.as_dict()), headers)
            status = connection.getresponse().status
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise ConnectionError(f"answered {status}")


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

    def send(self, notification: Notification) -> None:
        if not self._apprise.notify(title=notification.title, body=notification.text()):
            raise ConnectionError("not delivered")


def notifiers_of(settings: Settings) -> list[Notifier]:
    """Every destination that the settings name. Raises ConfigurationError."""
    found: list[Notifier] = [LogNotifier()]
    if settings.alert_webhook:
        found.append(WebhookNotifier(settings.alert_webhook))
    found += [AppriseNotifier(url) for url in settings.alert_apprise.split()]
    return found
