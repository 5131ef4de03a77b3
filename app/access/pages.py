"""Login, logout, who one is, and the audit log: the routes of the gate itself."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from app.access.callers import Caller
from app.access.login_page import login_page
from app.access.scopes import in_order
from app.exchange import Exchange, Handler, Response, error_response, json_response
from engine.errors import InvalidInput

MOST_FORM_BYTES = 8192
MOST_AUDIT = 500
DEFAULT_AUDIT = 100
WRONG = "That key is not known here, has expired or has been revoked."
BLIND = "That key lacks the scope view, so the console would show it nothing."
_OWN_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\\\x7f]*")
_NOT_AFTER = ("/login", "/logout")


def after_login(wanted: str) -> str:
    """A path of our own to go to; the first page where it is anything else."""
    if len(wanted) > 1500 or not _OWN_PATH.fullmatch(wanted) or wanted.startswith(_NOT_AFTER):
        return "/"
    return wanted


def show_login(exchange: Exchange) -> Response:
    """GET /login?next=: the login page; on to next where nobody need log in."""
    after = after_login(exchange.query("next") or "/")
    if not exchange.gate.ring.required or "view" in exchange.caller.scopes:
        return redirect(exchange, after)
    return login_page(exchange, after)


def log_in(exchange: Exchange) -> Response:
    """POST a form with key and next: a session, or the page again with what is wrong."""
    gate = exchange.gate
    form = _form(exchange)
    after = after_login(form.get("next", "/"))
    if not gate.ring.required:
        return redirect(exchange, after)
    refusal: Response | None = gate.rates.refusal("login", gate.login_counted(exchange))
    if refusal is not None:
        gate.note(exchange, 429, {})
        words = "Too many tries from this address. Wait a minute, then try again."
        page = login_page(exchange, after, words, 429)
        page.headers += [field for field in refusal.headers if field[0] == "retry-after"]
        return page
    caller = gate.ring.caller_of(form.get("key", "").strip())
    if caller is None or "view" not in caller.scopes:
        gate.note(exchange, 401, {} if caller is None else {"name": caller.name})
        return login_page(exchange, after, WRONG if caller is None else BLIND, 401)
    return begin(exchange, caller, after)


def begin(exchange: Exchange, caller: Caller, after: str) -> Response:
    """Open a session and go on to a page."""
    gate = exchange.gate
    cookie, exchange.caller = gate.sessions.open(caller)
    exchange.lines += gate.cookies.line(cookie, gate.proxies.is_https(exchange.request.headers))
    gate.note(exchange, 303, {})
    return redirect(exchange, after)


def redirect(exchange: Exchange, path: str) -> Response:
    headers = [("location", f"{exchange.gate.base}{path}"), ("cache-control", "no-store")]
    return Response(303, b"", headers)


def log_out(exchange: Exchange) -> Response:
    """POST {}: end this session everywhere."""
    gate, caller = exchange.gate, exchange.caller
    if caller.by != "session":
        return error_response(409, "there is no session to end")
    gate.sessions.end(caller)
    gate.note(exchange, 200, {})
    is_https = gate.proxies.is_https(exchange.request.headers)
    exchange.lines = gate.cookies.line("", is_https)
    return json_response({"text": "logged out"})


def session(exchange: Exchange) -> Response:
    """GET /performance/session: who one is here, and what one may do."""
    caller, gate = exchange.caller, exchange.gate
    told = {
        "required": gate.ring.required,
        "who": caller.name if caller.scopes else None,
        "by": caller.by,
        "scopes": in_order(caller.scopes),
        "until": caller.expires_s,
        "base": gate.base,
    }
    answer = json_response(told)
    answer.headers.append(("cache-control", "no-store"))
    return answer


def audit(exchange: Exchange) -> Response:
    """GET /performance/audit?limit=: the newest actions: who, what, to what, how it ended."""
    text = exchange.query("limit") or str(DEFAULT_AUDIT)
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST_AUDIT):
        raise InvalidInput(f"limit is {text[:40]!r}; it must be 1 to {MOST_AUDIT}")
    log = exchange.gate.audit
    return json_response({"entries": log.newest(int(text)), "unwritten": log.unwritten})


def sign_in(exchange: Exchange) -> Response:
    """GET /login/oidc?next=: on to the provider's own page."""
    oidc = exchange.gate.oidc
    if oidc is None:
        return error_response(404, "single sign-on is not configured: oidc_issuer")
    answer: Response = oidc.begin(exchange, after_login(exchange.query("next") or "/"))
    return answer


def signed_in(exchange: Exchange) -> Response:
    """GET /login/oidc/callback: the provider sends the browser back here."""
    oidc = exchange.gate.oidc
    if oidc is None:
        return error_response(404, "single sign-on is not configured: oidc_issuer")
    caller, after, problem = oidc.finish(exchange)
    if caller is None:
        exchange.gate.note(exchange, 401, {"problem": problem})
        return login_page(exchange, after, f"Single sign-on failed: {problem}.", 401)
    return begin(exchange, caller, after)


def _form(exchange: Exchange) -> dict[str, str]:
    content = exchange.body()
    if len(content) > MOST_FORM_BYTES:
        raise InvalidInput(f"form has {len(content)} bytes; the limit is {MOST_FORM_BYTES}")
    kind = exchange.header(b"content-type").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInput(f"content-type is {kind[:60]!r}; the login form is urlencoded")
    try:
        fields = parse_qs(content.decode("ascii"), max_num_fields=10)
    except ValueError:
        raise InvalidInput("form is no urlencoded text") from None
    return {name: values[0] for name, values in fields.items()}


def routes() -> tuple[tuple[str, str, Handler], ...]:
    """The gate's rows of the table of routes."""
    return (
        ("GET", "/login", show_login),
        ("POST", "/login", log_in),
        ("POST", "/logout", log_out),
        ("GET", "/login/oidc", sign_in),
        ("GET", "/login/oidc/callback", signed_in),
        ("GET", "/performance/session", session),
        ("GET", "/performance/audit", audit),
    )
