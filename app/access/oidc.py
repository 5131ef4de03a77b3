"""Single sign-on for the console's login: OpenID Connect's code flow, by Authlib.

/login/oidc           state, nonce and PKCE verifier into a signed cookie, on to the provider
/login/oidc/callback  state checked, code exchanged, id token verified, scopes from its claim
"""

from __future__ import annotations

import importlib.util
import logging
import secrets
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from app.access.callers import Caller
from app.access.cookies import cookies_of
from app.access.reach import is_loopback, names_in
from app.access.scopes import scopes_of
from app.access.sessions import SINGLE_SIGN_ON, Sessions
from app.exchange import Exchange, Response
from engine.config import Settings
from engine.errors import ConfigurationError, InvalidInput

log = logging.getLogger("pyrometer.access")
CALLBACK = "/login/oidc/callback"
SALT = "pyrometer.oidc"
AT_LOGIN_S = 600
TIMEOUT_S = 10.0
METADATA_S = 3600.0
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
"""Signatures by a provider's own key; never "none", never one by the client's secret."""
MOST_NAME = 80


class Refused(Exception):
    """Somebody did not get in; the message says why, and holds no secret."""


class SingleSignOn:
    """One provider. Raises ConfigurationError where settings or the extra lack something."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        if importlib.util.find_spec("authlib") is None:
            raise ConfigurationError("oidc_issuer needs the extra: pip install 'pyrometer[oidc]'")
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._check_url("oidc_issuer", self._issuer)
        self._client_id, self._secret = settings.oidc_client_id, settings.oidc_client_secret
        self._claim, self._scopes = settings.oidc_claim, scopes_by_value(settings.oidc_scopes)
        self._base, self._sessions = settings.path_prefix, sessions
        self._lock = threading.Lock()
        self._about: dict[str, Any] = {}
        self._about_until_s = 0.0

    @staticmethod
    def _check_url(name: str, url: str) -> None:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or is_loopback(parts.hostname or "")
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_safe:
            raise ConfigurationError(f"{name} must be an https URL, or http on loopback")

    def begin(self, exchange: Exchange, after: str) -> Response:
        """On to the provider."""
        try:
            about = self._provider()
        except Refused as refused:
            from app.access.login_page import login_page

            return login_page(exchange, after, f"Single sign-on failed: {refused}.", 503)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        client = self._client(exchange)
        address, _ = client.create_authorization_url(
            about["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
        )
        kept = self._sessions.signing(SALT).dumps([state, nonce, verifier, after])
        self._keep(exchange, kept, f"Max-Age={AT_LOGIN_S}")
        return Response(303, b"", [("location", address), ("cache-control", "no-store")])

    def finish(self, exchange: Exchange) -> tuple[Caller | None, str, str]:
        """Who signed in, where they wanted to go, and what went wrong."""
        after = "/"
        try:
            state, nonce, verifier, after = self._kept(exchange)
            self._keep(exchange, "", "Max-Age=0")
            if exchange.query("error"):
                raise Refused("the provider let nobody in")
            if not secrets.compare_digest(exchange.query("state") or "", state):
                raise Refused("the answer belongs to another login")
            return self._caller(self._claims(exchange, nonce, verifier)), after, ""
        except Refused as refused:
            return None, after, str(refused)

    # steps

    def _kept(self, exchange: Exchange) -> list[str]:
        from itsdangerous import BadData

        header = exchange.request.headers.get(b"cookie", b"").decode("latin-1")
        for value in cookies_of(header, self._cookie_name()):
            try:
                kept: list[str] = self._sessions.signing(SALT).loads(value, max_age=AT_LOGIN_S)
            except BadData:
                continue
            return kept
        raise Refused("it took too long, or began in another browser")

    def _keep(self, exchange: Exchange, value: str, life: str) -> None:
        gate = exchange.gate
        is_https = gate.proxies.is_https(exchange.request.headers)
        exchange.lines += gate.cookies.any_line(self._cookie_name(), value, is_https, life)

    def _cookie_name(self) -> str:
        return f"pyrometer-{self._sessions.mark()}-oidc"

    def _claims(self, exchange: Exchange, nonce: str, verifier: str) -> dict[str, Any]:
        from authlib.common.errors import AuthlibBaseError
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet
        from requests.exceptions import RequestException

        about = self._provider()
        try:
            token = self._client(exchange).fetch_token(
                about["token_endpoint"],
                code=exchange.query("code") or "",
                code_verifier=verifier,
                timeout=TIMEOUT_S,
            )
            listed: Any = self._get(about["jwks_uri"])
            keys = KeySet.import_key_set(listed)
            decoded = jwt.decode(str(token.get("id_token", "")), keys, algorithms=ALGORITHMS)
            jwt.JWTClaimsRegistry(
                now=int(time.time()),
                leeway=30,
                iss={"essential": True, "value": about["issuer"]},
                aud={"essential": True, "value": self._client_id},
                exp={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(decoded.claims)
        except (AuthlibBaseError, JoseError, RequestException, ValueError) as error:
            log.warning("single sign-on: %s: %s", type(error).__name__, error)
            raise Refused("the provider's answer does not hold") from None
        return dict(decoded.claims)

    def _caller(self, claims: dict[str, Any]) -> Caller:
        given = claims.get(self._claim, ())
        values = given.split() if isinstance(given, str) else given
        names = {
            scope
            for value in (values if isinstance(values, list | tuple) else ())
            for scope in self._scopes.get(str(value), ())
        }
        name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        if "view" not in names:
            raise Refused(f"{name[:MOST_NAME]} has no value of {self._claim} that gives view")
        return Caller(name[:MOST_NAME], "key", SINGLE_SIGN_ON, frozenset(names))

    def _client(self, exchange: Exchange) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        proxies, headers = exchange.gate.proxies, exchange.request.headers
        kind = "https" if proxies.is_https(headers) else "http"
        host = proxies.host(headers).decode("latin-1")
        return OAuth2Session(
            self._client_id,
            self._secret or None,
            scope="openid profile email",
            redirect_uri=f"{kind}://{host}{self._base}{CALLBACK}",
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
        )

    def _provider(self) -> dict[str, Any]:
        """What the provider says of itself; asked for once in METADATA_S."""
        with self._lock:
            if not self._about or time.monotonic() > self._about_until_s:
                self._about = self._checked(
                    self._get(f"{self._issuer}/.well-known/openid-configuration")
                )
                self._about_until_s = time.monotonic() + METADATA_S
            return self._about

    def _checked(self, about: dict[str, Any]) -> dict[str, Any]:
        if str(about.get("issuer", "")).rstrip("/") != self._issuer:
            raise Refused("the provider calls itself by another name")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            try:
                self._check_url(name, str(about.get(name, "")))
            except ConfigurationError as error:
                raise Refused(str(error)) from None
        return about

    def _get(self, url: str) -> dict[str, Any]:
        import requests

        try:
            answer = requests.get(url, timeout=TIMEOUT_S, allow_redirects=False)
            answer.raise_for_status()
            told = answer.json()
        except (requests.exceptions.RequestException, ValueError) as error:
            log.warning("single sign-on: %s", error)
            raise Refused("the provider does not answer") from None
        if not isinstance(told, dict):
            raise Refused("the provider's answer is no object")
        return told


def scopes_by_value(text: str) -> dict[str, frozenset[str]]:
    """oidc_scopes: "ops=operate+infer, staff=view". Raises ConfigurationError."""
    found = {}
    for part in names_in(text):
        value, is_pair, scopes = part.rpartition("=")
        try:
            if not is_pair or not value.strip():
                raise InvalidInput(f"{part!r} is no VALUE=SCOPE+SCOPE")
            found[value.strip()] = scopes_of(name.strip() for name in scopes.split("+"))
        except InvalidInput as error:
            raise ConfigurationError(f"oidc_scopes: {error}") from None
    if not found:
        raise ConfigurationError("oidc_scopes is empty: nobody who signs in could see anything")
    return found
