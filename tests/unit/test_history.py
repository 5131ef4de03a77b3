"""History on disk: restarts, gaps, tiers, trouble with the file, set clocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.telemetry.frames import Frames, Grid
from engine.telemetry.history import MAX_WAITING, History
from engine.telemetry.history_file import MAX_EVENTS, HistoryFile
from engine.telemetry.labels import Labels
from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.ring import Ring
from engine.telemetry.rollup import TIERS, Tier
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import TOTAL_AT, tally_of
from engine.telemetry.timeline import Timeline, as_dict
from tests.waiting import until

NOON = 1_800_000_000 // 86_400 * 86_400 + 43_200


class Process:
    """A recorder, ring and history over one folder, a second at a time."""

    def __init__(self, folder: Path, now_s: float, limit_bytes: int = 10**9) -> None:
        self.recorder, self.ring = Recorder(), Ring()
        self.now_s, self.monotonic_s = now_s, 5000.0
        self.events: list[str] = []
        self.history = History(
            folder,
            self.recorder.labels,
            limit_bytes,
            lambda kind, text: self.events.append(text),
            lambda: self.now_s,
        )
        self.history.start()
        self.timeline = Timeline(self.ring, self.recorder.labels, self.history)

    def second(self, requests: int = 1, duration_ms: float = 10.0, model: str = "m") -> None:
        self.now_s += 1
        self.monotonic_s += 1
        for _ in range(requests):
            ns = int(duration_ms * 1e6)
            self.recorder.append(RequestMetrics("r", "/r", 200, model, rows=1, duration_ns=ns))
        tally, gauges = tally_of(self.recorder.drain().rows), {"memory_mb": 100.0}
        service = self.recorder.labels.is_service()
        self.ring.append(self.monotonic_s, 1.0, gauges, tally, service)
        self.history.offer(self.now_s, 1.0, tally, gauges)

    def seconds(self, count: int, **what: Any) -> None:
        for _ in range(count):
            self.second(**what)

    def settled(self) -> None:
        until(lambda: not self.history.status()["waiting"], 20, "the writer to have written")

    def settled_or_failed(self) -> None:
        done = self.history.status
        until(lambda: not done()["waiting"] or done()["problem"], 20, "the writer to have tried")

    def look(self, window_s: float, step_s: float, model: str | None = None) -> Any:
        found = self.timeline.frames(window_s, self.now_s, self.monotonic_s, step_s, model)
        return found.frames, as_dict(found, ("requests_per_s", "p50_ms", "memory_mb"))


StartProcess = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartProcess]:
    started: list[Process] = []

    def begin(now_s: float, **what: Any) -> Process:
        started.append(Process(tmp_path, now_s, **what))
        return started[-1]

    yield begin
    for process in started:
        process.history.close()


def test_a_restart_keeps_history_and_shows_the_gap_as_a_gap(start: StartProcess) -> None:
    first = start(NOON)
    first.seconds(120, requests=3)
    first.history.close()
    second = start(NOON + 300)
    second.seconds(60, requests=5)
    frames, answer = second.look(360, 10)
    rates = [point[1] for point in answer["points"]]
    assert rates[:12] == [3.0] * 12
    assert rates[12:30] == [None] * 18
    assert rates[30:] == [5.0] * 6
    assert frames.totals[:, TOTAL_AT["requests"]].sum() == 120 * 3 + 60 * 5
    assert answer["points"][0][2] == pytest.approx(10, rel=0.01)
    assert answer["points"][0][3] == 100


def test_events_outlive_the_process(start: StartProcess) -> None:
    first = start(NOON)
    for place, kind in enumerate(("start", "flush", "warmup")):
        first.history.note_event((NOON + 100 * place, kind, f"number {place}"))
    first.history.close()
    second = start(NOON + 1000)
    found = second.history.events(NOON + 50, NOON + 300, 10)
    assert found == [(NOON + 200, "warmup", "number 2"), (NOON + 100, "flush", "number 1")]
    assert second.history.events(NOON, NOON + 300, 1) == found[:1]


def test_a_killed_process_loses_at_most_ten_seconds(start: StartProcess) -> None:
    killed = start(NOON)
    killed.seconds(57, requests=2)
    until(lambda: killed.history._partial is None, 10, "the running bucket to be copied")
    killed.settled()
    # Nothing of it is closed: what is on disk now is what a kill leaves.
    after = start(NOON + 60)
    frames, _ = after.look(60, 10)
    assert frames.totals[:, TOTAL_AT["requests"]].sum() >= 2 * 47


def test_coarse_tiers_hold_exactly_what_the_fine_ones_hold(
    start: StartProcess, tmp_path: Path
) -> None:
    process = start(NOON)
    process.seconds(3700, requests=2)
    process.seconds(20, requests=1, model="other")
    process.history.close()
    file = HistoryFile(tmp_path / "history.sqlite", reads_only=True)
    for tier in TIERS[:4]:
        frames = Frames(Grid(NOON, tier.step_s, 3600 // tier.step_s))
        file.read(frames, tier, NOON, NOON + 3600, None)
        assert frames.totals[:, TOTAL_AT["requests"]].tolist() == [2 * tier.step_s] * len(frames)
        assert frames.histograms.sum() == 7200
        assert frames.seconds.tolist() == [tier.step_s] * len(frames)
        assert frames.means[:, GAUGES.index("memory_mb")].tolist() == [100.0] * len(frames)
    assert requests_of(file, TIERS[0], NOON, "other") == [20]
    file.close()


def test_what_a_stopped_process_had_not_added_up_is_added_up_by_the_next(
    start: StartProcess, tmp_path: Path
) -> None:
    first = start(NOON)
    first.seconds(95)
    first.history.close()
    second = start(NOON + 7200)
    second.seconds(30)
    second.history.close()
    file = HistoryFile(tmp_path / "history.sqlite", reads_only=True)
    assert requests_of(file, TIERS[1], NOON, None, 60, 2) == [60, 35]
    assert requests_of(file, TIERS[3], NOON, None) == [95]
    file.close()


def test_a_model_has_its_own_timeline(start: StartProcess) -> None:
    process = start(NOON)
    process.seconds(30, requests=2, model="a")
    process.seconds(30, requests=7, model="b")
    frames, _ = process.look(60, 10, "b")
    assert frames.totals[:, TOTAL_AT["requests"]].tolist() == [0, 0, 0, 70, 70, 70]
    assert frames.totals[:, TOTAL_AT["requests_ok"]].sum() == 210
    assert frames.histograms.sum() == 210


def test_a_locked_file_delays_no_tick_and_is_written_once_it_is_free(
    start: StartProcess, tmp_path: Path
) -> None:
    process = start(NOON)
    process.seconds(20)
    process.settled()
    lock = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    process.seconds(60)
    until(lambda: process.history.problem is not None, 20, "the problem to be noticed")
    status = process.history.status()
    assert not status["recording"]
    assert "locked" in status["problem"]
    lock.execute("ROLLBACK")
    lock.close()
    until(lambda: process.history.problem is None, 20, "the writer to recover")
    process.seconds(10)
    process.settled()
    assert process.history.dropped == 0
    assert any("recorded again" in text for text in process.events)


def test_a_queue_that_nobody_empties_is_bounded(tmp_path: Path) -> None:
    recorder = Recorder()
    history = History(tmp_path, recorder.labels, 10**9, lambda kind, text: None)
    tally = tally_of(recorder.drain().rows)
    for second in range(10 * (MAX_WAITING + 30)):
        history.offer(NOON + second, 1.0, tally, {})
    assert history.status()["waiting"] == MAX_WAITING
    assert history.dropped == 30, "391 buckets were begun, one of them is still running"


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    start: StartProcess, tmp_path: Path
) -> None:
    garbage = b"this is no database" * 1000
    (tmp_path / "history.sqlite").write_bytes(garbage)
    process = start(NOON)
    process.seconds(30)
    until(lambda: process.history.written > 0, 20, "the new file")
    (aside,) = process.history.set_aside
    assert (tmp_path / aside).read_bytes() == garbage
    assert any(aside in text for text in process.events)
    process.settled()
    assert process.look(30, 10)[0].totals[:, 0].sum() == 30


def test_the_file_is_kept_within_its_bound(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "h.sqlite")
    process = Recorder()
    for bucket_at in range(300):
        bucket = _bucket(process.labels, NOON + 10 * bucket_at)
        file.write(bucket)
    before = file.used_bytes()
    file.prune(NOON + 3000, before // 2)
    assert file.used_bytes() <= before // 2
    left = requests_of(file, TIERS[0], NOON, None, 10, 300)
    assert left[0] == 0, "the oldest goes first"
    assert left[-1] == 1
    file.close()


def requests_of(
    file: HistoryFile,
    tier: Tier,
    since_s: float,
    model: str | None,
    step_s: float = 9999,
    count: int = 1,
) -> list[int]:
    """Requests of each step, as one tier has them."""
    frames = Frames(Grid(since_s, step_s, count))
    file.read(frames, tier, since_s, frames.grid.until_s, model)
    requests: list[int] = frames.totals[:, TOTAL_AT["requests"]].tolist()
    return requests


def _bucket(labels: Labels, start_s: int) -> Any:
    from engine.telemetry.rollup import Bucket

    recorder = Recorder()
    recorder.append(RequestMetrics("r", "/r", 200, "m", rows=1, duration_ns=10**6))
    bucket = Bucket(start_s)
    tally = tally_of(recorder.drain().rows)
    bucket.add(10.0, tally, np.full(len(GAUGES), np.nan), recorder.labels)
    return bucket


def test_the_newest_events_are_kept(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "h.sqlite")
    for place in range(5):
        file.write_event((float(place), "flush", ""))
    file._db.execute("UPDATE events SET id = id + ? WHERE t >= 3", (MAX_EVENTS,))
    file.prune(10.0, 10**9)
    assert [t for t, _, _ in file.events(0, 10, 10)] == [4.0, 3.0]
    file.close()


def test_what_is_older_than_its_tier_is_deleted(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "h.sqlite")
    for start_s in (NOON - 90_000, NOON - 80_000):
        file.write(_bucket(Labels(), start_s))
    file.prune(NOON, 10**9)
    assert requests_of(file, TIERS[0], NOON - 90_000, None, 10_000, 9) == [0, 1, *[0] * 7]
    file.close()


def test_a_clock_set_back_an_hour_keeps_rates_sane(start: StartProcess) -> None:
    process = start(NOON)
    process.seconds(60, requests=4)
    process.now_s -= 3600
    process.seconds(60, requests=4)
    process.now_s += 3600
    process.seconds(60, requests=4)
    process.settled()
    _, answer = process.look(7200, 12)
    rates = {point[1] for point in answer["points"]} - {None}
    assert rates == {4.0}


@pytest.mark.parametrize(("window_s", "step_s"), [(0, None), (10**9, None), (60, 0.5), (60, 61)])
def test_windows_and_steps_out_of_range_are_refused(
    start: StartProcess, window_s: float, step_s: float | None
) -> None:
    process = start(NOON)
    with pytest.raises(InvalidInput):
        process.timeline.frames(window_s, process.now_s, process.monotonic_s, step_s)


def test_a_full_disk_is_told_and_nothing_waits_for_it(
    start: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, opened = HistoryFile._prepare, []

    def small_at_first(file: HistoryFile) -> None:
        prepare(file)
        opened.append(file)
        if len(opened) == 1:  # SQLite itself then says that the disk is full
            file._db.execute("PRAGMA max_page_count=9")

    monkeypatch.setattr(HistoryFile, "_prepare", small_at_first)
    process = start(NOON)
    for second in range(200):
        process.second(requests=3, model=f"m{second % 40}")
        if second % 10 == 9:
            process.settled_or_failed()
    until(lambda: len(opened) > 1, 20, "a connection with room")
    assert any("full" in text for text in process.events)
    until(lambda: process.history.problem is None, 20, "the writer to recover")
    process.settled()
    assert process.history.dropped == 0
    assert process.look(200, 10)[0].totals[:, TOTAL_AT["requests"]].sum() == 600


def test_two_processes_do_not_mix_their_history(start: StartProcess) -> None:
    first, second = start(NOON), start(NOON)
    first.seconds(20, requests=2)
    first.settled()
    second.seconds(20, requests=5)
    until(lambda: second.history.problem is not None, 20, "the problem to be noticed")
    assert "another process" in str(second.history.problem)
    first.history.close()
    until(lambda: second.history.problem is None, 20, "the folder to be free")


@pytest.mark.parametrize("window_s", [3000, 4000, 5000, 7000])
def test_a_window_that_begins_between_buckets_loses_nothing(
    start: StartProcess, window_s: int
) -> None:
    process = start(NOON + 7)
    process.seconds(7333)
    process.settled()
    (frames, _), (steps, _) = process.look(window_s, window_s), process.look(window_s, 100)
    assert frames.totals[:, TOTAL_AT["requests"]].sum() == pytest.approx(window_s, abs=10)
    assert frames.seconds.sum() == pytest.approx(window_s, abs=10)
    assert steps.totals[1:-1, TOTAL_AT["requests"]].tolist() == [100] * (len(steps) - 2)
