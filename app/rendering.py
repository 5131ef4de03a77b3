"""An answer's bytes: status line, headers, body."""

from __future__ import annotations

from email.utils import formatdate

from app.exchange import Response

REASONS = {
    200: "OK",
    204: "No Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_OK = "HTTP/1.1 200 OK\r\n"


class Date:
    """The Date header's line, made once a second by the sweep."""

    line = f"date: {formatdate(usegmt=True)}\r\n"

    @classmethod
    def renew(cls) -> None:
        cls.line = f"date: {formatdate(usegmt=True)}\r\n"


def rendered(response: Response, keeps: bool, head_only: bool) -> bytes:
    """The answer's bytes."""
    head = head_of(response, keeps)
    return head if head_only else head + response.body


def head_of(response: Response, keeps: bool) -> bytes:
    """Status and headers. Names and values of headers are our own or checked at their source."""
    status, body = response.status, response.body
    line = _OK if status == 200 else f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\n"
    fields = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
    close = "" if keeps else "connection: close\r\n"
    has_length = status not in (204, 304) and response.parts is None
    length = f"content-length: {len(body)}\r\n" if has_length else ""
    return f"{line}{Date.line}{fields}{response.lines}{length}{close}\r\n".encode("latin-1")
