"""Benchmarks of the console: one child at a time, its lines, its end, and what is stored."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import benchmarks as module
from app.benchmarks import COLUMNS, MOST_POINTS, Benchmarks, seconds_of, words_of
from app.stored_runs import MOST_RUNS, StoredRuns, UnknownRun
from engine.errors import Busy
from tests.unit.stub_lab import RUN_ID
from tests.waiting import until

STUB = (sys.executable, str(Path(__file__).with_name("stub_lab.py")))
Events = list[tuple[str, str]]


def spec(name: str, **more: Any) -> dict[str, Any]:
    plain = {"name": name, "model": "m", "loop": "open", "arrivals": "constant", "ramp": None}
    return {**plain, "rate_per_s": 100.0, "seconds": 3.0, "warmup_s": 1.0, **more}


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def lab(tmp_path: Path, events: Events) -> Iterator[Benchmarks]:
    made = Benchmarks(tmp_path / "runs", lambda kind, text: events.append((kind, text)), STUB)
    yield made
    made.close(wait_s=0.5)


def ended(lab: Benchmarks, events: Events) -> dict[str, Any]:
    until(lambda: lab.current() is None and len(events) > 1, 10, "the end of the run")
    assert lab.last is not None
    return lab.last


def test_a_run_is_told_from_its_start_to_what_is_stored(lab: Benchmarks, events: Events) -> None:
    begun = lab.start(spec("steady"))
    assert begun["seconds"] == 4
    last = ended(lab, events)
    assert (last["run"], last["error"], last["cancelled"]) == (RUN_ID, None, False)
    assert [kind for kind, _ in events] == ["benchmark", "benchmark"]
    assert events[0][1].startswith("started steady: m, 100 requests/s, constant arrivals")
    whole = "p99 244 ms, 98 requests/s achieved, valid"  # its last second had 3 ms at 99
    assert events[1][1] == f"finished steady: {whole}; run {RUN_ID}"
    assert json.loads(lab.runs.read(RUN_ID))["valid"] is True


def test_points_leave_the_warm_up_out_and_count_each_seconds_errors() -> None:
    run = module._Run(spec("x"), 0.0)
    for phase, second, errors in (("warmup", 1.0, 5), ("run", 1.0, 1), ("run", 2.0, 3)):
        told = {"type": "progress", "phase": phase, "elapsed_s": second, "errors": errors}
        run.hear(json.dumps(told).encode())
    assert [(point[0], point[COLUMNS.index("errors")]) for point in run.points] == [(1, 1), (2, 2)]


def test_the_time_of_points_goes_on_over_the_steps_of_a_ramp() -> None:
    run = module._Run(spec("x"), 0.0)
    for step in (1, 2, 3):
        for second in (1.0, 2.0):
            told = {"type": "progress", "phase": "step", "step": step, "elapsed_s": second}
            run.hear(json.dumps(told).encode())
    assert [point[0] for point in run.points] == [1, 2, 3, 4, 5, 6]


def test_only_one_runs_at_a_time(lab: Benchmarks, events: Events) -> None:
    lab.start(spec("wait"))
    with pytest.raises(Busy, match=r"runs already: wait: m"):
        lab.start(spec("steady"))
    lab.cancel()
    ended(lab, events)
    events.clear()
    lab.start(spec("steady"))
    assert ended(lab, events)["run"] == RUN_ID


def test_what_is_new_is_told_and_no_more_than_is_kept(lab: Benchmarks) -> None:
    lab.start(spec("many"))

    def seen() -> bool:
        told = lab.current()
        return told is not None and told["seq"] == 1001

    until(seen, 10, "all lines")
    told = lab.current()
    assert told is not None
    assert len(told["points"]) == MOST_POINTS
    newest = lab.current(since=1000)
    assert newest is not None
    assert len(newest["points"]) == 1
    assert len((lab.current(since=1001) or {})["points"]) == 0
    assert len((lab.current(since=5000) or {})["points"]) == MOST_POINTS, "of an earlier run"


def test_a_cancelled_run_is_stored_as_far_as_it_came(lab: Benchmarks, events: Events) -> None:
    lab.start(spec("wait"))
    until(lambda: (lab.current() or {}).get("progress"), 10, "the first line")
    lab.cancel()
    told = lab.current()
    assert told is None or told["cancelling"]
    last = ended(lab, events)
    assert (last["run"], last["cancelled"], last["error"]) == (RUN_ID, True, None)
    assert json.loads(lab.runs.read(RUN_ID))["cancelled"] is True
    assert events[-1][1].startswith("cancelled wait")
    with pytest.raises(UnknownRun, match="no benchmark is running"):
        lab.cancel()


def test_a_child_that_does_not_listen_is_killed(
    lab: Benchmarks, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KILL_AFTER_S", 0.2)
    lab.start(spec("deaf"))
    until(lambda: (lab.current() or {}).get("progress"), 10, "the first line")
    lab.cancel()
    assert ended(lab, events)["error"] == "cancelled before anything was measured"


def test_a_child_that_goes_on_past_its_time_is_ended(
    lab: Benchmarks, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OVERTIME_S", 0.2)
    lab.start(spec("deaf", seconds=0.1, warmup_s=0.0))
    assert "past its time" in ended(lab, events)["error"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("refuse", "rate_per_s is 0; it must be more"),
        ("crash", "the load lab ended with status 3: not json at all"),
    ],
)
def test_why_there_is_no_result_is_told(
    lab: Benchmarks, events: Events, name: str, error: str
) -> None:
    lab.start(spec(name))
    last = ended(lab, events)
    assert (last["run"], last["error"]) == (None, error)
    assert events[-1][1] == f"failed {name}: {error}"


def test_a_run_whose_name_begins_like_a_start_ends_as_any_other(
    lab: Benchmarks, events: Events
) -> None:
    lab._lab = ("/nowhere/python",)
    lab.start(spec("started anew"))
    ended(lab, events)
    assert events[-1][1].startswith("failed started anew: ")


def test_a_benchmark_without_a_thread_is_refused_and_the_next_may_run(
    lab: Benchmarks, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        with pytest.raises(Busy, match="no thread for a benchmark"):
            lab.start(spec("steady"))
    assert lab.current() is None
    assert events[-1][1] == "failed steady: can't start new thread"
    events.clear()
    lab.start(spec("steady"))
    assert ended(lab, events)["run"] == RUN_ID


def test_a_lab_that_is_not_there_is_told_and_the_next_may_run(
    tmp_path: Path, events: Events
) -> None:
    lab = Benchmarks(tmp_path, lambda *told: events.append(told), ("/nowhere/python",))
    lab.start(spec("steady"))
    assert "could not be run" in ended(lab, events)["error"]
    lab.start(spec("steady"))


def test_the_child_ends_with_the_server(lab: Benchmarks, events: Events) -> None:
    lab.start(spec("deaf"))
    until(lambda: (lab.current() or {}).get("progress"), 10, "the first line")
    lab.close(wait_s=0.3)
    assert lab.current() is None
    with pytest.raises(Busy, match="stopping"):
        lab.start(spec("steady"))


def test_how_long_a_ramp_takes_counts_the_halvings() -> None:
    ramp = {"from_per_s": 1.0, "to_per_s": 2.0, "steps": 4, "step_s": 10.0}
    assert seconds_of(spec("x", ramp=ramp)) == pytest.approx(1 + 10 * 11.2)
    assert words_of(spec("x", ramp=ramp)).startswith("x: m, ramp from 1 to 2 requests/s")
    closed = spec("", loop="closed", connections=8)
    assert words_of(closed) == "m, closed loop of 8 connections, about 4 s"


# what is stored


def keep(folder: Path, run: str, **more: Any) -> None:
    folder.mkdir(exist_ok=True)
    content = {"id": run, "kind": "load", "valid": True, "latency_ms": {"p99": 3.0}, **more}
    (folder / f"{run}.json").write_text(json.dumps(content))


def test_runs_are_listed_newest_first_and_read_again_only_when_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = StoredRuns(tmp_path / "runs")
    assert runs.summaries() == ([], 0)
    keep(tmp_path / "runs", "20260101T000000Z-aaaaaa", spec={"model": "old"})
    keep(tmp_path / "runs", "20260201T000000Z-bbbbbb", spec={"model": "new"})
    found, unreadable = runs.summaries()
    assert [one["model"] for one in found] == ["new", "old"]
    assert (found[0]["p99_ms"], unreadable) == (3.0, 0)
    read: list[Path] = []
    monkeypatch.setattr("app.stored_runs.summary_of", read.append)
    assert runs.summaries()[0] == found
    assert read == []


def test_files_that_are_no_runs_are_counted_not_shown(tmp_path: Path) -> None:
    keep(tmp_path, "20260101T000000Z-aaaaaa")
    keep(tmp_path, "20260101T000000Z-bbbbbb", id="another")
    (tmp_path / "20260101T000000Z-cccccc.json").write_text("{")
    (tmp_path / "notes.json").write_text("{}")
    found, unreadable = StoredRuns(tmp_path).summaries()
    assert ([one["id"][-6:] for one in found], unreadable) == (["aaaaaa"], 2)


def test_no_more_than_the_newest_are_read(tmp_path: Path) -> None:
    for place in range(MOST_RUNS + 5):
        keep(tmp_path, f"20260101T000000Z-{place:06x}")
    found, _ = StoredRuns(tmp_path).summaries()
    assert len(found) == MOST_RUNS
    assert found[-1]["id"].endswith(f"{5:06x}")


def test_a_run_is_deleted_once_and_the_revision_tells(tmp_path: Path) -> None:
    runs = StoredRuns(tmp_path)
    keep(tmp_path, RUN_ID)
    before = runs.revision()
    runs.delete(RUN_ID)
    assert runs.revision() != before
    for act in (runs.delete, runs.read):
        with pytest.raises(UnknownRun, match=RUN_ID):
            act(RUN_ID)


@pytest.mark.parametrize("run", ["../secret", "..", "", "x" * 500, f"{RUN_ID}\n", f"../{RUN_ID}"])
def test_what_is_no_id_is_never_a_path(tmp_path: Path, run: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    runs = StoredRuns(tmp_path / "runs")
    for act in (runs.read, runs.delete):
        with pytest.raises(UnknownRun):
            act(run)
    assert (tmp_path / "secret.json").exists()


def test_a_damaged_run_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / f"{RUN_ID}.json").write_text('{"id": ')
    with pytest.raises(UnknownRun, match="cannot be read"):
        StoredRuns(tmp_path).read(RUN_ID)
