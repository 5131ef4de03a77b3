"""What viewers are told, second by second, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.snapshot import in_words
from engine.telemetry.ticker import Ticker


def memory() -> dict[str, float | None]:
    """A server's; the process of the tests may hold more than one should."""
    return {"memory_mb": 200.0}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def ticker(recorder: Recorder, clock: Clock) -> Ticker:
    return Ticker(recorder, lambda: {"models": [], "caches": []}, "0", clock, clock, memory)


def second(ticker: Ticker, clock: Clock) -> None:
    clock.now += 1
    ticker.tick()


def live(ticker: Ticker, since: int = 0) -> Any:
    return orjson.loads(ticker.feed.answer(since))


def answered(recorder: Recorder, count: int, duration_ms: float, **fields: Any) -> None:
    for _ in range(count):
        ns = int(duration_ms * 1e6)
        record = RequestMetrics("r", "/e", 200, "m", rows=1, duration_ns=ns, **fields)
        recorder.append(record)


def tile(snapshot: Any, name: str) -> Any:
    return next(item for item in snapshot["tiles"] if item["id"] == name)


def test_a_viewer_gets_the_points_it_lacks_and_no_others(ticker: Ticker, clock: Clock) -> None:
    for _ in range(5):
        second(ticker, clock)
    assert len(live(ticker)["points"]) == 5
    assert [point[0] for point in live(ticker, since=3)["points"]] == [1004.0, 1005.0]
    assert live(ticker, since=5)["points"] == []


def test_a_viewer_of_an_earlier_process_gets_everything(ticker: Ticker, clock: Clock) -> None:
    second(ticker, clock)
    assert len(live(ticker, since=900)["points"]) == 1


def test_no_requests_is_no_data_and_not_zero_latency(ticker: Ticker, clock: Clock) -> None:
    second(ticker, clock)
    seen = live(ticker)
    assert tile(seen, "requests_per_s")["value"] == 0
    assert tile(seen, "p99_ms")["value"] is None
    assert tile(seen, "p99_ms")["reason"]
    assert tile(seen, "hit_percent")["status"] == "unknown"


def test_rates_and_percentiles_are_of_the_last_minute(
    ticker: Ticker, recorder: Recorder, clock: Clock
) -> None:
    for _ in range(60):
        answered(recorder, 10, 20.0)
        second(ticker, clock)
    seen = live(ticker)
    assert tile(seen, "requests_per_s")["value"] == pytest.approx(10)
    assert tile(seen, "p50_ms")["value"] == pytest.approx(20, rel=0.0101)
    for _ in range(60):
        answered(recorder, 20, 40.0)
        second(ticker, clock)
    seen = live(ticker)
    assert tile(seen, "p50_ms")["delta"] == "100 % slower than the minute before"
    assert tile(seen, "requests_per_s")["value"] == pytest.approx(20)
    for _ in range(60):
        answered(recorder, 500, 40.0)
        second(ticker, clock)
    assert tile(live(ticker), "requests_per_s")["delta"] == "25 times the minute before"


def test_slow_answers_leave_ok_by_the_stated_limits(
    ticker: Ticker, recorder: Recorder, clock: Clock
) -> None:
    answered(recorder, 20, 700.0)
    second(ticker, clock)
    seen = live(ticker)
    assert tile(seen, "p95_ms")["status"] == "critical"
    assert tile(seen, "p99_ms")["status"] == "unknown"
    assert seen["health"]["status"] == "critical"


def test_a_few_requests_are_shown_and_not_judged(
    ticker: Ticker, recorder: Recorder, clock: Clock
) -> None:
    answered(recorder, 2, 1.0)
    answered(recorder, 1, 700.0)  # a cold start
    second(ticker, clock)
    p95 = tile(live(ticker), "p95_ms")
    assert p95["value"] == pytest.approx(700, rel=0.02)
    assert (p95["status"], p95["delta"]) == ("unknown", None)
    assert p95["reason"] == "3 requests: too few to judge"
    assert live(ticker)["health"]["status"] == "ok"


def test_what_there_is_to_compare_with_is_said(
    ticker: Ticker, recorder: Recorder, clock: Clock
) -> None:
    answered(recorder, 1, 10.0)
    second(ticker, clock)
    assert tile(live(ticker), "memory_mb")["reason"] == "the server is up for less than two minutes"
    for _ in range(60):
        second(ticker, clock)
    answered(recorder, 40, 10.0)
    for _ in range(59):
        second(ticker, clock)
    seen = live(ticker)
    assert tile(seen, "memory_mb")["delta"].endswith(" the minute before")
    few = "1 request the minute before: too few to compare with"
    assert (tile(seen, "p95_ms")["delta"], tile(seen, "p95_ms")["reason"]) == (None, few)
    assert tile(seen, "p95_ms")["status"] == "ok"


def test_a_server_that_is_up_for_minutes_is_not_starting(recorder: Recorder, clock: Clock) -> None:
    models = [{"name": "m", "state": "loading"}]
    ticker = Ticker(recorder, lambda: {"models": list(models)}, "0", clock, clock, memory)
    second(ticker, clock)
    assert live(ticker)["health"] == {"status": "unknown", "text": "Starting: 1 model loading"}
    for _ in range(60):
        second(ticker, clock)
    assert live(ticker)["health"] == {"status": "ok", "text": "Healthy: 1 model loading"}


def test_the_icicle_adds_up(ticker: Ticker, recorder: Recorder, clock: Clock) -> None:
    answered(recorder, 4, 10.0, inference_ns=6_000_000, decode_ns=1_000_000)
    second(ticker, clock)
    phases = live(ticker)["phases"]
    values = dict(zip(phases["ids"], phases["values"], strict=True))
    assert values["requests"] == pytest.approx(40)
    assert values["m/inference"] == pytest.approx(24)
    assert values["m/unaccounted"] == pytest.approx(12)
    parts = [values[i] for i, p in zip(phases["ids"], phases["parents"], strict=True) if p == "m"]
    assert sum(parts) == pytest.approx(values["m"])


def test_events_are_bounded(ticker: Ticker) -> None:
    for number in range(80):
        ticker.event("flush", f"flush {number}")
    assert len(ticker.events()) == 50
    assert ticker.events()[-1]["text"] == "flush 79"


@pytest.mark.parametrize(
    ("value", "words"), [(1240.4, "1,240"), (3.14159, "3.14"), (0.01234, "0.0123"), (0.0, "0")]
)
def test_figures_are_said_as_people_write_them(value: float, words: str) -> None:
    assert in_words(value) == words
