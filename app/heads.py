"""Heads of requests that were seen before, so that the same bytes are not parsed again.

    known      head -> what llhttp made of it
    numbered   what follows the number of NUMBERED -> the same; the number is the request's own

Viewers of the console name the second that they have: their heads are equal but for that.
"""

from __future__ import annotations

from app.exchange import Head, Request

MOST, MOST_NUMBERED = 1024, 256
"""Heads that are kept; the one seen first goes first."""
MOST_BYTES = 2048
NUMBERED = b"GET /performance/live?since="
MOST_DIGITS = 15
SPECIAL = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
KEEPS = b"keep-alive"


class Heads:
    """What the connections of one listening socket have seen; of their event loop alone."""

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self.numbered: dict[bytes, Head] = {}

    def remember(self, request: Request, seen: bytes) -> None:
        """Keep the head of a request that asks for nothing special. seen: its bytes."""
        headers = request.headers
        if (
            (b"content-length" not in headers and request.method != b"GET")
            or not request.keep_alive
            or len(seen) > MOST_BYTES
            # An end of line of another kind: the parser may have seen the head end before.
            or seen.count(b"\n") != seen.count(b"\r\n")
            or not headers.keys().isdisjoint(SPECIAL)
            # Browsers and many clients say what is so anyway.
            or headers.get(b"connection", KEEPS).lower() != KEEPS
        ):
            return
        heads, most = self.known, MOST
        if seen.startswith(NUMBERED):
            cut = number_end(seen)
            if not cut or request.body:
                return
            heads, most, seen = self.numbered, MOST_NUMBERED, seen[cut:]
        if len(heads) >= most and seen not in heads:
            del heads[next(iter(heads))]
        heads[seen] = request.head = Head(
            request.method, request.target, headers, len(request.body)
        )

    def numbered_request(self, head: bytes) -> Request | None:
        """The request of a whole head that begins as NUMBERED, where one like it is known."""
        cut = number_end(head)
        known = self.numbered.get(head[cut:]) if cut else None
        if known is None:
            return None
        request = Request(known.method, head[4:cut], known.headers, b"")
        request.head = known
        return request


def number_end(head: bytes) -> int:
    """Where the number of a NUMBERED head ends; 0 where it has none."""
    cut = head.find(b" ", len(NUMBERED), len(NUMBERED) + MOST_DIGITS + 1)
    return cut if cut > 0 and head[len(NUMBERED) : cut].isdigit() else 0
