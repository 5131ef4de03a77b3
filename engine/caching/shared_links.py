"""Connections to a Redis or Valkey: bounded, opened off the request path, one question at a time.

    Links.take() -> Link.ask(commands, within_s) -> Links.give(link)

The package redis makes and authenticates each connection; what is asked of one is written and
read here, so that a budget holds for a question as a whole and nothing is tried twice. See
shared_bounds.py.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Sequence
from typing import Any

from engine.caching.shared_bounds import bounded
from engine.errors import ConfigurationError, without_folders

IDLE_S = 60.0
"""Connections for look-ups that lie idle so long are made anew: the store may have closed them."""
CONNECT_S = 0.25
"""Longest that connecting, and each step of logging in, may take."""
Command = tuple[Any, ...]


class Away(Exception):
    """The store did not answer. late: it was not there in time, else it refused."""

    def __init__(self, words: str, *, late: bool = False) -> None:
        super().__init__(words)
        self.late = late


class Refusal(Exception):
    """What the store said instead of an answer to one command; a value, never raised."""


class Link:
    """One open connection. For one thread at a time. reads: it is one for look-ups."""

    def __init__(self, connection: Any, errors: Any, reads: bool) -> None:
        self._connection, self._errors, self.reads = connection, errors, reads
        self.usable, self.idle_since_s = True, time.monotonic()

    def ask(self, commands: Sequence[Command], within_s: float) -> list[Any]:
        """The store's reply to each, in one trip; a Refusal where it refused one.

        Raises Away when they are not all there within the time; the link is unusable then.
        """
        end_s = time.monotonic() + within_s
        connection = self._connection
        self.usable = False
        try:
            connection.bounds.begin(end_s)
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies = [self._reply() for _ in commands]
        except Exception as error:
            # Also what the package's reader raises for bytes that are no reply.
            self.close()
            raise Away(words_of(error), late=isinstance(error, self._errors.TimeoutError)) from None
        self.usable = True
        return replies

    def _reply(self) -> Any:
        try:
            return self._connection.read_response(disconnect_on_error=False)
        except self._errors.ResponseError as error:
            return Refusal(words_of(error))

    def close(self) -> None:
        self.usable = False
        try:
            self._connection.disconnect()
        except Exception:
            return


class Links:
    """At most `limit` of them, two for the watch and the writer, the others for look-ups.

    open: how many there are, those in use included. wanted: a look-up found none.

    url: as redis_url. Raises ConfigurationError, naming the setting and never its value, where
    the package is missing or the URL is none.
    """

    def __init__(self, url: str, limit: int) -> None:
        self.limit, self.open, self.used = limit, 0, 0
        self.wanted = False
        self._idle: list[Link] = []
        self._readers = 0
        self._lock = threading.Lock()
        self._kind, self._given, self._errors = _maker_of(url)
        self.shown_url = _shown(url, self._given)

    @property
    def may_grow(self) -> bool:
        """Whether there may be more for look-ups."""
        return self._readers < self.limit - 2

    def take(self) -> Link | None:
        """An open connection, or None: it neither waits nor connects."""
        with self._lock:
            if not self._idle:
                self.wanted = True
                return None
            self.used += 1
            return self._idle.pop()

    def give(self, link: Link) -> None:
        """Give back what `take` gave, or have what `connect` opened kept."""
        with self._lock:
            self.used -= 1
            if link.usable:
                link.idle_since_s = time.monotonic()
                self._idle.append(link)
            else:
                self.open -= 1
                self._readers -= link.reads

    def connect(self, reads: bool = False) -> Link:
        """A new connection, in use. Raises Away."""
        with self._lock:
            self.open += 1
            self.used += 1
            self._readers += reads
        try:
            return self._connected(reads)
        except Exception as error:
            with self._lock:
                self.open -= 1
                self.used -= 1
                self._readers -= reads
            late = isinstance(error, self._errors.TimeoutError)
            raise Away(words_of(error), late=late) from None

    def _connected(self, reads: bool) -> Link:
        connection = self._kind(**self._given)
        link = Link(connection, self._errors, reads)
        try:
            connection.connect()
        except Exception:
            link.close()
            raise
        return link

    def fill(self) -> None:
        """Open what was wanted and not there, one at a time; for whoever may wait. Raises Away."""
        self.drop(IDLE_S)
        if not self.wanted and self._idle:
            return
        self.wanted = False
        if self.may_grow:
            self.give(self.connect(reads=True))

    def drop(self, least_idle_s: float = 0.0) -> None:
        """Close what was idle for so long."""
        until_s = time.monotonic() - least_idle_s
        with self._lock:
            idle = [link for link in self._idle if link.idle_since_s <= until_s]
            self._idle = [link for link in self._idle if link.idle_since_s > until_s]
            self.open -= len(idle)
            self._readers -= len(idle)
        for link in idle:
            link.close()


class OwnLink:
    """One thread's own connection, opened when it is needed and lacking."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._link: Link | None = None

    def open(self) -> Link:
        """Raises Away."""
        if self._link is None or not self._link.usable:
            self.let_go()
            self._link = self._links.connect()
        return self._link

    def let_go(self) -> None:
        if self._link is not None:
            self._link.close()
            self._links.give(self._link)
            self._link = None


def words_of(error: BaseException) -> str:
    """An error of the package in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {without_folders(first)}"[:200].rstrip(".")


def _maker_of(url: str) -> tuple[Any, dict[str, Any], Any]:
    """The package's class of a connection, what to make it with, and its errors."""
    try:
        redis = importlib.import_module("redis")
    except ImportError:
        raise ConfigurationError(
            "redis_url is set and the package redis is not installed: "
            "pip install 'pyrometer[redis]'"
        ) from None
    try:
        given = redis.connection.parse_url(url)
        kind = bounded(given.pop("connection_class", redis.Connection))
        given |= {
            "protocol": 2,
            "decode_responses": False,
            "socket_timeout": CONNECT_S,
            "socket_connect_timeout": CONNECT_S,
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            "client_name": "pyrometer",
        }
        kind(**given)
    except (redis.exceptions.RedisError, ValueError, TypeError):
        # Not in its words: they may hold what the URL does.
        raise ConfigurationError(
            "redis_url is not a URL of Redis: redis://, rediss:// or unix://, host, port and "
            "database"
        ) from None
    return kind, given, redis.exceptions


def _shown(url: str, kwargs: Any) -> str:
    """The URL without user, password and options."""
    kind, number = url.partition("://")[0], kwargs.get("db") or 0
    if kind == "unix":
        return f"unix://{kwargs.get('path', '')}?db={number}"
    host = str(kwargs.get("host") or "localhost")
    shown = f"[{host}]" if ":" in host else host
    return f"{kind}://{shown}:{kwargs.get('port') or 6379}/{number}"
