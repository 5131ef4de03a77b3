"""HTTP/1.1 on an event loop: a connection, parsed by llhttp, that answers in order.

    bytes -> httptools -> Request -> serve(request, connection)
                                        '-> connection.answer(response)

A client's requests have equal heads, byte for byte, as a rule. One that llhttp has taken, with
a body of declared length, is remembered; the same bytes again are not parsed again. Viewers of the
console name the second that they have: their heads are equal but for that number.

A body is whole before its request is served, so a slow sender costs a socket and no thread.
Requests that a client sends ahead wait in a bounded queue; while one waits, nothing more is
read. A client that does not read its answers is not read from either.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httptools

from app.exchange import Head, Request, Response, error_response
from app.heads import NUMBERED
from app.rendering import head_of, rendered

if TYPE_CHECKING:
    from app.listener import Listener

log = logging.getLogger(__name__)
MAX_HEAD_BYTES = 65_536
MAX_FIELDS = 128
"""Fields of a head; trailers are no fields, they are dropped."""
MAX_AHEAD = 16
"""Requests sent ahead of their answers that one connection may have waiting."""
DISCARD_CAPS = 4
"""A body over the cap is read and dropped up to this many times the cap, then cut off."""
MAX_HEAD_MISSES = 16
"""After so many requests in a row with heads not seen before, a connection looks no more."""
SPACE = 0x20
"""Lines before a request are blank; what begins with one has its head's end somewhere else."""
LOST_AFTER_S = 1.0
"""After the loop was ended and goes on: what waited for its turn then has been answered by now."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_TOO_LARGE = f"the head is over {MAX_HEAD_BYTES} bytes or {MAX_FIELDS} fields"


class Connection(asyncio.Protocol):
    """One client. All methods but `call_soon` belong to the loop."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._heads = listener, listener.heads
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self.fd = -1
        self._peer = ""
        self._ahead: deque[Request] = deque()
        self._serving: Request | None = None
        self._is_elsewhere = False
        self._in_message = False
        self._head_bytes = self._fields = self._field_bytes = 0
        self._head_done = True
        self._grew = self._discarding = False
        self._may_write = True
        self._writable: threading.Event | None = None
        self._chunked = False
        self._closing = False
        self._since = self._began = listener.loop.time()
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._body_bytes = 0
        self._unsent, self._unsent_since = 0, 0.0
        self._head_misses = 0
        self._head_seen = b""
        self._known: Head | None = None
        self._known_bytes = b""

    # asyncio

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.fd = int(transport.get_extra_info("socket").fileno())
        listener = self._listener
        counts = listener.counts
        if len(listener.connections) >= listener.limits.max_connections or listener.draining:
            counts.refused += 1
            full = error_response(
                503, f"{listener.limits.max_connections} connections are open, the limit"
            )
            full.headers.append(("retry-after", "1"))
            transport.write(rendered(full, False, False))
            transport.close()
            self._closing = True
            return
        counts.accepted += 1
        listener.connections.add(self)
        counts.open = len(listener.connections)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        if self._writable is not None:
            self._writable.set()
        self._listener.connections.discard(self)
        self._listener.counts.open = len(self._listener.connections)
        if self._serving is not None:
            self._serving.cancel()
        self._ahead.clear()
        # The parser knows its connection: together they would wait for the collector.
        self._parser, self._body = None, bytearray()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._known is not None:
            data = self._complete(self._known, data)
        elif not self._in_message and data[0] > SPACE:
            looks = self._head_misses < MAX_HEAD_MISSES
            end = data.find(b"\r\n\r\n") + 4
            known = self._heads.known.get(data[:end]) if looks else None
            if known is not None:
                self._head_misses = 0
                self._known, self._known_bytes = known, data[:end]
                self._body_bytes = 0
                if self._body:
                    self._body = bytearray()
                data = self._complete(known, data[end:])
            elif data.startswith(NUMBERED):
                if self._take_numbered(data, end):
                    return
                self._head_seen = data[:end] if end > 3 else b""
            elif looks:
                self._head_misses += 1
                self._head_seen = data[:end] if end > 3 else b""
        if not data:
            return
        if not self._head_done or not self._in_message:
            self._head_bytes += len(data)
        self._grew = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The offer is declined by an ordinary answer, after which the connection ends.
            if self._serving is not None:
                self._transport.pause_reading()
            return
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP: {str(error)[:100]}")
        if not self._in_message:
            return
        if self._head_done:
            self._since = self._listener.loop.time()
            # What is no body there, chunks' extensions and trailers, is bounded as a head is.
            self._head_bytes = 0 if self._grew else self._head_bytes + len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, HEAD_TOO_LARGE)

    def _take_numbered(self, data: bytes, end: int) -> bool:
        """Take a request whose head is known but for its number, if it came whole and alone."""
        request = self._heads.numbered_request(data) if end == len(data) else None
        if request is None:
            return False
        if self._body:
            self._body = bytearray()
        self._take(request)
        return True

    def _complete(self, head: Head, data: bytes) -> bytes:
        """More of the body of a request with a known head; returns what is to be parsed."""
        lacking = head.body_bytes - self._body_bytes
        if len(data) == lacking:
            body = data
            if self._body:
                self._body += data
                body, self._body = bytes(self._body), bytearray()
            request = Request(head.method, head.target, head.headers, body)
            request.head = head
            self._known, self._in_message = None, False
            self._take(request)
            return b""
        if len(data) < lacking:
            if data:
                self._body += data
                self._body_bytes += len(data)
            self._since = self._listener.loop.time()
            if not self._in_message:
                self._began, self._in_message, self._head_done = self._since, True, True
            return b""
        # The next request came along: the parser tells where it begins.
        self._known, self._in_message = None, False
        return b"".join((self._known_bytes, self._body, data))

    def pause_writing(self) -> None:
        self._may_write = False
        if self._writable is not None:
            self._writable.clear()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._may_write = True
        if self._writable is not None:
            self._writable.set()
        if not self._ahead:
            self._transport.resume_reading()

    # httptools

    def on_message_begin(self) -> None:
        self._in_message, self._head_done, self._discarding = True, False, False
        self._target, self._headers, self._body = b"", {}, bytearray()
        self._body_bytes = self._fields = self._field_bytes = 0
        self._since = self._began = self._listener.loop.time()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return
        name = name.lower()
        headers = self._headers
        self._fields += 1
        self._field_bytes += len(name) + len(value)
        if self._fields > MAX_FIELDS or self._field_bytes > MAX_HEAD_BYTES:
            self._refuse(431, HEAD_TOO_LARGE)
            return
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        self._head_done, self._head_bytes = True, 0
        if self._closing:
            return
        if len(self._target) > MAX_HEAD_BYTES:
            self._refuse(431, HEAD_TOO_LARGE)
            return
        if self._parser.get_method() == b"CONNECT":
            self._refuse(400, "this server makes no tunnels")
            return
        coding = self._headers.get(b"transfer-encoding", b"chunked")
        if coding.lower() != b"chunked":
            named = coding[:40].decode("latin-1")
            self._refuse(415, f"transfer-encoding is {named!r}; it must be chunked")
            return
        declared = self._headers.get(b"content-length")
        cap = self._listener.limits.max_body_bytes
        if declared is not None and int(declared) > cap:
            self._discarding = True
            if int(declared) > DISCARD_CAPS * cap or b"expect" in self._headers:
                self._refuse(413, f"body has {int(declared)} bytes; the limit is {cap}")
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and self._serving is None:
            self._transport.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        if self._closing:
            return
        self._grew = True
        self._body_bytes += len(part)
        cap = self._listener.limits.max_body_bytes
        if self._body_bytes <= cap:
            self._body += part
            return
        self._discarding, self._body = True, bytearray()
        if self._body_bytes > DISCARD_CAPS * cap:
            self._refuse(413, f"body is over the limit of {cap} bytes")

    def on_message_complete(self) -> None:
        self._in_message = False
        seen, self._head_seen = self._head_seen, b""
        if self._closing:
            return
        body, self._body = bytes(self._body), bytearray()  # an idle connection keeps none
        if not self._target.startswith(b"/"):
            self._target = _origin_form(self._target)
        request = Request(
            self._parser.get_method(),
            self._target,
            self._headers,
            body,
            self._parser.should_keep_alive() and b"upgrade" not in self._headers,
        )
        if self._discarding:
            request.body_bytes = self._body_bytes
        elif seen:
            self._heads.remember(request, seen)
        self._take(request)

    def _take(self, request: Request) -> None:
        if self._serving is None:
            self._serve(request)
            return
        self._ahead.append(request)
        if len(self._ahead) >= MAX_AHEAD:
            self._refuse(503, f"{MAX_AHEAD} requests wait on this connection, the limit")
        self._transport.pause_reading()

    # answers

    def _serve(self, request: Request) -> None:
        self._serving, self._is_elsewhere = request, False
        try:
            self._listener.serve(request, self)
        except Exception:
            log.exception("a request could not be served")
            self.answer(error_response(500, "internal error"))

    def leaves_loop(self) -> None:
        """The request being served is another thread's from now on, until it is answered."""
        self._is_elsewhere = True

    def come_back(self, action: Callable[[], None]) -> None:
        """Have the answer to it given on the loop; from any thread."""
        self._is_elsewhere = False
        self._listener.loop.call_soon_threadsafe(action)

    def begin_again(self) -> None:
        """The loop was ended: what it had in hand itself nobody will answer, nor wait for."""
        if self._serving is not None:
            self._listener.loop.call_later(LOST_AFTER_S, self._give_up, self._serving)

    def _give_up(self, request: Request) -> None:
        if self._serving is request and not self._is_elsewhere and not self._closing:
            self._closing = True
            self._transport.abort()

    def answer(self, response: Response) -> None:
        """Send the answer to the request being served, then serve the next one waiting."""
        request = self._serving
        if request is None or self._closing:
            self._serving = None
            return
        keeps = request.keep_alive and not self._listener.draining
        self.answer_bytes(rendered(response, keeps, request.method == b"HEAD"), keeps)

    def answer_bytes(self, rendered: bytes, keeps: bool = True) -> None:
        """Send an answer that is rendered already. keeps: the connection stays open."""
        self._serving = None
        if self._closing:
            return
        self._transport.write(rendered)
        self._listener.answered()
        if not keeps:
            self._close()
            return
        if not self._in_message:
            self._since = self._listener.loop.time()
        if self._ahead:
            following = self._ahead.popleft()
            if not self._ahead and self._may_write:
                self._transport.resume_reading()
            # Not from here: a thousand requests sent ahead must not be a thousand frames deep.
            self._serving = following
            self._listener.loop.call_soon(self._serve, following)

    def begin_parts(self, response: Response) -> threading.Event:
        """Send the head of an answer in parts; returns what is set while more may be written."""
        self._writable = threading.Event()
        if self._may_write or self._closing:
            self._writable.set()
        request = self._serving
        if not self._closing and request is not None:
            self._chunked = self._parser.get_http_version() != "1.0"
            request.keep_alive &= self._chunked
            if self._chunked:
                response.headers.append(("transfer-encoding", "chunked"))
            self._transport.write(head_of(response, request.keep_alive))
        return self._writable

    def send_part(self, part: bytes) -> None:
        """Send one part of a body; an empty one ends it."""
        if self._closing:
            return
        if part:
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part)
        else:
            self._writable = None
            keeps = self._serving is not None and self._serving.keep_alive
            self.answer_bytes(b"0\r\n\r\n" if self._chunked else b"", keeps)

    @property
    def peer(self) -> str:
        """The address that the connection comes from."""
        if not self._peer:
            name = self._transport.get_extra_info("peername")
            self._peer = str(name[0]) if name else "unknown"
        return self._peer

    @property
    def is_closed(self) -> bool:
        return self._closing

    @property
    def is_draining(self) -> bool:
        """True while the server is about to end."""
        return self._listener.draining

    def at_turn_end(self, action: Callable[[], None]) -> None:
        """Have something done once all that the loop has read is served; from the loop."""
        self._listener.loop.call_soon(action)

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have something done on the loop; from any thread."""
        self._listener.loop.call_soon_threadsafe(action)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Have something done on the loop later; returns what prevents it."""
        return self._listener.loop.call_later(max(0.0, delay_s), action).cancel

    def _refuse(self, status: int, why: str) -> None:
        """Answer what cannot become a request, and close."""
        if self._closing:
            return
        self._listener.counts.malformed += 1
        if self._serving is None:
            self._transport.write(rendered(error_response(status, why), False, False))
        self._close()

    def _close(self) -> None:
        self._closing = True
        self._ahead.clear()
        self._transport.close()

    def is_serving(self, request: Request) -> bool:
        """True while this request has no answer."""
        return self._serving is request

    @property
    def is_serving_any(self) -> bool:
        """True while a request of this connection is under way."""
        return self._serving is not None

    @property
    def is_receiving(self) -> bool:
        """True while a request has begun to come and is not whole."""
        return self._in_message and not self._closing

    @property
    def is_busy(self) -> bool:
        return self._serving is not None or self._transport.get_write_buffer_size() > 0

    def _is_stalled(self, now: float, timeout_s: float) -> bool:
        """True once nothing of what is to be sent was taken for so long."""
        unsent = self._transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
            return False
        return now - self._unsent_since > timeout_s

    def sweep(self, now: float) -> None:
        """Close after too long a silence: within a request, between two, or in being read."""
        limits = self._listener.limits
        if self._serving is None and self._is_stalled(now, limits.read_timeout_s):
            self._listener.counts.timed_out += 1
            self._closing = True
            self._transport.abort()
        if self._serving is not None or self._closing:
            return
        quiet_s = now - self._since
        if self._in_message and quiet_s > limits.read_timeout_s:
            self._listener.counts.timed_out += 1
            self._refuse(408, f"no data for {limits.read_timeout_s:g} s within a request")
        elif self._in_message and now - self._began > limits.send_timeout_s:
            self._listener.counts.timed_out += 1
            self._refuse(408, f"the request took over {limits.send_timeout_s:g} s to send")
        elif not self._in_message and (quiet_s > limits.keep_alive_s or self._listener.draining):
            self._close()


def _origin_form(target: bytes) -> bytes:
    """Path and query of a target in absolute form, as proxies send it."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return b"/" + target
    query = b"?" + url.query if url.query else b""
    return (url.path or b"/") + query
