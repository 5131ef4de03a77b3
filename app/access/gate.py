r"""The gate: everybody who comes in by either door is let in here, or told why not.

    Host -> who asks -> Origin, where something would change -> scope -> rate -> handler
              \- Authorization: Bearer, x-api-key, or the console's cookie

A browser sends a cookie whatever page asks it to, so with a cookie a change needs an Origin of
ours; a key is sent by who knows it, so a missing Origin is no harm there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import quote

from app.access.audit import AuditLog, target_of
from app.access.callers import UNKNOWN, Caller
from app.access.cookies import Cookies
from app.access.headers import Cors
from app.access.keys import Key
from app.access.proxies import Proxies, counted_as
from app.access.rates import Rates
from app.access.reach import names_in, ring_of
from app.access.scopes import Need, need_of
from app.access.sessions import Sessions
from app.exchange import Exchange, Request, Response, error_response
from app.guards import SAFE_METHODS, Guard, is_same
from engine.config import Settings

CHALLENGE = ("www-authenticate", 'Bearer realm="pyrometer"')


class Gate:
    """Who may do what on one server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.base = settings.path_prefix
        self.ring = ring_of(settings)
        self.proxies = Proxies(settings.trusted_hops, bool(settings.tls_cert))
        self.sessions = Sessions(
            *(settings.state, self.ring, settings.session_lifetime_s, settings.session_idle_s),
            time.time,
        )
        self.cookies = Cookies(self.sessions, self.base, is_lax=bool(settings.oidc_issuer))
        self.rates = Rates(settings)
        self.audit = AuditLog(settings.state, time.time)
        self.ring.on_change = self._key_changed
        self.cors = Cors(names_in(settings.cors_origins))
        hosts = {"localhost", settings.host.lower(), *names_in(settings.allowed_hosts.lower())}
        self._guard = Guard(hosts, self.proxies, self.cors.origins)
        self.oidc: Any = None
        if settings.oidc_issuer:
            from app.access.oidc import SingleSignOn

            self.oidc = SingleSignOn(settings, self.sessions)

    def lends(
        self, name: str, scopes: tuple[str, ...]
    ) -> Callable[[], AbstractContextManager[str]]:
        """What lends a child process of this server a key while it runs; "" where none is asked."""
        return lambda: (
            self.ring.lent(name, frozenset(scopes)) if self.ring.required else nullcontext("")
        )

    def prepare(self) -> None:
        """Import what the first login, limit or audit would wait for; where nobody waits."""
        if self.ring.required:
            self.rates.prepare()
            self.sessions.mark()

    def refusal(
        self, exchange: Exchange, method: str, is_api: bool, has_handler: bool
    ) -> Response | None:
        """A refusal, or None for a request that may go on; exchange.caller is set then."""
        request = exchange.request
        need = need_of(method, exchange.route, is_api=is_api, has_handler=has_handler)
        if need.any_host:
            return None
        refusal = self._guard.refusal(request)
        if refusal is not None:
            return refusal
        if self.cors.origins:
            preflight = self.cors.answer(exchange)
            if preflight is not None:
                return preflight
        if self.ring.required:
            refusal = self._who(exchange, need, is_api)
        if refusal is None and self.limits(need):
            refusal = self._rate(exchange, need)
        exchange.is_action = need.is_action and exchange.caller is not UNKNOWN
        return refusal

    # who asks

    def _who(self, exchange: Exchange, need: Need, is_api: bool) -> Response | None:
        self.ring.look()
        request = exchange.request
        token = _token(request)
        caller: Caller | None = None
        if token:
            caller = self.ring.caller_of(token)
            if caller is None and not self.ring.knows(token):
                refusal = self._guessed(exchange)
                if refusal is not None:
                    return refusal
        else:
            caller = self.cookies.caller(exchange)
        exchange.caller = caller or UNKNOWN
        changes = request.method not in SAFE_METHODS
        if changes and exchange.caller.by == "session" and not self._is_own_page(request):
            why = "a session may change something from the console's own pages only"
            return error_response(403, f"{why}, and there is no Origin of ours; a key needs none")
        if not need.scopes:
            return None
        if caller is None:
            return self._login_first(request, is_api, bool(token))
        if not need.scopes & caller.scopes:
            return error_response(403, f"{caller.words} lacks the scope {need.name}")
        return None

    def lasting(self, exchange: Exchange) -> Callable[[], bool]:
        """What tells whether this request's caller would be let in again as it came in now.

        That a key goes is told by the ring's generation; a session, or a key that ends, is asked.
        """
        caller = exchange.caller
        if caller.by == "session":
            return self.cookies.lasting(exchange)
        expires_s = caller.expires_s
        return always if expires_s is None else lambda: time.time() < expires_s

    def _guessed(self, exchange: Exchange) -> Response | None:
        """Count a key that is none; guessing is as slow here as at the login page."""
        return self.rates.refusal("login", self.login_counted(exchange))

    def _is_own_page(self, request: Request) -> bool:
        headers = request.headers
        origin, is_https = headers.get(b"origin", b""), self.proxies.is_https(headers)
        return is_same(origin, self.proxies.host(headers), is_https=is_https)

    def _login_first(self, request: Request, is_api: bool, has_token: bool) -> Response:
        is_page = not is_api and b"text/html" in request.headers.get(b"accept", b"")
        if is_page and request.method in (b"GET", b"HEAD") and not has_token:
            after = quote(request.target[:1500].decode("latin-1"), safe="/")
            return Response(303, b"", [("location", f"{self.base}/login?next={after}")])
        why = "that key does not count here" if has_token else "an API key is needed"
        return error_response(401, f"{why}: Authorization: Bearer KEY", CHALLENGE)

    # rates and the log

    def limits(self, need: Need) -> bool:
        if need.name == "infer":
            return self.rates.has("infer")
        return need.is_action and self.ring.required

    def _rate(self, exchange: Exchange, need: Need) -> Response | None:
        what = "infer" if need.name == "infer" else "actions"
        return self.rates.refusal(what, self.counted(exchange))

    def counted(self, exchange: Exchange) -> str:
        """Whom a limit counts: a key and its sessions as one; without one, an address."""
        caller = exchange.caller
        return caller.id + caller.name if caller.id else counted_as(self.address(exchange))

    def login_counted(self, exchange: Exchange) -> str:
        return counted_as(self.address(exchange))

    def address(self, exchange: Exchange) -> str:
        return self.proxies.address(exchange.request.headers, exchange.peer)

    def note(self, exchange: Exchange, status: int, target: dict[str, Any] | None = None) -> None:
        """Write an action to the audit log, with how it ended."""
        request = exchange.request
        if target is None:
            target = target_of(exchange.path_args, request.body)
        what = f"{request.method.decode('latin-1')} {exchange.route}"
        self.audit.note(
            *(exchange.caller.words, self.address(exchange), what, target, status),
            exchange.request_id,
        )

    def _key_changed(self, what: str, key: Key) -> None:
        self.audit.note(
            "the file of keys", "", f"key {what}", {"name": key.name, "id": key.id}, 200
        )


def always() -> bool:
    return True


def _token(request: Request) -> str:
    """The key that a request carries, or ""."""
    given = request.headers.get(b"authorization")
    if given is not None:
        kind, _, token = given.partition(b" ")
        return token.strip().decode("latin-1") if kind.lower() == b"bearer" else ""
    return request.headers.get(b"x-api-key", b"").strip().decode("latin-1")
