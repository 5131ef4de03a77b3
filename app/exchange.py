"""One HTTP request on its way through Pyrometer, whichever door it came by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.engine import Engine
from engine.errors import InvalidInput
from engine.telemetry.record import RequestMetrics

JSON = ("content-type", "application/json")
Header = tuple[str, str]
CHUNK_BYTES = 65_536
DISCARD_CAPS = 4
"""A body over the cap is read and dropped up to this many times the cap, then cut off."""


class BodyTooLarge(Exception):
    """The body is over the cap; nothing of it was parsed."""


@dataclass(slots=True)
class Response:
    """Status, body and headers, ready to hand over."""

    status: int
    body: bytes
    headers: list[Header] = field(default_factory=lambda: [JSON])


@dataclass(slots=True)
class Exchange:
    """The request, what handlers need to answer it, and its record while it grows.

    environ: the WSGI environment. path_args: the variable parts of the route.
    """

    environ: Mapping[str, Any]
    engine: Engine
    request_id: str
    started_ns: int
    path_args: dict[str, str] = field(default_factory=dict)
    record: RequestMetrics | None = None

    def header(self, name: str) -> str:
        """A header's value, or "" ; name as in the environment, for example HTTP_ORIGIN."""
        return str(self.environ.get(name) or "")

    def body(self) -> bytes:
        """The whole body. Raises BodyTooLarge past the cap, before reading a declared excess."""
        cap = self.engine.settings.max_body_bytes
        declared = self.environ.get("CONTENT_LENGTH") or ""
        source = self.environ["wsgi.input"]
        if declared.isdigit() and int(declared) > cap:
            _discard(source, min(int(declared), DISCARD_CAPS * cap))
            raise BodyTooLarge(f"body has {declared} bytes; the limit is {cap}")
        if self.environ.get("HTTP_CONTENT_ENCODING", "identity") not in ("", "identity"):
            raise InvalidInput("content-encoding is not supported; send the body as it is")
        content: bytes = source.read(int(declared)) if declared.isdigit() else source.read(cap + 1)
        if len(content) > cap:
            raise BodyTooLarge(f"body is over the limit of {cap} bytes")
        return content

    def json(self) -> Any:
        """The body as JSON. Raises InvalidInput; an empty body is an error too."""
        return parse_json(self.body())

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is {}. Raises InvalidInput."""
        content = self.body()
        body = parse_json(content) if content else {}
        if not isinstance(body, dict):
            raise InvalidInput("body must be an object")
        return body

    def query(self, name: str) -> str | None:
        """The first value of a query parameter; None where it is absent."""
        from urllib.parse import parse_qs

        values = parse_qs(str(self.environ.get("QUERY_STRING") or ""), max_num_fields=50)
        return values.get(name, [None])[0]


def _discard(source: Any, size_bytes: int) -> None:
    """Read and drop, so that a client still sending sees the answer and not a broken pipe."""
    while size_bytes > 0:
        chunk = source.read(min(size_bytes, CHUNK_BYTES))
        if not chunk:
            return
        size_bytes -= len(chunk)


Handler = Callable[[Exchange], Response]


def parse_json(content: bytes) -> Any:
    """orjson refuses NaN, 1e999 and nesting past 1,024 levels, which is what we want.

    Raises InvalidInput with the parser's reason.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"body is no valid JSON: {error}") from None


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON answer; numpy arrays are written as they are."""
    return Response(status, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def error_response(status: int, message: str, *headers: Header) -> Response:
    """`{"error": ...}`, the one form of every error."""
    return Response(status, orjson.dumps({"error": message}), [JSON, *headers])
