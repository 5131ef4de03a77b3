"""Webhooks, Apprise and traces: how much at once, what became of it, and nothing that is secret."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from app.notifiers import AppriseNotifier, LogNotifier, WebhookNotifier, outgoing_of
from app.traces import MAX_WAITING, TraceExporter, _Counted
from engine.errors import ConfigurationError
from engine.telemetry.alerts.notify import MAX_WAITING as MAX_NOTIFICATIONS
from engine.telemetry.alerts.notify import Dispatcher, Notification
from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.ticker import Ticker
from tests.unit.fleet.listener import OK, Listener, Script, say
from tests.waiting import until

NOTICE = Notification("down", "critical", 1.0, ({"name": "errors", "text": "5 %"},))
REFUSED = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"


def test_a_webhooks_connection_is_kept_and_counted(listen: Callable[[Script], Listener]) -> None:
    there = listen(say(OK))
    webhook = WebhookNotifier(f"{there.url}/hook?token=secret")
    for _ in range(3):
        webhook.send(NOTICE)
    told = webhook.figures()
    assert (there.accepted, told["asked"], told["failed"]) == (1, 3, 0)
    assert (told["kind"], told["to"], told["limit"]) == ("webhook", "127.0.0.1", 1)
    assert "secret" not in str(told)
    assert there.heads[0].startswith(b"POST /hook?token=secret HTTP/1.1")
    assert b"application/json" in there.heads[0]


def test_a_webhook_that_refuses_is_a_failure_with_its_reason(
    listen: Callable[[Script], Listener],
) -> None:
    webhook = WebhookNotifier(listen(say(REFUSED)).url)
    with pytest.raises(ConnectionError, match="answered 500"):
        webhook.send(NOTICE)
    assert (webhook.figures()["failed"], webhook.figures()["problem"]) == (1, "answered 500")
    with pytest.raises(ConfigurationError):
        WebhookNotifier("ftp://example.org")


def test_apprise_opens_one_at_a_time_and_is_counted(
    listen: Callable[[Script], Listener],
) -> None:
    there = listen(say(OK, goes_on=False))
    good = AppriseNotifier(f"json://{there.url.removeprefix('http://')}/secret")
    good.send(NOTICE)
    there.close()
    with pytest.raises(ConnectionError):
        AppriseNotifier("json://127.0.0.1:9/secret").send(NOTICE)
    assert (good.figures()["asked"], good.figures()["limit"]) == (1, 1)
    assert "secret" not in str(good.figures())


def test_every_destination_but_the_log_is_shown_with_the_queue_before_it() -> None:
    dispatcher = Dispatcher()
    dispatcher.notifiers += [LogNotifier(), WebhookNotifier("http://hooks.example.org/x")]
    dispatcher.send(NOTICE)
    (told,) = outgoing_of(dispatcher.notifiers, dispatcher)
    assert (told["to"], told["waiting"]) == ("hooks.example.org", 2)
    assert told["waiting_limit"] == MAX_NOTIFICATIONS


class Outcome:
    """What the SDK's exporters return."""

    def __init__(self, value: int) -> None:
        self.value = value


class Exporter:
    """One that fails every other time."""

    def __init__(self) -> None:
        self.batches = 0

    def export(self, spans: Any) -> Outcome:
        self.batches += 1
        return Outcome(self.batches % 2)

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int) -> bool:
        return True


def test_batches_of_spans_are_counted() -> None:
    counted = _Counted(Exporter())
    for _ in range(4):
        counted.export([])
    assert (counted.asked, counted.failed, counted.used) == (4, 2, 0)
    assert counted.force_flush()


def test_traces_go_over_one_bounded_connection(listen: Callable[[Script], Listener]) -> None:
    empty = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
    there = listen(say(empty))
    recorder = Recorder()
    ticker = Ticker(recorder, lambda: {"models": []}, "1")
    exporter = TraceExporter(ticker, f"{there.url}/v1/traces")
    record = RequestMetrics("id", "/infer", 200, trace_id="1" * 32, span_id="2" * 16)
    record.duration_ns, record.finished_at = 1_000_000, time.time()
    ticker.exemplars.traced.append(record)
    exporter.stop()
    until(lambda: exporter.outgoing()["asked"] == 1, 5, "a batch")
    told = exporter.outgoing()
    assert (told["to"], told["limit"], told["waiting_limit"]) == ("127.0.0.1", 1, MAX_WAITING)
    assert told["failed"] == 0
    assert there.heads[0].startswith(b"POST /v1/traces")
