r"""The front: guards and the request's own clock, before either door.

    Request -> Host, Origin -> route -> lane -> handler -> record -> headers
                                \-> not an API path: the console's Flask answers

    lane        what it takes             runs
    together    a usual V2 request        on the loop, with the others of the same turn
    viewers     what changed this second  where it was read
    loop        microseconds              on the event loop itself
    slots       a run over inline_us      on a CPU slot, answered from there (a Pending)
    threads     waiting                   on a bounded pool: loads, actions, analyses

Every request passes here, so no guard may live in a Flask hook. Flask's own door calls
`handle`, which does the same and waits.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from typing import Any

from app.access.gate import Gate
from app.access.headers import document_lines
from app.access.rated_lane import RatedLane
from app.api import performance, v2
from app.api.inference import record_lines, timeout_ms
from app.api.statuses import response_to
from app.encoding import LEAST_BYTES, Compressor, accepts_gzip
from app.exchange import JSON, Exchange, Handler, Head, Pending, Request, Response, error_response
from app.http1 import Connection
from app.infer_lane import NEEDS_A_LOOK, InferLane, kind_of, lane_for
from app.listener import ConnectionCounts
from app.noop_lane import NoOpLane
from app.routes import NEVER_WAITS, Match, Router
from app.viewer_lane import ViewerLane, Viewers
from engine.engine import Engine
from engine.errors import (
    ArtefactError,
    Cancelled,
    DeadlineExceeded,
    ModelFailed,
    Overloaded,
    UnknownModel,
)
from engine.executors.pool import WorkerPool, pool_figures
from engine.in_flight import Doing
from engine.telemetry.record import RequestMetrics

log = logging.getLogger(__name__)
SLOW_NS = 5_000_000
LOOP_GZIP_BYTES = 16_384
MAX_LANES = 1024
MOST_NOTES_PER_S = 20
"""Log lines about requests that a failed model could not answer."""
PART_WAIT_S = 60.0
"""A client that has read nothing for so long gets no more of a body sent in parts."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:\-]{1,128}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
"""W3C Trace Context, version 00."""


