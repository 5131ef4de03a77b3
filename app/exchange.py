"""One HTTP request on its way through Pyrometer, whichever door it came by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote_to_bytes

import orjson

from app.access.callers import ANYBODY
from app.gunzip import gunzip
from engine.engine import Engine
from engine.errors import InvalidInput
from engine.in_flight import Mark
from engine.telemetry.record import RequestMetrics

JSON = ("content-type", "application/json")
MAX_PARAMETERS = 50
"""Parameters of a query."""
Header = tuple[str, str]


class BodyTooLarge(Exception):
    """The body is over the cap; nothing of it was parsed."""


class UnsupportedEncoding(Exception):
    """The body is packed in a way that is not taken; nothing of it was unpacked."""


class Head:
    """Everything of a request but its body, once for all requests whose heads are equal bytes.

    lane: what the front has decided for them, opaque here.
    """

    __slots__ = ("body_bytes", "headers", "lane", "method", "target")

    def __init__(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body_bytes: int
    ) -> None:
        self.method, self.target, self.headers = method, target, headers
        self.body_bytes = body_bytes
        self.lane: Any = None


class Request:
    """What a client asked, whole.

    target: path and query as sent. headers: values by lower-case name. body_bytes: its size,
    more than `body` holds where it was over the cap. cancelled: the client has gone.
    """

    __slots__ = (
        "_on_cancel",
        "body",
        "body_bytes",
        "cancelled",
        "head",
        "headers",
        "keep_alive",
        "method",
        "target",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool = True,
    ) -> None:
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.body_bytes = len(body)
        self.keep_alive = keep_alive
        self.head: Head | None = None
        self.cancelled = False
        self._on_cancel: Callable[[], None] | None = None

    def header(self, name: bytes) -> str:
        """A header's value, or ""; name in lower case."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def path(self) -> str:
        """The path, percent-decoded once; bytes that are not UTF-8 become U+FFFD."""
        raw = self.target.partition(b"?")[0]
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("utf-8", "replace")

    @property
    def query_string(self) -> str:
        return self.target.partition(b"?")[2].decode("latin-1")

    def cancel(self) -> None:
        """The client has gone: what has not begun need not begin."""
        self.cancelled = True
        if self._on_cancel is not None:
            self._on_cancel()

    def on_cancel(self, action: Callable[[], None]) -> None:
        self._on_cancel = action
        if self.cancelled:
            action()


