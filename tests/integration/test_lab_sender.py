"""The lab against servers that are no Pyrometer, in one process with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.lab import arrivals, outcome, sender
from bench.lab.lab import Cancel, run
from bench.lab.spec import spec_from
from engine.errors import PyrometerError
from tests.conftest import free_port
from tests.integration import lab_targets
from tests.integration.lab_targets import Foreign, foreign


def load(target: Foreign, **changes: Any) -> dict[str, Any]:
    """A short run; its record."""
    given = {"url": target.url, "model": "m", "connections": 4, "seconds": 0.5, "timeout_s": 2}
    return run(spec_from(given | changes), lambda line: None, Cancel())


def test_a_foreign_server_below_a_base_path_is_asked_with_rows_of_its_metadata() -> None:
    with foreign() as target:
        record = load(target)
    assert record["valid"]
    assert record["errors"] == 0
    assert record["requests"] == record["statuses"]["200"] == len(target.seen.bodies)
    assert target.seen.paths["/base/v2/models/m/infer"] == record["requests"]
    (tensor,) = json.loads(target.seen.bodies[0])["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "FP32", [1, 3])
    assert record["server_ms"] is None
    assert target.seen.connections <= 4 + 2  # kept, beside those that asked for the metadata


@pytest.mark.parametrize(
    "answer", [lab_targets.chunked, lab_targets.closing, lab_targets.until_close]
)
def test_every_way_to_end_an_answer_is_understood(answer: lab_targets.Answer) -> None:
    with foreign(answer) as target:
        record = load(target)
    assert record["requests"] > 10
    assert record["errors"] == 0, record["error_texts"]


def test_refusals_are_counted_apart_and_not_timed() -> None:
    with foreign(lab_targets.failing_every_fourth) as target:
        record = load(target)
    assert record["errors"] == record["statuses"]["503"] == record["error_texts"]["status 503"]
    assert record["errors"] == pytest.approx(record["requests"] / 4, abs=5)
    assert sum(record["histogram"]["counts"]) == record["requests"] - record["errors"]


def test_an_answer_that_is_cut_off_is_an_error() -> None:
    with foreign(lab_targets.cut_off) as target:
        record = load(target)
    assert record["errors"] == record["requests"] > 0
    assert set(record["error_texts"]) == {"the connection closed before the answer"}


def test_no_answer_is_an_error_and_counted_with_the_time_waited() -> None:
    with foreign(silent=True) as target:
        record = load(target, timeout_s=0.3, connections=2)
    assert record["errors"] == record["requests"] >= 2
    assert set(record["error_texts"]) == {"no answer within 0.3 s"}
    assert record["latency_ms"]["p50"] >= 0.99 * 300  # a bucket's middle


def test_nobody_there_is_said_at_once() -> None:
    spec = spec_from({"url": f"http://127.0.0.1:{free_port()}", "model": "m"})
    with pytest.raises(PyrometerError, match="no server answers"):
        run(spec, lambda line: None, Cancel())


def test_an_open_loop_sends_as_many_as_were_due() -> None:
    with foreign() as target:
        record = load(target, loop="open", rate_per_s=400, seconds=1)
    assert record["requests"] == 400
    assert record["valid"], record["invalid_because"]
    assert record["requested_per_s"] == 400.0
    assert record["achieved_per_s"] >= 0.99 * 400


def test_poisson_arrivals_are_those_of_the_seed() -> None:
    with foreign() as target:
        changes = {"arrivals": "poisson", "rate_per_s": 200, "seconds": 1, "seed": 5}
        record = load(target, loop="open", **changes)
    assert record["requests"] == len(list(arrivals.poisson(200, 1.0, 5)))


def test_a_run_that_cannot_keep_its_rate_is_invalid_and_says_why(tmp_path: Path) -> None:
    # each request takes 50 ms by a timeout, over one connection: 20/s at most
    with foreign(silent=True) as target:
        changes = {"rate_per_s": 40, "seconds": 1.5, "timeout_s": 0.05, "connections": 1}
        record = load(target, loop="open", **changes)
    assert not record["valid"]
    assert record["requests"] == 60  # late, but none was skipped
    assert "behind the requested rate" in record["invalid_because"]
    assert record["achieved_per_s"] < 0.75 * record["requested_per_s"]
    assert record["lag_percent"] == pytest.approx(
        100 * (1 - record["achieved_per_s"] / record["requested_per_s"]), abs=0.1
    )


def test_a_run_that_is_given_up_in_its_warm_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "GIVE_UP_S", 0.3)
    with foreign(silent=True) as target:
        record = load(
            target, loop="open", rate_per_s=100, connections=1, warmup_s=20, timeout_s=0.2
        )
    assert not record["valid"]
    assert record["invalid_because"].startswith("given up in the warm-up, ")
    assert record["invalid_because"].endswith("all connections were waiting for answers")
    assert 1 < record["lag_percent"] < 100
    assert record["ended"] - record["started"] < 15


def test_a_run_without_a_warm_up_is_not_given_up_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "GIVE_UP_S", 0.3)
    with foreign(silent=True) as target:
        record = load(target, loop="open", rate_per_s=100, connections=1, timeout_s=0.2, seconds=9)
    assert not record["valid"]
    assert "warm-up" not in record["invalid_because"]


def test_the_warm_up_is_sent_and_not_counted() -> None:
    lines: list[dict[str, Any]] = []
    with foreign() as target:
        changes = {"loop": "open", "rate_per_s": 100, "seconds": 1, "warmup_s": 1}
        given = {"url": target.url, "model": "m", "connections": 4} | changes
        record = run(spec_from(given), lines.append, Cancel())
    assert record["requests"] == 100
    assert len(target.seen.bodies) == 200
    assert lines[0]["phase"] == "warmup"
    assert lines[-1]["phase"] == "run"


def test_a_run_that_is_cancelled_keeps_what_it_has() -> None:
    cancel = Cancel()

    def on_progress(line: dict[str, Any]) -> None:
        cancel.ask()

    with foreign() as target:
        given = {"url": target.url, "model": "m", "connections": 4, "seconds": 60}
        record = run(spec_from(given), on_progress, cancel)
    assert record["cancelled"]
    assert not record["valid"]
    assert "cancelled after" in record["invalid_because"]
    assert record["requests"] == record["statuses"]["200"] > 0


@pytest.mark.parametrize("cache", [True, False])
def test_cached_answers_are_refused_unless_they_are_asked_for(cache: bool) -> None:
    with foreign() as target:
        load(target, payload={"cache": cache})
    assert (b"cache-control: no-cache" in target.seen.heads[0]) is not cache


@pytest.mark.parametrize(
    ("name", "content", "first"),
    [
        ("one.json", '{"inputs": [{"name": "y"}]}', {"inputs": [{"name": "y"}]}),
        ("lines.jsonl", '{"inputs": [1]}\n\n{"inputs": [2]}\n', {"inputs": [1]}),
        (
            "rows.csv",
            "a,b,c\n1,2,3\n4,,6\n",
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]},
        ),
    ],
)
def test_a_file_of_bodies_or_rows_is_sent(
    tmp_path: Path, name: str, content: str, first: dict[str, Any]
) -> None:
    file = tmp_path / name
    file.write_text(content)
    with foreign() as target:
        load(target, payload={"source": "file", "path": str(file)}, connections=1)
    assert json.loads(target.seen.bodies[0]) == first


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of half a second on a busy machine: 1 % of them is a hiccup of 5 ms."""
    monkeypatch.setattr(outcome, "MOST_LAG_PERCENT", 20.0)


