"""profile_request and phase: the public way to record routes of one's own."""

from __future__ import annotations

import asyncio

import pytest

from engine.telemetry.profile import phase, profile_request
from engine.telemetry.record import MAX_OWN_PHASES, RequestMetrics
from engine.telemetry.recorder import Recorder


@pytest.fixture
def recorder() -> Recorder:
    return Recorder("p")


def newest(recorder: Recorder) -> RequestMetrics:
    return recorder.recent()[-1]


def adds_up(record: RequestMetrics) -> bool:
    return record.accounted_ns + record.unaccounted_ns == record.duration_ns > 0


def test_a_request_is_recorded_with_its_phases(recorder: Recorder) -> None:
    with profile_request(recorder, "/mine", "GET", cold_start=True) as given:
        given.model = "m"
        with phase("inference"):
            sum(range(10_000))
        with phase("lookup"):
            sum(range(10_000))
    record = newest(recorder)
    assert (record.endpoint, record.status, record.model) == ("GET /mine", 200, "m")
    assert record.cold_start
    assert record.inference_ns > 0
    assert record.own_phases == {"lookup": record.own_ns}
    assert adds_up(record)


def test_an_exception_is_recorded_and_goes_on(recorder: Recorder) -> None:
    with pytest.raises(KeyError), profile_request(recorder, "/mine"):
        raise KeyError("gone")
    assert (newest(recorder).status, newest(recorder).error) == (500, "KeyError")


def test_phases_within_phases_do_not_overlap(recorder: Recorder) -> None:
    with profile_request(recorder, "/mine"), phase("outer"):
        sum(range(20_000))
        with phase("inner"):
            sum(range(20_000))
    record = newest(recorder)
    assert record.own_ns == record.own_phases["outer"] + record.own_phases["inner"]
    assert record.unaccounted_ns >= 0
    assert adds_up(record)


def test_async_requests_keep_apart(recorder: Recorder) -> None:
    async def one(name: str) -> None:
        async with profile_request(recorder, f"/{name}"), phase(name):
            await asyncio.sleep(0.01)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())
    seen = {record.endpoint: set(record.own_phases) for record in recorder.recent()}
    assert seen == {"/a": {"a"}, "/b": {"b"}}


def test_names_of_phases_are_bounded(recorder: Recorder) -> None:
    with profile_request(recorder, "/mine"):
        for number in range(MAX_OWN_PHASES + 5):
            with phase(f"p{number}"):
                pass
    assert len(newest(recorder).own_phases) == MAX_OWN_PHASES + 1
    assert "(other)" in newest(recorder).own_phases


def test_a_phase_outside_of_a_request_books_nothing(recorder: Recorder) -> None:
    with phase("alone"):
        pass
    assert recorder.recent() == []