def request_of_environ(environ: Mapping[str, Any], body: bytes) -> Request:
    """The request of a WSGI environment and its body, which was read: Flask's door."""
    headers = {
        name[5:].replace("_", "-").lower().encode(): str(value).encode("latin-1", "replace")
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        if environ.get(name):
            headers[name.replace("_", "-").lower().encode()] = str(environ[name]).encode("latin-1")
    query = str(environ.get("QUERY_STRING") or "")
    raw_path = str(environ.get("PATH_INFO") or "/").encode("latin-1", "replace")
    target = raw_path.replace(b"%", b"%25").replace(b"?", b"%3F")
    method = str(environ["REQUEST_METHOD"]).encode("latin-1", "replace")
    return Request(method, target + (b"?" + query.encode() if query else b""), headers, body)


@dataclass(slots=True)
class Response:
    """Status, body and headers, ready to hand over.

    lines: further headers, each as "name: value\\r\\n". parts: the body piece by piece, sent as
    it comes; body is empty then.
    """

    status: int
    body: bytes
    headers: list[Header] = field(default_factory=lambda: [JSON])
    lines: str = ""
    parts: Iterator[bytes] | None = None


class Pending(Protocol):
    """An answer that is being computed elsewhere."""

    def start(self, on_done: Callable[[], None]) -> None:
        """Begin; on_done is called once, from any thread. Raises Overloaded when full."""
        ...

    def respond(self) -> Response:
        """The answer, once done. Raises what the computation raised."""
        ...

    def leave(self) -> bool:
        """Take it out before it runs; False when it runs already or has ended."""
        ...

    def fail(self, error: Exception) -> None:
        """End it, once it has left, with an error."""
        ...


class Exchange:
    """The request, what handlers need to answer it, and its record while it grows.

    path_args: the variable parts of the route. cpu_ns: thread CPU time spent on it so far.
    may_wait: False on the event loop, where a handler returns a Pending for what takes long.
    waited_ns: time until a thread took it. mark_ns: when its record began. route: the rule that
    its path matched. trace_id, span_id: of the caller's traceparent. deadline_ms: what the
    caller gave it from its arrival; 0 is no limit. gate, caller, peer: who lets callers in, who
    this one is, and the address it comes from. lines: headers that the gate adds to the answer.
    is_action: it is written to the audit log.
    """

    __slots__ = (
        "caller",
        "cpu_ns",
        "deadline_ms",
        "engine",
        "gate",
        "is_action",
        "lines",
        "mark_ns",
        "may_wait",
        "path_args",
        "peer",
        "record",
        "request",
        "request_id",
        "route",
        "span_id",
        "started_ns",
        "trace_id",
        "waited_ns",
    )

    def __init__(
        self,
        request: Request,
        engine: Engine,
        request_id: str,
        started_ns: int,
        path_args: Mapping[str, str],
    ) -> None:
        self.request, self.engine, self.request_id = request, engine, request_id
        self.started_ns, self.path_args = started_ns, path_args
        self.cpu_ns = 0
        self.waited_ns = self.mark_ns = 0
        self.route = self.trace_id = self.span_id = ""
        self.deadline_ms = 0.0
        self.may_wait = True
        self.record: RequestMetrics | None = None
        self.gate: Any = None
        self.caller = ANYBODY
        self.peer = self.lines = ""
        self.is_action = False

    def as_mark(self) -> Mark:
        """For whom a thread works that answers this."""
        record = self.record
        name = self.path_args.get("model", "") if record is None else record.model
        version = self.path_args.get("version")
        model = self.engine.registry.serving(name, version)
        known = "" if model is None else model.version
        if model is None and not self.engine.registry.has(name):
            name = ""  # whatever a caller writes there is no name of ours
        route = self.route if record is None else record.endpoint
        return Mark(name, known, route, self.request_id, record is not None)

    def header(self, name: bytes) -> str:
        """A header's value, or ""; name in lower case."""
        return self.request.header(name)

    def assigned(self, variant: str) -> None:
        """The variant of an experiment that answers."""
        if self.record is not None:
            self.record.variant = variant

    def body(self) -> bytes:
        """The whole body, unpacked. Raises BodyTooLarge past the cap, UnsupportedEncoding."""
        request, cap = self.request, self.engine.settings.max_body_bytes
        if request.body_bytes > cap:
            raise BodyTooLarge(f"body has {request.body_bytes} bytes; the limit is {cap}")
        encoding = request.headers.get(b"content-encoding")
        if encoding is None or encoding.lower() in (b"", b"identity"):
            return request.body
        if encoding.lower() != b"gzip":
            named = encoding[:40].decode("latin-1")
            raise UnsupportedEncoding(f"content-encoding is {named!r}; it must be gzip or identity")
        try:
            content = gunzip(request.body, cap)
        except ValueError as error:
            raise InvalidInput(f"body is no gzip: {error}") from None
        if content is None:
            raise BodyTooLarge(f"body is over the limit of {cap} bytes when unpacked")
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
        """The first value of a query parameter; None where it is absent. Raises InvalidInput."""
        try:
            values = parse_qs(self.request.query_string, max_num_fields=MAX_PARAMETERS)
        except ValueError:
            raise InvalidInput(f"the query has over {MAX_PARAMETERS} parameters") from None
        return values.get(name, [None])[0]


Handler = Callable[[Exchange], "Response | Pending | None"]
"""None: on the event loop, it would have to wait; a thread is to run it."""


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
