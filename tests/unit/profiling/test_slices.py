"""Slices, minutes and captures, by injected clocks."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from engine.errors import Busy, InvalidInput, UnknownProfile
from engine.profiling import captures as captures_module
from engine.profiling import slices as slices_module
from engine.profiling.builder import MAX_CONTEXTS, Contexts, TreeBuilder
from engine.profiling.calltree import OTHER, SAMPLES, CallTree, Context, Frame, empty_tree
from engine.profiling.captures import Captures
from engine.profiling.minutes import Minutes, packed, unpacked
from engine.profiling.slices import GROWING_NODES, SLICES, Counts, Slice, Slices
from engine.profiling.tree import merge

FRAMES = [OTHER, *(Frame(f"f{n}", f"m{n % 7}", f"m{n % 7}.py", n) for n in range(1, 4000))]
CONTEXTS = [Context("request", "pyrometer-http", "m", "1", "/infer"), Context("idle", "t")]


class Fed:
    """Slices over a builder that a test feeds."""

    def __init__(self) -> None:
        self.builder = TreeBuilder(GROWING_NODES)
        self.counts = Counts()
        self.minutes: list[Slice] = []
        self.slices = Slices(self._swap, self._read, lambda: self.counts, self.minutes.append, 0.0)

    def _swap(self, following: TreeBuilder) -> CallTree:
        ended, self.builder = self.builder, following
        return ended.tree(FRAMES, CONTEXTS)

    def _read(self) -> CallTree:
        return self.builder.tree(FRAMES, CONTEXTS)

    def sample(self, stack: list[int], times: int = 1) -> None:
        self.builder.add(0, stack, 1000 * times, 10 * times, times)
        looks, missed, _, looked_s = self.counts
        self.counts = Counts(looks + times, missed, 29.0, looked_s + times / 29)


def test_slices_are_ten_seconds_and_the_running_one_is_among_the_answers() -> None:
    fed = Fed()
    for second in range(35):
        fed.sample([1, 2])
        fed.slices.keep(second + 1.0)
    found = fed.slices.within(0, 36, 36)
    assert [(one.start_s, one.end_s) for one in found] == [(0, 10), (10, 20), (20, 30), (30, 36)]
    assert sum(int(one.tree.sampled[SAMPLES]) for one in found) == 35
    assert sum(one.counts.looks for one in found) == 35
    assert [one.start_s for one in fed.slices.within(12, 18, 36)] == [10]


def test_an_hour_of_adversarial_stacks_is_held_in_bounded_memory_and_loses_no_sample() -> None:
    fed, chosen = Fed(), random.Random(1)
    wide = [[1, *(chosen.randrange(2, 4000) for _ in range(40))] for _ in range(4000)]
    tracemalloc.start()
    after: list[int] = []
    samples = 0
    for ten_s in range(2 * SLICES):
        for stack in chosen.sample(wide, 300):
            fed.sample(stack)
            samples += 1
        fed.slices.keep(10.0 * ten_s + 10)
        fed.minutes.clear()
        if ten_s in (SLICES, 2 * SLICES - 1):
            after.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    kept = list(fed.slices)
    assert len(kept) == SLICES
    assert max(len(one.tree) for one in kept) <= slices_module.SLICE_NODES
    assert sum(int(one.tree.sampled[SAMPLES]) for one in kept) == 300 * SLICES
    assert after[1] < 1.02 * after[0], "flat once the hour is full"
    assert after[1] < 60e6


def test_a_builder_that_is_full_keeps_counting() -> None:
    builder = TreeBuilder(50)
    for number in range(2, 400):
        builder.add(0, [1, number, number + 1], 5, 1)
    tree = builder.tree(FRAMES, CONTEXTS)
    assert tree.sampled.tolist() == [398, 398 * 5, 398]
    assert len(tree) < 110
    assert builder.left_out > 0


def test_contexts_are_bounded_and_the_rest_keep_their_kind() -> None:
    contexts = Contexts()
    for number in range(MAX_CONTEXTS + 100):
        last = contexts.number(Context("request", f"t{number}"))
    assert contexts.table[last] == Context("request", "(other)")
    assert len(contexts.table) <= MAX_CONTEXTS + 5


def test_six_slices_make_a_minute() -> None:
    fed = Fed()
    for second in range(130):
        fed.sample([1, 2] if second < 60 else [1, 3])
        fed.slices.keep(second + 1.0)
    assert [(one.start_s, one.end_s) for one in fed.minutes] == [(0, 60), (60, 120)]
    assert [int(one.tree.sampled[SAMPLES]) for one in fed.minutes] == [60, 60]


@pytest.fixture
def minute() -> Slice:
    fed = Fed()
    for number in range(2, 40):
        fed.sample([1, number], number)
    return Slice(1_000_000.0, 1_000_060.0, fed._read(), fed.counts)


def no_words(kind: str, text: str) -> None:
    raise AssertionError(text)


def test_a_minute_comes_back_from_disk_as_it_was(tmp_path: Path, minute: Slice) -> None:
    kept = Minutes(tmp_path / "profile", 10_000_000, no_words, lambda: 1_000_100.0)
    kept.write(minute)
    (found,) = kept.within(1_000_000, 1_000_061)
    assert (found.start_s, found.end_s, found.counts) == (*minute[:2], minute.counts)
    assert merge([found.tree, minute.tree]).sampled.tolist() == (2 * minute.tree.sampled).tolist()
    assert len(merge([found.tree, minute.tree])) == len(minute.tree)
    assert list(kept.within(1_000_200, 1_000_300)) == []


def test_old_minutes_go_and_so_do_those_past_the_budget(tmp_path: Path, minute: Slice) -> None:
    now = [1_000_100.0]
    kept = Minutes(tmp_path, 10_000_000, no_words, lambda: now[0])
    for number in range(5):
        kept.write(minute._replace(start_s=1_000_000.0 + 60 * number))
    assert len(list(tmp_path.iterdir())) == 5
    now[0] += 86_400
    kept.write(minute._replace(start_s=1_086_420.0))
    assert sorted(path.name for path in tmp_path.iterdir())[0] >= "1000100"
    one = next(tmp_path.iterdir()).stat().st_size
    kept.limit_bytes = int(1.5 * one)
    kept.write(minute._replace(start_s=1_086_480.0))
    assert [path.name for path in tmp_path.iterdir()] == ["1086480.json.gz"]


def test_a_damaged_minute_is_left_out_whatever_is_damaged(tmp_path: Path, minute: Slice) -> None:
    kept = Minutes(tmp_path, 10_000_000, no_words, lambda: 1_000_100.0)
    kept.write(minute)
    path = next(tmp_path.iterdir())
    whole = path.read_bytes()
    for cut in range(0, len(whole), 37):
        path.write_bytes(whole[:cut])
        assert list(kept.within(0, 2e6)) == []
    for place in range(10, len(whole), 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        for found in kept.within(0, 2e6):
            assert found.tree.sampled.tolist() == minute.tree.sampled.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [("parent", [5] * 39), ("frame", [99] * 39), ("context", [-1] * 39), ("self", [[1, 2, 3]])],
)
def test_a_minute_that_points_outside_itself_is_refused(
    minute: Slice, name: str, value: list[int]
) -> None:
    import gzip
    import json

    held = json.loads(packed(minute))
    held[name] = value
    with pytest.raises(ValueError, match=r"length|parent|table"):
        unpacked(gzip.compress(json.dumps(held).encode()))


def test_a_folder_that_cannot_be_written_is_told_once_and_its_recovery_too(
    tmp_path: Path, minute: Slice
) -> None:
    said: list[str] = []
    blocked = tmp_path / "profile"
    blocked.write_text("a file where the folder should be")
    kept = Minutes(blocked, 10_000_000, lambda kind, text: said.append(text))
    kept.write(minute)
    kept.write(minute)
    assert len(said) == 1
    assert kept.problem
    blocked.unlink()
    kept.write(minute)
    assert said[1:] == ["minutes of the profile are kept again"]
    assert kept.problem is None


class Bench:
    """Captures whose timer a test lets go off."""

    def __init__(self) -> None:
        self.now, self.due = 100.0, []  # type: float, list[Callable[[], None]]
        self.rates: list[float] = []
        self.captures = Captures(
            lambda builder, hz: self.rates.append(hz),
            lambda builder: builder.tree(FRAMES, CONTEXTS),
            Counts,
            lambda seconds, action: self.due.append(action),
            lambda: self.now,
        )


def test_a_capture_raises_the_rate_and_ends_by_itself() -> None:
    bench = Bench()
    capture = bench.captures.begin(10, 499)
    with pytest.raises(Busy, match="one may run"):
        bench.captures.begin(1, 99)
    assert capture.builder is not None
    capture.builder.add(0, [1, 2], 5, 5)
    bench.now += 4
    assert bench.captures.as_list()[0]["progress"] == pytest.approx(0.4)
    with pytest.raises(Busy):
        bench.captures.drop(capture.id)
    bench.now += 6
    bench.due[0]()
    assert bench.rates == [499, 0]
    assert bench.captures.as_list()[0]["progress"] == 1
    assert bench.captures.tree_of(capture).sampled.tolist() == [1, 5, 5]
    bench.captures.drop(capture.id)
    with pytest.raises(UnknownProfile):
        bench.captures.find(capture.id)


@pytest.mark.parametrize(("seconds", "hz"), [(0, 99), (301, 99), (10, 0), (10, 500), (np.nan, 99)])
def test_a_capture_out_of_range_is_refused(seconds: float, hz: float) -> None:
    with pytest.raises(InvalidInput, match=r"seconds|hz"):
        Bench().captures.begin(seconds, hz)


def test_the_oldest_finished_captures_go_first() -> None:
    bench = Bench()
    running = bench.captures.begin(10, 99)
    for number in range(captures_module.MOST + 5):
        bench.captures.adopt(f"file {number}", empty_tree())
    labels = [one["label"] for one in bench.captures.as_list()]
    assert len(labels) == captures_module.MOST
    assert running.label in labels
    assert "file 0" not in labels
