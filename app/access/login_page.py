"""The login page: one file without a script of its own files, drawn by the server."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from urllib.parse import quote

from app.access.headers import PAGE_HEADERS
from app.exchange import Exchange, Response
from app.theme_script import THEME_SCRIPT, script_hash
from engine.version import VERSION

ASSETS = Path(__file__).parent.parent.parent / "assets"
# A session's cookie does not come along when a link of another site leads here, so the page asks
# for itself, and goes on where it finds that somebody is logged in.
GO_ON_SCRIPT = """
(function () {
  var body = document.body.dataset;
  fetch(body.session, { cache: "no-store" })
    .then(function (answer) { return answer.json(); })
    .then(function (told) {
      if (told.scopes.indexOf("view") >= 0) location.replace(body.next);
    })
    .catch(function () {});
})();
"""


def login_page(exchange: Exchange, after: str, problem: str = "", status: int = 200) -> Response:
    """The page; after: where to go then. problem: what was wrong with the last try."""
    gate = exchange.gate
    base = gate.base
    places = {
        "BASE": base,
        "NEXT": f"{base}{after}",
        "AFTER": after,
        "VERSION": VERSION,
        "HOST": exchange.header(b"host")[:200],
        "PROBLEM": problem,
        "SIGN_IN": f"{base}/login/oidc?next={quote(after, safe='/')}",
    }
    page = _template(gate.oidc is not None, bool(problem))
    for name, value in places.items():
        page = page.replace(f"__{name}__", html.escape(value))
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-security-policy", _policy()),
        *PAGE_HEADERS,
    ]
    return Response(status, page.encode(), headers)


@cache
def _template(has_oidc: bool, has_problem: bool) -> str:
    page = (ASSETS / "login.html").read_text(encoding="utf-8")
    for name, is_there in (("oidc", has_oidc), ("problem", has_problem)):
        before, _, rest = page.partition(f"<!-- if {name} -->")
        part, _, after = rest.partition("<!-- end -->")
        page = before + (part if is_there else "") + after
    tokens = (ASSETS / "tokens.css").read_text(encoding="utf-8")
    icon = quote((ASSETS / "favicon.svg").read_text(encoding="utf-8").replace("\n", ""))
    parts = {
        "TOKENS": tokens,
        "THEME": THEME_SCRIPT,
        "GO_ON": GO_ON_SCRIPT,
        "ICON": f"data:image/svg+xml,{icon}",
    }
    for name, value in parts.items():
        page = page.replace(f"__{name}__", value)
    return page


@cache
def _policy() -> str:
    scripts = f"{script_hash(THEME_SCRIPT)} {script_hash(GO_ON_SCRIPT)}"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