@pytest.mark.usefixtures("lenient")
def test_a_ramp_ends_with_the_highest_rate_within_the_slo() -> None:
    lines: list[dict[str, Any]] = []
    with foreign() as target:
        given = {
            "url": target.url,
            "model": "m",
            "loop": "open",
            "slo": {"error_percent": 0},
            "ramp": {"from_per_s": 50, "to_per_s": 100, "steps": 2, "step_s": 0.5},
        }
        record = run(spec_from(given), lines.append, Cancel())
    assert record["kind"] == "ramp"
    assert [step["rate_per_s"] for step in record["steps"]] == [50, 100]
    assert record["highest_within_slo_per_s"] == 100
    assert record["rose_to_the_end"]
    assert record["requests"] == 25 + 50
    assert {line["step"] for line in lines} == {1, 2}


@pytest.mark.usefixtures("lenient")
def test_a_ramp_over_the_limit_halves_and_a_bad_first_step_has_no_answer() -> None:
    ramp = {"from_per_s": 10, "to_per_s": 60, "steps": 2, "step_s": 0.6}
    with foreign(silent=True) as target:
        changes = {"timeout_s": 0.05, "connections": 1, "slo": {"error_percent": 100}}
        record = load(target, loop="open", ramp=ramp, **changes)
        bad = load(target, loop="open", ramp=ramp, **changes | {"slo": {"error_percent": 0}})
    # one connection and 50 ms a request: about 20/s
    assert 10 <= record["highest_within_slo_per_s"] <= 25
    assert [step["within_slo"] for step in record["steps"]][:2] == [True, False]
    assert len(record["steps"]) > 3
    assert bad["highest_within_slo_per_s"] is None
    assert len(bad["steps"]) == 1
