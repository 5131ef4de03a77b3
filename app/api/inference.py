"""What every route that runs a model has in common: its record and its headers."""

from __future__ import annotations

import time

from app.exchange import Exchange, Response
from engine.errors import UnknownModel
from engine.telemetry.record import RequestMetrics
from engine.types import InferRequest, InferResult


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
    exchange.record = record
    return record


def timed_infer(exchange: Exchange, request: InferRequest) -> InferResult:
    """Run the engine and book its timings on the exchange's record.

    Everything since the request arrived, less earlier engine calls, was preprocessing.
    """
    record = exchange.record
    assert record is not None
    if not record.preprocessing_ns:
        record.preprocessing_ns = time.perf_counter_ns() - exchange.started_ns
    result = exchange.engine.infer(request)
    timings = result.timings
    record.version = result.version
    record.rows += result.rows
    record.cold_start |= result.cold_start
    record.cache_hit = result.cache_hit
    record.backend = result.backend
    record.degraded |= result.degraded is not None
    record.preprocessing_ns += timings.preprocess_ns
    record.queue_ns += timings.queue_ns
    record.model_load_ns += timings.load_ns
    record.inference_ns += timings.inference_ns
    record.postprocessing_ns += timings.postprocess_ns
    return result


def wants_cache(exchange: Exchange) -> bool:
    """False when the caller sent Cache-Control: no-cache or no-store."""
    control = exchange.header("HTTP_CACHE_CONTROL").lower()
    return "no-cache" not in control and "no-store" not in control


def add_headers(record: RequestMetrics, response: Response) -> None:
    """Server-Timing with the phases, and the flags callers look for."""
    if record.backend:
        response.headers.append(("x-backend", record.backend))
    if record.degraded:
        response.headers.append(("x-degraded", "true"))
    response.headers += (
        (
            "server-timing",
            f"pre;dur={record.preprocessing_ns / 1e6:.3f}, "
            f"queue;dur={record.queue_ns / 1e6:.3f}, load;dur={record.model_load_ns / 1e6:.3f}, "
            f"infer;dur={record.inference_ns / 1e6:.3f}, "
            f"post;dur={record.postprocessing_ns / 1e6:.3f}, "
            f"serialize;dur={record.serialization_ns / 1e6:.3f}",
        ),
        ("x-cache-hit", "true" if record.cache_hit else "false"),
        ("x-cold-start", "true" if record.cold_start else "false"),
        ("x-processing-time", f"{record.duration_ns / 1e6:.3f}"),
    )
