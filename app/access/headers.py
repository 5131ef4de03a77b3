"""Headers that tell a browser what a page may do, and which other sites may ask."""

from __future__ import annotations

from collections.abc import Iterable

from app.exchange import Exchange, Header, Response

PAGE_HEADERS: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
DOCUMENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-popups allow-downloads"
)
"""For what a handler answers that a browser may show: reports and pictures, without scripts."""
SHOWN = ("text/html", "image/svg+xml")
_FILE_LINES = "".join(f"{name.lower()}: {value}\r\n" for name, value in PAGE_HEADERS)
_DOCUMENT_LINES = f"{_FILE_LINES}content-security-policy: {DOCUMENT_POLICY}\r\n"


def document_lines(response: Response) -> str:
    """Header lines for an answer that is no JSON; a policy that its maker wrote stands."""
    fields = {name.lower(): value for name, value in response.headers}
    if "content-security-policy" in fields:
        return ""
    is_shown = fields.get("content-type", "").startswith(SHOWN)
    return _DOCUMENT_LINES if is_shown else _FILE_LINES


def console_policy(scripts: Iterable[str]) -> str:
    """The policy of the console's pages. scripts: hashes of the inline ones.

    Plotly and React write style attributes and rules, so styles may be inline. Charts are drawn
    into pictures by way of data: and blob: addresses. Nothing is evaluated.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(scripts)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "font-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )


class Cors:
    """Sites that may ask with a key from a browser; none unless configured. Never a cookie."""

    METHODS = "GET, POST"
    HEADERS = (
        "authorization, x-api-key, content-type, content-encoding, x-request-id, x-float-decimals, "
        "x-request-timeout-ms, inference-header-content-length, cache-control"
    )
    SHOWN = "x-request-id, x-backend, x-cache-hit, server-timing, retry-after"

    def __init__(self, origins: Iterable[str]) -> None:
        self.origins = frozenset(origin.lower().encode() for origin in origins)

    def answer(self, exchange: Exchange) -> Response | None:
        """The answer to a preflight; other requests of these sites get the header."""
        request = exchange.request
        origin = request.headers.get(b"origin", b"").lower()
        if origin not in self.origins:
            return None
        exchange.lines += (
            f"access-control-allow-origin: {origin.decode()}\r\nvary: origin\r\n"
            f"access-control-expose-headers: {self.SHOWN}\r\n"
        )
        if request.method != b"OPTIONS" or b"access-control-request-method" not in request.headers:
            return None
        return Response(
            204,
            b"",
            [
                ("access-control-allow-methods", self.METHODS),
                ("access-control-allow-headers", self.HEADERS),
                ("access-control-max-age", "600"),
            ],
        )
