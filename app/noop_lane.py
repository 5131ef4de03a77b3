"""The no-op: what the server itself costs a caller, without a model or a route."""

from __future__ import annotations

from app.exchange import Head, Request
from app.http1 import Connection
from app.rendering import Date
from engine.in_flight import Mark


class NoOpLane:
    """Answers no-op requests where they are read."""

    def __init__(self) -> None:
        self.is_over = False

    mark = Mark("", "", "/performance/noop", "", is_service=False)

    def take(self, request: Request, client: Connection) -> bool:
        if self.is_over:
            return False
        client.answer_bytes(
            f"HTTP/1.1 200 OK\r\n{Date.line}content-type: application/json\r\n"
            "content-length: 2\r\n\r\n{}".encode("latin-1")
        )
        return True

    def end(self) -> None:
        """Take no more: each request is to be looked at alone."""
        self.is_over = True

    def adopt(self, head: Head | None) -> None:
        """Requests with this head come here from now on."""
        if head is not None:
            head.lane = self
