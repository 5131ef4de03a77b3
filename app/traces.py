"""Traces over OTLP: one span a request, its phases as child spans, in the caller's own trace.

Requests that came with a traceparent are exported, after the fact, from their records: a
request waits for nothing. Needs the extra `otlp`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.outgoing import row
from engine.errors import ConfigurationError
from engine.periodic import Periodic
from engine.telemetry.record import PHASES, RequestMetrics
from engine.telemetry.ticker import Ticker
from engine.version import VERSION

EVERY_S = 2.0
MAX_WAITING = 2048
"""Spans that the SDK keeps until they are sent; more are dropped."""


class _Counted:
    """An exporter of the SDK, its batches counted. It is asked by one thread at a time."""

    def __init__(self, exporter: Any) -> None:
        self.used = self.asked = self.failed = 0
        self._exporter = exporter

    def export(self, spans: Any) -> Any:
        self.used, self.asked = 1, self.asked + 1
        try:
            result = self._exporter.export(spans)
        finally:
            self.used = 0
        self.failed += result.value != 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


class TraceExporter:
    """Takes traced records from a ticker's exemplars and exports them. Raises ConfigurationError.

    endpoint: of OTLP over HTTP, for example http://127.0.0.1:4318/v1/traces.
    """

    def __init__(self, ticker: Ticker, endpoint: str) -> None:
        try:
            import requests
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from requests.adapters import HTTPAdapter
        except ImportError:
            raise ConfigurationError(
                "otlp_endpoint needs the extra: pip install 'pyrometer[otlp]'"
            ) from None
        self._ticker = ticker
        resource = Resource.create({"service.name": "pyrometer", "service.version": VERSION})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        one_connection = HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True)
        session = requests.Session()
        for kind in ("http://", "https://"):
            session.mount(kind, one_connection)
        self._sent = _Counted(OTLPSpanExporter(endpoint=endpoint, timeout=5, session=session))
        self._provider.add_span_processor(
            BatchSpanProcessor(self._sent, max_queue_size=MAX_WAITING)
        )
        self._to = urlsplit(endpoint).hostname or ""
        self._tracer = self._provider.get_tracer("pyrometer", VERSION)
        self._periodic = Periodic("traces", EVERY_S, self.export)

    def outgoing(self) -> dict[str, Any]:
        """The connection to the collector, as it is shown."""
        sent = self._sent
        counts = {"asked": sent.asked, "failed": sent.failed, "waiting_limit": MAX_WAITING}
        return row("otlp", self._to, sent.used, 1, **counts)

    def start(self) -> None:
        self._periodic.start()

    def stop(self) -> None:
        self._periodic.stop()
        self.export()
        self._provider.shutdown()

    def export(self) -> None:
        """Hand every traced record on to the SDK's bounded batch."""
        traced = self._ticker.exemplars.traced
        while traced:
            self._export(traced.popleft())

    def _export(self, record: RequestMetrics) -> None:
        from opentelemetry import trace

        parent = trace.SpanContext(
            int(record.trace_id, 16),
            int(record.span_id, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        end_ns = int(record.finished_at * 1e9)
        begin_ns = end_ns - record.duration_ns
        span: Any = self._tracer.start_span(
            record.endpoint,
            context,
            trace.SpanKind.SERVER,
            attributes={
                "http.response.status_code": record.status,
                "http.route": record.endpoint,
                "pyrometer.request_id": record.request_id,
                "pyrometer.model": record.model,
                "pyrometer.version": record.version,
                "pyrometer.rows": record.rows,
                "pyrometer.batch_rows": record.batch_rows,
                "pyrometer.cache_hit": record.cache_hit,
                "pyrometer.cold_start": record.cold_start,
            },
            start_time=begin_ns,
        )
        if record.status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        within, at_ns = trace.set_span_in_context(span), begin_ns
        for phase in PHASES:
            ns = getattr(record, f"{phase}_ns")
            if ns:
                child = self._tracer.start_span(phase, within, start_time=at_ns)
                at_ns += ns
                child.end(at_ns)
        span.end(end_ns)
