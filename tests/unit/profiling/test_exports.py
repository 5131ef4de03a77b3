"""What is exported says the same as the tree, and reads back as the same tree."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.profiling.calltree import CPU_NS, SAMPLES, WALL_NS, CallTree, Context, Frame, empty_tree
from engine.profiling.exports import folded, speedscope
from engine.profiling.imports import parse_folded, parse_profile, parse_speedscope
from engine.profiling.pprof import pprof
from engine.profiling.tree import without_contexts
from tests.unit.profiling.test_tree import paths_of, trees

REQUEST = Context("request", "worker-1", "fraud", "2", "POST /v2")
IDLE = Context("idle", "spare")
FRAMES = (
    Frame("main", "engine.runs", "engine/runs.py", 10),
    Frame("predict", "engine.model", "engine/model.py", 20),
    Frame("odd;\nname", "", "", 0),
    Frame("dot", "engine.model", "engine/model.py", 0, is_native=True),
)
SELF = [
    *([1, 2_000, 1_499], [70, 70_000_000, 69_000_000], [30, 30_000_000, 29_999_500]),
    *([5, 5_000_000, 4_000_000], [9, 9_000_000, 0]),
]


def int32(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


TREE = CallTree(
    FRAMES,
    (REQUEST, IDLE),
    int32(0, 0, 0, 0, 1),
    int32(-1, 0, 0, 1, -1),
    int32(0, 1, 2, 3, 0),
    np.array(SELF, dtype=np.int64),
)


def test_folded_stacks_have_a_line_per_node_root_first() -> None:
    assert folded(TREE, SAMPLES).splitlines() == [
        "main (engine/runs.py:10) 10",
        "main (engine/runs.py:10);predict (engine/model.py:20) 70",
        "main (engine/runs.py:10);predict (engine/model.py:20);dot (engine/model.py) 5",
        "main (engine/runs.py:10);odd: name 30",
    ]


def test_folded_times_are_whole_microseconds_and_zeros_are_left_out() -> None:
    values = [int(line.rpartition(" ")[2]) for line in folded(TREE, CPU_NS).splitlines()]
    assert values == [1, 69_000, 4_000, 30_000]
    below_half = tree_of_one(Frame("f", "", "", 0), 499)
    assert folded(below_half, WALL_NS) == ""


def tree_of_one(frame: Frame, value: int) -> CallTree:
    counted = np.full((1, 3), value, dtype=np.int64)
    return CallTree((frame,), (IDLE,), int32(0), int32(-1), int32(0), counted)


@given(st.text(st.characters(codec=None), max_size=30))
def test_any_label_keeps_to_its_place_in_a_line(name: str) -> None:
    tree = tree_of_one(Frame(name, "", "", 0), 1)
    (line,) = folded(tree, SAMPLES).encode().decode().split("\n")[:-1]
    assert re.fullmatch(r"[^;\x00-\x1f]+ 1", line)
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("measure", range(3))
def test_speedscope_weights_are_the_tree(measure: int) -> None:
    file = speedscope(TREE, "a capture", measure)
    (profile,) = file["profiles"]
    names = [frame["name"] for frame in file["shared"]["frames"]]
    assert names == ["main", "predict", "odd; name", "dot"]
    assert profile["unit"] == ("none" if measure == SAMPLES else "nanoseconds")
    assert sum(profile["weights"]) == profile["endValue"] == TREE.sampled[measure]
    total: Counter[str] = Counter()
    for stack, weight in zip(profile["samples"], profile["weights"], strict=True):
        total.update({names[frame]: weight for frame in stack})
    assert total["predict"] == TREE.self[[1, 3], measure].sum()


def values_of(tree: CallTree, measure: int) -> dict[object, int]:
    found = paths_of(without_contexts(tree))
    return {path: value[measure] for path, value in found.items() if value[measure]}


@given(trees.filter(lambda tree: tree.sampled[SAMPLES] > 0))
def test_folded_stacks_read_back_as_they_were(tree: CallTree) -> None:
    again = parse_folded(folded(tree, SAMPLES))
    assert values_of(again, SAMPLES) == values_of(tree, SAMPLES)
    assert set(again.frames) <= set(tree.frames)


@given(trees, st.integers(0, 2))
def test_speedscope_reads_back_as_it_was(tree: CallTree, measure: int) -> None:
    if tree.sampled[measure] == 0:
        return
    again = parse_speedscope(orjson.dumps(speedscope(tree, "x", measure)))
    for column in range(3):
        assert values_of(again, column) == values_of(tree, measure)
    assert set(again.frames) <= set(tree.frames)


def test_which_format_it_is_is_told_from_the_content() -> None:
    for content in (folded(TREE, SAMPLES).encode(), orjson.dumps(speedscope(TREE, "x", SAMPLES))):
        assert parse_profile(content).sampled[SAMPLES] == 115


def test_exports_are_the_same_bytes_every_time() -> None:
    assert pprof(TREE) == pprof(TREE)


def test_an_empty_tree_makes_files_without_samples() -> None:
    none = empty_tree()
    assert folded(none, SAMPLES) == ""
    assert speedscope(none, "x", CPU_NS)["profiles"][0]["samples"] == []
    assert pprof(none)


def test_protobuf_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, engine.profiling.pprof; print('google.protobuf' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
