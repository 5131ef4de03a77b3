"""Rate limits by caller, with the `limits` library over counters of a bounded number.

    login      a minute and address; tries of unknown keys count too
    actions    a minute and caller, where callers are asked for
    infer      a second and caller; 0, the default, is no limit and costs nothing

Counters are fixed windows. When too many callers are counted, those whose window is over go, and
if that is not enough the oldest do.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

from app.exchange import Response, error_response
from engine.config import Settings

if TYPE_CHECKING:
    from limits.strategies import FixedWindowRateLimiter

MOST_CALLERS = 4096


class Rates:
    """The limits of one server. The library is imported with the first limit that is asked."""

    def __init__(self, settings: Settings) -> None:
        self._amounts = {
            "login": (settings.rate_login_per_minute, 60),
            "actions": (settings.rate_actions_per_minute, 60),
            "infer": (settings.rate_infer_per_s, 1),
        }
        self._lock = threading.Lock()
        self._limiter: FixedWindowRateLimiter | None = None
        self._items: dict[str, Any] = {}

    def prepare(self) -> None:
        if any(amount for amount, _ in self._amounts.values()):
            self._ready()

    def has(self, what: str) -> bool:
        return self._amounts[what][0] > 0

    def refusal(self, what: str, who: str) -> Response | None:
        """Count one; a 429 where that was one too many."""
        if not self.has(what):
            return None
        limiter = self._ready()
        item = self._items[what]
        return None if limiter.hit(item, who) else self._too_many(what, who)

    def spent(self, what: str, who: str) -> Response | None:
        """A 429 where nothing is left; counts nothing."""
        if not self.has(what):
            return None
        limiter = self._ready()
        return None if limiter.test(self._items[what], who) else self._too_many(what, who)

    def count(self, what: str, who: str) -> None:
        if self.has(what):
            self._ready().hit(self._items[what], who)

    def _too_many(self, what: str, who: str) -> Response:
        amount, seconds = self._amounts[what]
        until_s = self._ready().get_window_stats(self._items[what], who).reset_time
        wait_s = min(max(1, math.ceil(until_s - time.time())), seconds)
        span = "second" if seconds == 1 else "minute"
        words = f"over the limit of {amount} {_WORDS[what]} a {span}"
        return error_response(429, words, ("retry-after", str(wait_s)))

    def _ready(self) -> FixedWindowRateLimiter:
        if self._limiter is None:
            with self._lock:
                if self._limiter is None:
                    self._limiter = self._made()
        return self._limiter

    def _made(self) -> FixedWindowRateLimiter:
        from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
        from limits.strategies import FixedWindowRateLimiter

        from app.access.counters import Counters

        kinds = {60: RateLimitItemPerMinute, 1: RateLimitItemPerSecond}
        self._items = {
            what: kinds[seconds](amount, 1, what)
            for what, (amount, seconds) in self._amounts.items()
            if amount > 0
        }
        return FixedWindowRateLimiter(Counters(MOST_CALLERS))


_WORDS = {"login": "tries to log in", "actions": "actions", "infer": "inferences"}
