"""What every route that runs a model has in common: its record and its headers."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.exchange import Exchange, Request, Response
from app.rounding import MOST_DECIMALS
from engine.call import Call
from engine.errors import InvalidInput, UnknownModel
from engine.models.loaded import LoadedModel
from engine.telemetry.record import RequestMetrics
from engine.types import InferRequest, InferResult

TIMEOUT_HEADER = b"x-request-timeout-ms"
DECIMALS_HEADER = b"x-float-decimals"
LONGEST_TIMEOUT_MS = 3_600_000.0


def begin_record(exchange: Exchange, endpoint: str, model: str) -> RequestMetrics:
    """Start this request's record; an unknown model gets no label of its own."""
    try:
        slot = exchange.engine.registry.slot(model)
        label, cold = model, slot.model is None
    except UnknownModel:
        label, cold = "", False
    record = RequestMetrics(exchange.request_id, endpoint, model=label)
    sampled = exchange.engine.recorder.sample_memory()
    if cold or sampled:
        record.memory_before_mb = exchange.engine.memory.resident_mb()
    record.trace_id, record.span_id = exchange.trace_id, exchange.span_id
    record.bytes_in = exchange.request.body_bytes
    record.queue_ns = exchange.waited_ns
    exchange.mark_ns = time.perf_counter_ns()
    record.front_ns = exchange.mark_ns - exchange.started_ns - exchange.waited_ns
    exchange.record = record
    return record


def timed_infer(exchange: Exchange, request: InferRequest) -> InferResult:
    """Run the engine and book its timings on the exchange's record.

    Everything since its record began, up to the first call, was decoding.
    """
    record = exchange.record
    assert record is not None
    if not record.decode_ns:
        record.decode_ns = time.perf_counter_ns() - exchange.mark_ns
    engine = exchange.engine
    call = engine.begin(
        request.model,
        request.version,
        request.inputs,
        request.outputs,
        request.use_cache,
        caller=exchange,
    )
    try:
        if call.run is None:
            engine.runs.compute(call)
        book(record, call)
        return call.result()
    finally:
        call.close()


def book(record: RequestMetrics, call: Call) -> None:
    """Add a call's timings and outcome to a record."""
    model = call.model
    record.version = model.version
    record.rows += call.rows
    record.batch_rows = call.batch_rows
    record.cold_start |= call.cold
    record.cache = call.cache
    record.decode_ns += call.preprocess_ns
    record.queue_ns += call.queue_ns
    record.cache_ns += call.cache_ns
    record.load_ns += call.load_ns
    record.inference_ns += call.inference_ns
    if call.run is not None:
        record.backend = call.run.form
    if model.degraded is not None:
        record.degraded = True


def wants_cache(exchange: Exchange) -> bool:
    """False when the caller sent Cache-Control: no-cache or no-store."""
    return uses_cache(exchange.request)


def uses_cache(request: Request) -> bool:
    control = request.headers.get(b"cache-control")
    if control is None:
        return True
    control = control.lower()
    return b"no-cache" not in control and b"no-store" not in control


def timeout_ms(exchange: Exchange) -> float:
    """The caller's deadline in ms after the request's arrival; 0 is none.

    Raises InvalidInput for a header that is no positive number.
    """
    given = exchange.request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return 0.0
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 < value <= LONGEST_TIMEOUT_MS:
        raise InvalidInput(
            f"X-Request-Timeout-Ms is {given[:32].decode('latin-1')!r}; it must be a number of "
            f"milliseconds above 0, at most {LONGEST_TIMEOUT_MS:.0f}"
        )
    return value


def request_decimals(exchange: Exchange, model: LoadedModel | None = None) -> int | None:
    """How many decimals the caller, or else the model, wants; None is all.

    Raises InvalidInput for a header that is no number of decimals.
    """
    given = exchange.request.headers.get(DECIMALS_HEADER)
    if given is None:
        return model.entry.declared.decimals if model is not None else None
    if given.lower() == b"exact":
        return None
    if not given.isdigit() or len(given) > 2 or int(given) > MOST_DECIMALS:
        raise InvalidInput(
            f"X-Float-Decimals is {given[:32].decode('latin-1')!r}; it must be exact or 0 to "
            f"{MOST_DECIMALS}"
        )
    return int(given)


SERVER_TIMINGS = (
    *(("front", "front_ns"), ("decode", "decode_ns"), ("queue", "queue_ns")),
    *(("cache", "cache_ns"), ("load", "load_ns"), ("infer", "inference_ns")),
    *(("post", "postprocess_ns"), ("encode", "encode_ns"), ("compress", "compress_ns")),
)
"""Names in Server-Timing of the phases known before the answer is handed over."""


def record_lines(record: RequestMetrics) -> str:
    """Server-Timing with the phases, and the flags callers look for, as header lines."""
    backend = f"x-backend: {record.backend}\r\n" if record.backend else ""
    degraded = "x-degraded: true\r\n" if record.degraded else ""
    variant = f"x-variant: {record.variant}\r\n" if record.variant else ""
    batch = f"x-batch-rows: {record.batch_rows}\r\n" if record.batch_rows > record.rows else ""
    timings = [(name, getattr(record, field)) for name, field in SERVER_TIMINGS]
    timed = ", ".join([f"{name};dur={ns / 1e6:.3f}" for name, ns in timings if ns])
    return (
        f"{backend}{degraded}{variant}{batch}"
        f"server-timing: {timed}\r\n"
        f"x-cache-hit: {'true' if record.cache_hit else 'false'}\r\n"
        f"x-cold-start: {'true' if record.cold_start else 'false'}\r\n"
        f"x-processing-time: {record.duration_ns / 1e6:.3f}\r\n"
    )


class PendingCall:
    """A call that runs on a CPU slot, and how its answer is made."""

    def __init__(self, exchange: Exchange, call: Call, encode: Callable[[Call], Response]) -> None:
        self._exchange, self.call, self._encode = exchange, call, encode
        call.mark = exchange

    def start(self, on_done: Callable[[], None]) -> None:
        """Queue it. Raises Overloaded when its model's queue is full."""
        self.call.on_done = on_done
        try:
            self._exchange.engine.runs.start(self.call)
        except Exception:
            self.call.close()
            raise

    def respond(self) -> Response:
        """The answer. Raises what the run raised."""
        call, record = self.call, self._exchange.record
        assert record is not None
        try:
            book(record, call)
            return self._encode(call)
        finally:
            call.close()

    def leave(self) -> bool:
        """Take it out before it runs; False when it runs already or has ended."""
        return self._exchange.engine.runs.flights.leave(self.call)

    def fail(self, error: Exception) -> None:
        """End it, once it has left, with an error."""
        self.call.end(None, error)