class Front:
    """Guards and API routes over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.router = Router()
        self.connections = ConnectionCounts()
        self.compressor = Compressor(engine.settings.gzip)
        engine.figures["http"] = self.http_figures
        engine.led.on_start.append(self.end_lanes)
        self.gate = Gate(engine.settings)
        self._decided_at = self.gate.ring.generation
        settings = engine.settings
        self.pool = WorkerPool("http", settings.http_threads, settings.http_queue)
        self.noop_lane = NoOpLane()
        self._viewers = Viewers(engine)
        self._noted = self._noted_second = 0
        self._in_flight = engine.profiler.in_flight
        self._lanes: dict[tuple[str, str | None, tuple[bool, bool]], InferLane] = {}

    @cached_property
    def _loop_doing(self) -> Doing:
        """The event loop's own, first asked for there."""
        return self._in_flight.here()

    # the event loop's door

    def serve(self, request: Request, client: Connection) -> bool:
        """Answer on the loop, or see to it that a thread does; False: Flask is to answer."""
        head = request.head
        if head is not None and head.lane is not None:
            lane: InferLane | NoOpLane | ViewerLane = head.lane
            doing = self._loop_doing
            doing.work = lane.mark
            try:
                if lane.take(request, client):
                    return True
            finally:
                doing.work = None
            if lane.is_over:
                head.lane = None
        return self.serve_usual(request, client)

    def serve_usual(self, request: Request, client: Connection) -> bool:
        """`serve` by way of routes and handlers."""
        exchange, match, refusal = self.enter(request, client.peer)
        if refusal is not None:
            self._answer(exchange, refusal, client)
            return True
        if not match.is_api:
            return False
        handler = match.handlers.get(method_of(request))
        if handler is None:
            self._answer(exchange, _no_handler(match), client)
            return True
        is_infer = handler is v2.infer
        if handler is performance.noop and exchange.caller.by != "session":
            self.noop_lane.adopt(request.head)
        if is_infer and request.head is not None and request.head.lane is None:
            self._open_lane(exchange, request.head, match)
        if handler is performance.live:
            self._open_viewer_lane(exchange)
        if v2.may_run_on_loop(exchange) if is_infer else handler in NEVER_WAITS:
            self._run_on_loop(exchange, handler, client)
        else:
            self._run_on_thread(exchange, handler, client)
        return True

    def enter(self, request: Request, peer: str) -> tuple[Exchange, Match, Response | None]:
        """A request's beginning, by either door: its route, and a refusal if it may not go on."""
        exchange = self._begin(request)
        match = self.router.match(request)
        exchange.route, exchange.peer, exchange.gate = match.rule, peer, self.gate
        exchange.path_args = match.path_args
        method = method_of(request)
        return (
            exchange,
            match,
            self.gate.refusal(exchange, method, match.is_api, method in match.handlers),
        )

    def sweep(self) -> None:
        """Once a second, on the loop: what was decided by keys that changed is decided anew."""
        ring = self.gate.ring
        ring.look()
        if ring.generation != self._decided_at:
            self._decided_at = ring.generation
            self._end_all_lanes()

    def begin_again(self) -> None:
        """The loop was ended: what its lanes had gathered is lost, and they begin anew."""
        self._end_all_lanes()

    def _end_all_lanes(self) -> None:
        for lane in self._lanes.values():
            lane.end()
        self._lanes.clear()
        self.noop_lane.end()
        self.noop_lane = NoOpLane()
        self._viewers.end()
        self._viewers = Viewers(self.engine, self._viewers.answered)

    def _open_lane(self, exchange: Exchange, head: Head, match: Match) -> None:
        """Requests with this head passed the gate: the next of them may go together."""
        request = exchange.request
        if not (self.engine.settings.optimise and self.engine.settings.fast_lane):
            return
        if exchange.caller.by == "session":
            return  # it may be logged out, or idle
        if not request.headers.keys().isdisjoint(NEEDS_A_LOOK):
            return  # whatever lane others like it have
        name, version = match.path_args["model"], match.path_args.get("version")
        with contextlib.suppress(UnknownModel):
            key = (name, version, kind_of(request))
            lane = self._lanes.get(key)
            if lane is None or lane.is_over:
                lane = lane_for(self, request, name, version)
                if lane is None:
                    return
                if len(self._lanes) >= MAX_LANES:
                    self._end_all_lanes()
                self._lanes[key] = lane
                if version is None and name in self.engine.led.running:
                    lane.end()  # it began while this lane was being made
            limited = self.gate.rates.has("infer")
            head.lane = RatedLane(lane, self.gate, exchange) if limited else lane

    def _open_viewer_lane(self, exchange: Exchange) -> None:
        """Those who ask again with this head need no look, while they may come in at all."""
        request, settings = exchange.request, self.engine.settings
        if not (settings.optimise and settings.fast_lane) or request.head is None:
            return
        if request.headers.keys().isdisjoint(NEEDS_A_LOOK):
            packs = settings.gzip and accepts_gzip(request.headers)
            self._viewers.adopt(request.head, packs, self.gate.lasting(exchange))

    def end_lanes(self, model: str) -> None:
        """Requests that name no version of a model are answered one by one from now on."""
        for (name, version, _), lane in list(self._lanes.items()):
            if name == model and version is None:
                lane.end()

    def http_figures(self) -> dict[str, Any]:
        """Connections and how requests were answered, as /performance/system shows them."""
        counts = asdict(self.connections)
        lanes = {
            "lanes": len(self._lanes),
            "answered_together": sum(lane.answered for lane in self._lanes.values()),
            "runs_together": sum(lane.runs for lane in self._lanes.values()),
            "viewers": self._viewers.answered,
        }
        return {
            "connections": counts | {"limit": self.engine.settings.max_connections},
            "fast_lane": lanes,
            "threads": pool_figures(self.pool),
            "gzip": self.compressor.figures(),
        }

    def new_id(self) -> str:
        """A request id of our own."""
        recorder = self.engine.recorder
        return recorder.id_of(recorder.new_ordinal())

    def _begin(self, request: Request) -> Exchange:
        started_ns = time.perf_counter_ns()
        given = request.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            request_id = given.decode()
        else:
            request_id = self.new_id()
        exchange = Exchange(request, self.engine, request_id, started_ns, {})
        given = request.headers.get(b"traceparent")
        if given is not None and (parts := _TRACEPARENT.fullmatch(given)):
            exchange.trace_id, exchange.span_id = parts[1].decode(), parts[2].decode()
        return exchange

    def _run_on_loop(self, exchange: Exchange, handler: Handler, client: Connection) -> None:
        exchange.may_wait = False
        # The thread's CPU clock is a system call: read for one request in 16.
        sampled = not exchange.started_ns & 15
        cpu_ns = time.thread_time_ns() if sampled else 0
        response = self._run(exchange, handler)
        if sampled:
            exchange.cpu_ns = time.thread_time_ns() - cpu_ns
        if isinstance(response, Response):
            self._answer(exchange, response, client)
        elif response is not None:
            self._await(exchange, response, client)
        else:
            exchange.may_wait = True
            self._run_on_thread(exchange, handler, client)

    def _answer(self, exchange: Exchange, response: Response, client: Connection) -> None:
        if len(response.body) > LOOP_GZIP_BYTES and accepts_gzip(exchange.request.headers):
            self._finish_on_thread(exchange, response, client)
            return
        self._finish(exchange, response)
        self._hand_over(exchange, response, client)

    def _hand_over(self, exchange: Exchange, response: Response, client: Connection) -> None:
        client.answer(response)
        self._record(exchange, response)

    def _run_on_thread(self, exchange: Exchange, handler: Handler, client: Connection) -> None:
        def run() -> None:
            exchange.waited_ns = time.perf_counter_ns() - exchange.started_ns
            cpu_ns = time.thread_time_ns()
            with self._in_flight.working_for(exchange):
                response = self._run_waiting(exchange, handler)
                exchange.cpu_ns = time.thread_time_ns() - cpu_ns
                self._finish(exchange, response)
            if response.parts is not None and exchange.request.method != b"HEAD":
                self._send_parts(response, client)
            else:
                client.come_back(lambda: self._hand_over(exchange, response, client))

        try:
            self.pool.submit(run)
        except Overloaded as error:
            refusal = error_response(503, str(error), ("retry-after", "1"))
            self._answer(exchange, refusal, client)
        else:
            client.leaves_loop()

    def _send_parts(self, response: Response, client: Connection) -> None:
        """Send a body as it is made; a client that reads slowly slows its making down."""
        assert response.parts is not None
        begun: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()
        client.call_soon(lambda: begun.put(client.begin_parts(response)))
        writable = begun.get()
        for part in response.parts:
            if not writable.wait(PART_WAIT_S) or client.is_closed:
                break
            if part:
                client.call_soon(lambda part=part: client.send_part(part))  # type: ignore[misc]
        client.call_soon(lambda: client.send_part(b""))

    def _finish_on_thread(self, exchange: Exchange, response: Response, client: Connection) -> None:
        """Pack a large answer where that keeps nobody waiting."""

        def run() -> None:
            with self._in_flight.working_for(exchange):
                self._finish(exchange, response)
            client.come_back(lambda: self._hand_over(exchange, response, client))

        try:
            self.pool.submit(run)
        except Overloaded:
            self._finish(exchange, response, packs=False)
            self._hand_over(exchange, response, client)
        else:
            client.leaves_loop()

    def _await(self, exchange: Exchange, pending: Pending, client: Connection) -> None:
        """Answer when a slot has run it, when its deadline passes, or never if the client goes."""
        stop_timer: list[Callable[[], None]] = []

        def deliver(response: Response) -> None:
            for stop in stop_timer:
                stop()
            self._hand_over(exchange, response, client)

        def done() -> None:
            with self._in_flight.working_for(exchange):
                response = self._guarded(exchange, pending.respond)
                self._finish(exchange, response)
            client.come_back(lambda: deliver(response))

        def leave(error: Exception) -> None:
            if pending.leave():
                pending.fail(error)

        try:
            pending.start(done)
        except Exception as error:
            self._answer(exchange, self._response_to(exchange, error), client)
            return
        client.leaves_loop()
        exchange.request.on_cancel(lambda: leave(Cancelled("the client has gone")))
        if exchange.deadline_ms:
            late = DeadlineExceeded(f"not begun within {exchange.deadline_ms:g} ms")
            stop_timer.append(client.call_later(_left_s(exchange), lambda: leave(late)))

    # Flask's door

    def handle(self, exchange: Exchange, match: Match) -> Response:
        """The answer to an API request that has entered, waited for."""
        handler = match.handlers.get(method_of(exchange.request))
        if handler is None:
            return self.complete(exchange, _no_handler(match))
        return self.complete(exchange, self._run_waiting(exchange, handler))

    def complete(self, exchange: Exchange, response: Response) -> Response:
        """An answer as it is sent by Flask's door, recorded."""
        self._finish(exchange, response)
        self._record(exchange, response)
        return response

    def _run_waiting(self, exchange: Exchange, handler: Handler) -> Response:
        response = self._run(exchange, handler)
        assert response is not None, "a handler that may wait answers"
        if isinstance(response, Response):
            return response
        ended = threading.Event()
        try:
            response.start(ended.set)
        except Exception as error:
            return self._response_to(exchange, error)
        if not ended.wait(_left_s(exchange) if exchange.deadline_ms else None) and response.leave():
            response.fail(DeadlineExceeded(f"not begun within {exchange.deadline_ms:g} ms"))
        ended.wait()
        return self._guarded(exchange, response.respond)

    # both

    def _run(self, exchange: Exchange, handler: Handler) -> Response | Pending | None:
        doing = self._in_flight.here()
        outer, doing.work = doing.work, exchange
        try:
            exchange.deadline_ms = timeout_ms(exchange)
            if exchange.request.cancelled:
                raise Cancelled("the client has gone")
            if exchange.deadline_ms and _left_s(exchange) <= 0:
                raise DeadlineExceeded(f"not begun within {exchange.deadline_ms:g} ms")
            return handler(exchange)
        except Exception as error:
            return self._response_to(exchange, error)
        finally:
            doing.work = outer

    def _guarded(self, exchange: Exchange, respond: Callable[[], Response]) -> Response:
        try:
            return respond()
        except Exception as error:
            return self._response_to(exchange, error)

    def _response_to(self, exchange: Exchange, error: Exception) -> Response:
        if isinstance(error, RecursionError):
            self._note(exchange, error)
            # Nothing of ours goes deeper than what the caller nested, up to the parser's 1,024.
            return error_response(400, "body is nested too deeply")
        response = response_to(error)
        if response is None:
            log.error("request %s failed", exchange.request_id, exc_info=error)
            return error_response(500, f"internal error; request {exchange.request_id}")
        if isinstance(error, ModelFailed | ArtefactError):
            self._note(exchange, error)
        return response

    def _note(self, exchange: Exchange, error: Exception) -> None:
        """A log line that the request's id finds, whole where the answer leaves out folders."""
        second = exchange.started_ns // 1_000_000_000
        if second != self._noted_second:
            self._noted_second, self._noted = second, 0
        self._noted += 1
        if self._noted <= MOST_NOTES_PER_S:
            log.warning("request %s: %s", exchange.request_id, error)

    def _finish(self, exchange: Exchange, response: Response, packs: bool = True) -> None:
        """Pack the answer; write what its record says so far into its headers."""
        if packs and len(response.body) >= LEAST_BYTES and accepts_gzip(exchange.request.headers):
            began_ns = time.perf_counter_ns()
            self.compressor.encode(response)
            if exchange.record is not None:
                exchange.record.compress_ns += time.perf_counter_ns() - began_ns
        record = exchange.record
        own = f"x-request-id: {exchange.request_id}\r\n{exchange.lines}"
        if JSON not in response.headers:
            own += document_lines(response)
        if exchange.is_action:
            self.gate.note(exchange, response.status)
        if record is None:
            response.lines = own
            return
        exchange.mark_ns = time.perf_counter_ns()
        record.duration_ns = exchange.mark_ns - exchange.started_ns
        response.lines = record_lines(record) + own

    def _record(self, exchange: Exchange, response: Response) -> None:
        """Complete the request's record, once its answer is handed over, and append it."""
        record, recorder = exchange.record, self.engine.recorder
        if not recorder.enabled:
            return
        ended_ns = time.perf_counter_ns()
        if record is None:
            record = RequestMetrics(exchange.request_id, exchange.route, response.status)
            record.duration_ns = ended_ns - exchange.started_ns
            recorder.append(record, is_service=False)
            return
        record.status, record.bytes_out = response.status, len(response.body)
        record.cpu_ns = exchange.cpu_ns
        record.write_ns = ended_ns - exchange.mark_ns
        record.duration_ns = ended_ns - exchange.started_ns
        if record.memory_before_mb is not None or record.duration_ns > SLOW_NS:
            record.memory_after_mb = self.engine.memory.resident_mb()
        recorder.append(record)


def method_of(request: Request) -> str:
    """The method whose handler answers."""
    return "GET" if request.method == b"HEAD" else request.method.decode("latin-1")


def _no_handler(match: Match) -> Response:
    if not match.handlers:
        return error_response(404, f"no route {match.path[:200]!r}")
    allowed = ", ".join(match.handlers)
    return error_response(405, f"use {allowed}", ("allow", allowed))


def _left_s(exchange: Exchange) -> float:
    """Seconds until the caller's deadline."""
    spent_ns = time.perf_counter_ns() - exchange.started_ns
    return exchange.deadline_ms / 1e3 - spent_ns / 1e9
