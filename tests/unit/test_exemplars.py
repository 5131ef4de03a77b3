"""Which requests of a minute are kept to be looked at."""

from __future__ import annotations

import pytest

from engine.telemetry.exemplars import MINUTES, SAMPLED, SLOWEST, Exemplars
from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder


class Fed:
    """Exemplars of a recorder whose requests are named by their time in ms."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.exemplars = Exemplars(self.recorder)

    def second(
        self, now_s: float, times_ms: list[int], model: str = "m", service: bool = True
    ) -> None:
        for ms in times_ms:
            record = RequestMetrics(f"r{ms}", "/infer", 200, model, duration_ns=ms * 1_000_000)
            self.recorder.append(record, service)
        self.exemplars.add(self.recorder.drain(), now_s)

    def kept(self, why: str) -> list[str]:
        return [one["request_id"] for one in self.exemplars.as_dicts() if one["why"] == why]


@pytest.fixture
def fed() -> Fed:
    return Fed()


def test_the_slowest_of_a_minute_are_kept_whatever_second_they_came_in(fed: Fed) -> None:
    fed.second(0, list(range(1, 11)))
    fed.second(30, [100, 3, 50])
    fed.second(59, [7])
    assert fed.kept("slowest") == ["r100", "r50", "r10", "r9", "r8"]


def test_a_new_minute_begins_anew_and_is_told_first(fed: Fed) -> None:
    fed.second(0, [500])
    fed.second(60, [2, 1])
    assert fed.kept("slowest") == ["r2", "r1", "r500"]


def test_minutes_and_records_are_bounded(fed: Fed) -> None:
    for minute in range(MINUTES + 5):
        fed.second(60.0 * minute, list(range(20)))
    assert len(fed.kept("slowest")) == MINUTES * SLOWEST
    assert len(fed.kept("sample")) == MINUTES * SAMPLED


def test_the_sample_is_uniform_over_the_minute() -> None:
    """100 requests in ten seconds: each of the ten is in the sample equally often."""
    counts = [0] * 10
    for _ in range(300):
        fed = Fed()
        for second in range(10):
            fed.second(second, [10 * second + at for at in range(10)])
        for name in fed.kept("sample"):
            counts[int(name[1:]) // 10] += 1
    # 1,500 draws, 150 a second expected; five standard deviations of a binomial are 58
    assert sum(counts) == 300 * SAMPLED
    assert all(92 <= count <= 208 for count in counts)


def test_what_is_no_service_is_not_kept(fed: Fed) -> None:
    fed.second(0, [900], model="", service=False)
    assert fed.kept("slowest") == []
    fed.second(1, [1])
    assert fed.kept("slowest") == ["r1"]


def test_only_traced_requests_are_put_aside_for_an_exporter(fed: Fed) -> None:
    fed.recorder.append(RequestMetrics("plain", "/infer", 200, "m"))
    fed.recorder.append(RequestMetrics("traced", "/infer", 200, "m", trace_id="0af7"))
    fed.exemplars.add(fed.recorder.drain(), 0)
    assert [record.request_id for record in fed.exemplars.traced] == ["traced"]


def test_samples_are_those_of_the_request_asked_for(fed: Fed) -> None:
    fed.exemplars.stacks_in = lambda record, ended_ns: [f"stack of {record.request_id}"]
    fed.second(0, [5])
    fed.second(60, [6])
    assert fed.exemplars.samples_of("r5") == ["stack of r5"]
    assert fed.exemplars.samples_of("unknown") == ()


def test_those_of_one_model_only(fed: Fed) -> None:
    fed.second(0, [5], model="a")
    fed.second(0, [6], model="b")
    assert {one["model"] for one in fed.exemplars.as_dicts("b")} == {"b"}
