"""The keys that count now: those of the file, the environment's, and a server's own.

`generation` grows whenever a key has gone or come: what was decided by a key before that is to
be decided anew. Once anybody has been asked for a key, a process goes on asking.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.access.callers import Caller, Clock
from app.access.keys import FILE, Key, KeyFile, bootstrap_key, digest_of, id_of, new_key
from engine.errors import ConfigurationError

log = logging.getLogger("pyrometer.access")
LOOK_EVERY_S = 0.5
MOST_CALLERS = 1024


class KeyRing:
    """Raises ConfigurationError where the file of keys cannot be read, or the environment's key
    is too short. on_change: told of what came and went, in words."""

    def __init__(
        self,
        state: Path,
        environment_key: str = "",
        *,
        always: bool = False,
        clock: Clock = time.time,
    ) -> None:
        self._file, self._clock = KeyFile(state / FILE), clock
        self._lock = threading.Lock()
        self._own: dict[str, Key] = {}
        self._fixed = [bootstrap_key(environment_key)] if environment_key else []
        self._bootstrap = self._fixed[0].digest if self._fixed else ""
        self.generation = 0
        self.on_change: Callable[[str, Key], None] = lambda what, key: None
        self._callers: dict[str, Caller] = {}
        self._mark = self._file.mark()
        self._stored = self._file.read()
        self._keys: dict[str, Key] = {}
        self._next_look_s = clock() + LOOK_EVERY_S
        self.required = always or self._mark is not None or bool(self._fixed)
        self._take()

    @property
    def usable(self) -> int:
        """Keys that somebody may have."""
        now_s = self._clock()
        return sum(not key.is_over(now_s) for key in (*self._stored.values(), *self._fixed))

    def get(self, key_id: str) -> Key | None:
        """A key that counts now."""
        key = self._keys.get(key_id)
        return None if key is None or key.is_over(self._clock()) else key

    def caller_of(self, token: str) -> Caller | None:
        """Who has this key; None for one that does not count."""
        known = self._callers.get(token)
        if known is not None and (known.expires_s is None or known.expires_s > self._clock()):
            return known
        generation, given = self.generation, digest_of(token)
        key = self.get(id_of(token))
        if key is None and self._bootstrap and hmac.compare_digest(given, self._bootstrap):
            key = self._fixed[0]
        elif key is None or not hmac.compare_digest(given, key.digest):
            return None
        caller = Caller(
            key.name, "key", key.id, key.scopes, key.generation, expires_s=key.expires_s
        )
        with self._lock:
            if generation == self.generation:
                if len(self._callers) >= MOST_CALLERS:
                    self._callers.clear()
                self._callers[token] = caller
        return caller

    def knows(self, token: str) -> bool:
        """True where a token names a key of ours, whether or not it is that key."""
        return id_of(token) in self._keys

    @contextmanager
    def lent(self, name: str, scopes: frozenset[str]) -> Iterator[str]:
        """A token for a child process of this server, for as long as it runs."""
        token, key = new_key(name, scopes, self._clock())
        with self._lock:
            self._own[key.id] = key
            self._take()
        try:
            yield token
        finally:
            with self._lock:
                del self._own[key.id]
                self._take()

    def look(self) -> None:
        """Read the file again where it has changed; at most once in LOOK_EVERY_S."""
        now_s = self._clock()
        if now_s < self._next_look_s and self._next_look_s - now_s <= LOOK_EVERY_S:
            return
        with self._lock:
            since_s, self._next_look_s = self._next_look_s - LOOK_EVERY_S, now_s + LOOK_EVERY_S
            self._look(since_s, now_s)

    def _look(self, since_s: float, now_s: float) -> None:
        try:
            mark = self._file.mark()
            stored = self._stored if mark == self._mark else self._file.read()
        except OSError as error:
            log.error("the keys could not be looked at: %s", error)
            # Those known still count, until they end: a passing fault locks nobody out.
            mark, stored = self._mark, self._stored
        except ConfigurationError as error:
            log.error("no stored key counts: %s", error)
            stored = {}
        ended = [
            key
            for key in stored.values()
            if key.expires_s is not None and since_s < key.expires_s <= now_s
        ]
        before, self._mark = self._stored, mark
        if stored is before and not ended:
            return
        self._stored = stored
        self.required = self.required or mark is not None
        self._take()
        for key_id in before.keys() - stored.keys():
            self.on_change("revoke", before[key_id])
        for key_id in stored.keys() - before.keys():
            self.on_change("create", stored[key_id])
        for key in ended:
            self.on_change("expire", key)

    def _take(self) -> None:
        """Make what is held what counts."""
        fixed = {key.id: key for key in self._fixed}
        self._keys = {**self._stored, **fixed, **self._own}
        self._callers = {}
        self.generation += 1
