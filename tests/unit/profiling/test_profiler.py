"""The profiler's answers: slices, minutes, captures, and what is listed for the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from engine.errors import InvalidInput, UnknownProfile
from engine.profiling import profiler as module
from engine.profiling.answer import MOST_NODES, flame_answer
from engine.profiling.calltree import CPU_NS, SAMPLES, Context
from engine.profiling.frames import FrameTable
from engine.profiling.imports import parse_folded
from engine.profiling.profiler import Profiler, Question
from engine.telemetry.record import RequestMetrics


class Clock:
    """Both clocks of a profiler; wall time is 1,000,000 s ahead."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return self.now_s + 1e6


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def profiler(clock: Clock, tmp_path: Path) -> Profiler:
    """One that never looks by itself: a test does."""
    said: list[str] = []
    tell = lambda kind, text: said.append(text)  # noqa: E731
    return Profiler(29.0, tmp_path / "profile", 10**7, tell, clock.wall, clock.monotonic)


@pytest.fixture
def waiter() -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="waiter", daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(5)


def look_on(profiler: Profiler, clock: Clock, seconds: int) -> int:
    """Look once a second; minutes are written at once. Returns looks."""
    assert profiler.minutes is not None
    for _ in range(seconds):
        clock.now_s += 1
        profiler.sampler.look(1_000_000_000)
        profiler.slices.keep(clock.now_s)
        while profiler.minutes._waiting:
            profiler.minutes.write(profiler.minutes._waiting.popleft())
    return seconds


def waiting(profiler: Profiler, clock: Clock, window_s: float, **asked: str) -> int:
    to_s = clock.wall()
    question = Question(to_s - window_s, to_s, thread="waiter", kind="idle")._replace(**asked)  # type: ignore[arg-type]
    return int(profiler.ask(question).tree.sampled[SAMPLES])


def test_no_sample_is_lost_or_counted_twice_between_memory_and_disk(
    profiler: Profiler, clock: Clock, waiter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 5)
    looks = look_on(profiler, clock, 900)
    assert waiting(profiler, clock, 3600) == looks
    profiler.slices._kept.clear()  # as after a restart: the minutes are still there
    on_disk = waiting(profiler, clock, 3600)
    assert looks - 60 <= on_disk <= looks


def test_the_time_before_has_no_slice_of_the_time_after(
    profiler: Profiler, clock: Clock, waiter: None
) -> None:
    looks = look_on(profiler, clock, 300)
    to_s = clock.wall()
    spike = profiler.ask(Question(to_s - 4, to_s, kind="idle", thread="waiter"))
    before = Question(spike.begins_s - 3600, spike.begins_s, kind="idle", thread="waiter")
    earlier = profiler.ask(before._replace(ends_by_s=spike.begins_s))
    both = spike.tree.sampled[SAMPLES] + earlier.tree.sampled[SAMPLES]
    assert both == looks
    assert spike.tree.sampled[SAMPLES] <= 20


def test_a_window_is_told_as_covered_only_where_it_was_looked_at(
    profiler: Profiler, clock: Clock, waiter: None
) -> None:
    look_on(profiler, clock, 20)
    to_s = clock.wall()
    assert profiler.ask(Question(to_s - 5, to_s + 80_000)).covered_s <= 11
    assert profiler.ask(Question(to_s - 3600, to_s)).covered_s == 20


def test_bad_windows_are_refused(profiler: Profiler, clock: Clock) -> None:
    now = clock.wall()
    for from_s, to_s in ((now, now), (now, now - 5), (now - 90_000, now)):
        with pytest.raises(InvalidInput, match="window"):
            profiler.ask(Question(from_s, to_s))


def test_a_running_capture_tells_its_own_looks(
    profiler: Profiler, clock: Clock, waiter: None
) -> None:
    look_on(profiler, clock, 50)
    begun = profiler.captures.begin(10, 199)
    for _ in range(7):
        profiler.sampler.look(1_000_000)
    profile = profiler.ask(Question(0, 1, capture=begun.id, kind="idle", thread="waiter"))
    assert profile.tree.sampled[SAMPLES] == 7
    assert profile.counts is not None
    assert profile.counts.asked_hz == 199
    assert profile.counts.looked_s == pytest.approx(0.007)


def test_names_of_callers_making_do_not_use_up_the_table(profiler: Profiler, clock: Clock) -> None:
    before = profiler.sampler.contexts
    for number in range(module.MANY_CONTEXTS + 1):
        before.number(Context("request", "t", f"m{number}"))
    look_on(profiler, clock, 11)
    assert profiler.sampler.contexts is not before


def test_a_request_without_samples_is_unknown(profiler: Profiler) -> None:
    with pytest.raises(UnknownProfile):
        profiler.ask(Question(0, 1, request="r"))
    assert profiler.stacks_in(RequestMetrics("r", "/e", duration_ns=5), 100) == []


def test_a_tree_of_more_nodes_than_are_sent_is_cut_and_keeps_its_sum(profiler: Profiler) -> None:
    lines = [f"root;f{n} (a.py:{n});g{n} 1" for n in range(MOST_NODES)]
    one = profiler.captures.adopt("many", parse_folded("\n".join(lines)))
    other = profiler.captures.adopt("few", parse_folded("root;f1 (a.py:1) 3"))
    profile = profiler.ask(Question(0, 1, capture=one.id))
    against = ("few", profiler.ask(Question(0, 1, capture=other.id)))
    for answer in (
        flame_answer(profile),
        flame_answer(profile, inverted=True),
        flame_answer(profile, against=against, collapse=True),
        flame_answer(profile, focus="root"),
    ):
        nodes = answer["nodes"]
        assert len(nodes["frame"]) <= MOST_NODES + 1
        assert answer["left_out"] > 0
        assert int(nodes["self"].sum()) == MOST_NODES
        assert max(nodes["frame"]) < len(answer["frames"])
        assert orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def test_a_comparison_with_itself_has_no_difference(profiler: Profiler) -> None:
    one = profiler.captures.adopt("one", parse_folded("a;b 3\na;c 5"))
    profile = profiler.ask(Question(0, 1, capture=one.id))
    nodes = flame_answer(profile, against=("itself", profile))["nodes"]
    assert nodes["total"].tolist() == nodes["against_total"].tolist()
    assert nodes["self"].tolist() == nodes["against_self"].tolist()


def test_a_path_that_is_no_utf_8_can_be_sent() -> None:
    table = FrameTable()
    code = compile("x", "mod\udce8les/predict.py", "exec")
    frame = table.frames[table.of_code(code)]
    assert orjson.dumps([frame.label, frame.module])


def test_an_import_is_bounded_and_keeps_its_sum(profiler: Profiler) -> None:
    lines = [f"f{n};g{n} 1" for n in range(24_000)]
    kept = profiler.captures.adopt("large", parse_folded("\n".join(lines)))
    assert kept.tree is not None
    assert len(kept.tree) <= 20_001
    assert kept.tree.sampled[CPU_NS] == 24_000
