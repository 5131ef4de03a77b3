"""Sessions of the console: a signed cookie each, and a list of those that ended early.

    cookie                  [number, who, begun, seen], signed with HMAC-SHA-256
    <state>/sessions.json   mode 0600: the secret, and numbers of sessions that were logged out

A session counts as long as its signature, its lifetime, its idle time and the key behind it do:
revoking the key ends it. Its cookie is written anew about once a minute while it is used.
"""

from __future__ import annotations

import logging
import secrets
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from app.access.callers import Caller, Clock
from app.access.ring import KeyRing
from app.access.scopes import in_order, scopes_of
from engine.files import write_atomically

log = logging.getLogger("pyrometer.access")
FILE = "sessions.json"
SALT = "pyrometer.session"
SINGLE_SIGN_ON = "sso"
RENEW_S = 60.0
MOST_ENDED = 10_000
MOST_KNOWN = 1024
MOST_COOKIE = 2048


@dataclass(frozen=True, slots=True)
class _Session:
    """A cookie whose signature is ours. Times in seconds UTC."""

    number: str
    who: tuple[str, str, str, frozenset[str]]
    begun_s: float
    seen_s: float


class Sessions:
    """lifetime_s: from login to its end. idle_s: longest pause within."""

    def __init__(
        self, state: Path, ring: KeyRing, lifetime_s: float, idle_s: float, clock: Clock
    ) -> None:
        self._path, self._ring, self._clock = state / FILE, ring, clock
        self.lifetime_s, self._idle_s = lifetime_s, idle_s
        self._lock = threading.Lock()
        self._secret = ""
        self._ended: dict[str, float] = {}
        self._known: dict[str, _Session] = {}
        self._signer: Any = None
        self._mark = ""

    def mark(self) -> str:
        """What tells servers apart that share a browser's cookies; the same over restarts."""
        self._signing()
        return self._mark

    def open(self, caller: Caller) -> tuple[str, Caller]:
        """A new session of somebody who has shown a key or signed in: its cookie, and they."""
        now_s, number = self._clock(), secrets.token_urlsafe(16)
        held = Caller(caller.name, "session", caller.id, caller.scopes, caller.generation, number)
        return self._cookie(held, now_s, now_s), held

    def find(self, cookie: str) -> tuple[Caller, str] | None:
        """Whose session a cookie is, and the cookie to send instead, or ""; None for no session."""
        session = self._known.get(cookie) or self._read(cookie)
        if session is None:
            return None
        now_s = self._clock()
        over = session.begun_s + self.lifetime_s <= now_s or session.seen_s + self._idle_s <= now_s
        if over or session.seen_s > now_s + RENEW_S or session.number in self._ended:
            return None
        caller = self._caller(session)
        if caller is None:
            return None
        renews = now_s - session.seen_s > RENEW_S
        return caller, self._cookie(caller, session.begun_s, now_s) if renews else ""

    def end(self, caller: Caller) -> None:
        """Log a session out: no copy of its cookie counts from now on."""
        with self._lock:
            now_s = self._clock()
            self._load()
            self._ended = {number: s for number, s in self._ended.items() if s > now_s}
            if len(self._ended) >= MOST_ENDED:
                # Nobody knows any more which have ended: all have.
                self._ended, self._secret, self._signer = {}, secrets.token_hex(32), None
                self._known = {}
            self._ended[caller.session] = now_s + self.lifetime_s
            self._store()

    def _caller(self, session: _Session) -> Caller | None:
        name, key_id, generation, scopes = session.who
        expires_s = session.begun_s + self.lifetime_s
        if key_id != SINGLE_SIGN_ON:
            key = self._ring.get(key_id)
            if key is None or key.generation != generation:
                return None
            name, scopes = key.name, key.scopes
        return Caller(name, "session", key_id, scopes, generation, session.number, expires_s)

    # the signature

    def _cookie(self, caller: Caller, begun_s: float, seen_s: float) -> str:
        scopes = in_order(caller.scopes) if caller.id == SINGLE_SIGN_ON else []
        who = [caller.name, caller.id, caller.generation, scopes]
        signed: str = self._signing().dumps([caller.session, who, int(begun_s), int(seen_s)])
        return signed

    def _read(self, cookie: str) -> _Session | None:
        from itsdangerous import BadData

        if len(cookie) > MOST_COOKIE:
            return None
        try:
            number, (name, key_id, generation, scopes), begun_s, seen_s = self._signing().loads(
                cookie
            )
        except BadData:
            return None
        held = scopes_of(scopes) if key_id == SINGLE_SIGN_ON else frozenset()
        session = _Session(number, (name, key_id, generation, held), begun_s, seen_s)
        if len(self._known) >= MOST_KNOWN:
            self._known = {}
        self._known[cookie] = session
        return session

    def signing(self, salt: str) -> Any:
        """A signer for something else that a browser is to keep, with an age."""
        from itsdangerous import URLSafeTimedSerializer

        self._signing()
        return URLSafeTimedSerializer(self._secret, salt=salt, signer_kwargs=_sha_256())

    def _signing(self) -> Any:
        signer = self._signer
        if signer is None:
            from itsdangerous import URLSafeSerializer

            with self._lock:
                self._load()
                signer = URLSafeSerializer(self._secret, salt=SALT, signer_kwargs=_sha_256())
                self._mark = sha256(self._secret.encode()).hexdigest()[:8]
                self._signer = signer
        return signer

    # the file

    def _load(self) -> None:
        """Take the secret and what has ended from the file, or make them."""
        if self._secret:
            return
        try:
            held = orjson.loads(self._path.read_bytes())
            secret, ended = held["secret"], held["ended"]
            if not isinstance(secret, str) or len(secret) < 64:
                raise ValueError("the secret is too short")
            self._secret = secret
            self._ended = {str(number): float(until_s) for number, until_s in ended.items()}
            self._path.chmod(0o600)
        except FileNotFoundError:
            self._renew()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read, so all sessions have ended: %s", self._path, error)
            self._renew()

    def _renew(self) -> None:
        self._secret, self._ended = secrets.token_hex(32), {}
        self._store()

    def _store(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = {"secret": self._secret, "ended": self._ended}
            write_atomically(self._path, orjson.dumps(held))
        except OSError as error:
            log.error("sessions will not outlive this process: %s", error)


def _sha_256() -> dict[str, Any]:
    return {"key_derivation": "hmac", "digest_method": sha256}
