"""The console's cookie: HttpOnly, Secure behind TLS, SameSite=Strict (Lax with single sign-on)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.access.callers import Caller
from app.access.sessions import Sessions
from app.exchange import Exchange

MOST_TRIED = 4
"""Cookies of our name that are looked at; a neighbouring site may set more of them."""


class Cookies:
    """Sessions as cookies. base: the path below which the console lies."""

    def __init__(self, sessions: Sessions, base: str, *, is_lax: bool) -> None:
        self._sessions, self._path = sessions, base or "/"
        self._same_site = "Lax" if is_lax else "Strict"

    def name(self, is_secure: bool) -> str:
        """Its own for each state folder: servers of one machine share a browser's cookies."""
        prefix = "__Host-" if is_secure and self._path == "/" else ""
        return f"{prefix}pyrometer-{self._sessions.mark()}"

    def caller(self, exchange: Exchange) -> Caller | None:
        """Whose session a request carries; a cookie that is due is written anew."""
        given = exchange.request.headers.get(b"cookie")
        if given is None:
            return None
        is_secure = exchange.gate.proxies.is_https(exchange.request.headers)
        name = self.name(is_secure)
        for value in cookies_of(given.decode("latin-1"), name):
            found = self._sessions.find(value)
            if found is not None:
                caller, renewed = found
                if renewed:
                    exchange.lines += self.line(renewed, is_secure)
                return caller
        return None

    def lasting(self, exchange: Exchange) -> Callable[[], bool]:
        """What tells whether the session of a request that has one goes on, its cookie as it is."""
        given = exchange.request.headers.get(b"cookie", b"").decode("latin-1")
        name = self.name(exchange.gate.proxies.is_https(exchange.request.headers))
        values, number = [*cookies_of(given, name)], exchange.caller.session

        def lasts() -> bool:
            found = next(filter(None, map(self._sessions.find, values)), None)
            return found is not None and found[0].session == number and not found[1]

        return lasts

    def line(self, value: str, is_secure: bool) -> str:
        """The header's line that sets it; "" takes it away."""
        life = f"Max-Age={self._sessions.lifetime_s:.0f}" if value else "Max-Age=0"
        return self.any_line(self.name(is_secure), value, is_secure, life, self._same_site)

    def any_line(
        self, name: str, value: str, is_secure: bool, life: str, same_site: str = "Lax"
    ) -> str:
        secure = "; Secure" if is_secure else ""
        return (
            f"set-cookie: {name}={value}; Path={self._path}; {life}; HttpOnly; "
            f"SameSite={same_site}{secure}\r\n"
        )


def cookies_of(header: str, name: str) -> Iterator[str]:
    """The values of the cookies of a name."""
    tried = 0
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name and tried < MOST_TRIED:
            tried += 1
            yield value
