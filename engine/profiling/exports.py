"""Call trees as text and JSON that other tools open.

    folded       root;caller;leaf 123     a line per node with samples of its own
    speedscope   shared.frames[], one "sampled" profile: samples[i] (root first), weights[i]

Contexts are put together: to export some, select them before. Values: samples as counts; wall
and cpu as nanoseconds in speedscope, and in folded stacks as whole microseconds, rounded node
by node, so that the columns of text tools stay readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from engine.profiling.calltree import MEASURES, SAMPLES, CallTree, Frame
from engine.profiling.tree import left_heavy, without_contexts

SPEEDSCOPE_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
EXPORTER = "pyrometer"
UNNAMED = "(unnamed)"
NS_PER_US = 1000
Part = TypeVar("Part")
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def folded(tree: CallTree, measure: int) -> str:
    """Collapsed stacks, heaviest subtrees first; nodes whose value is 0 are left out.

    In labels ";" becomes ":" and control characters become spaces.
    """
    tree = left_heavy(without_contexts(tree), measure)
    values = tree.self[:, measure]
    if measure != SAMPLES:
        values = values // NS_PER_US + (values % NS_PER_US >= NS_PER_US // 2)
    labels = {at: folded_label(tree.frames[at].label) for at in np.unique(tree.frame).tolist()}
    names = [labels[at] for at in tree.frame.tolist()]
    return "".join(
        f"{';'.join(stack)} {value}\n" for stack, value in _stacks(tree, names, values.tolist())
    )


def folded_label(label: str) -> str:
    """A label that keeps to its place in a line of folded stacks."""
    return text(label).replace(";", ":").strip() or UNNAMED


def text(label: str) -> str:
    """A label as UTF-8 and a single line can hold it."""
    return _LONE_SURROGATE.sub("\ufffd", _BREAKS.sub(" ", label))


def speedscope(tree: CallTree, name: str, measure: int) -> dict[str, Any]:
    """A file of the published schema, to be written as JSON. Nodes of 0 are left out."""
    tree = left_heavy(without_contexts(tree), measure)
    used, numbers = np.unique(tree.frame, return_inverse=True)
    stacks = list(_stacks(tree, numbers.tolist(), tree.self[:, measure].tolist()))
    profile = {
        "type": "sampled",
        "name": text(f"{name}: {MEASURES[measure]}"),
        "unit": "none" if measure == SAMPLES else "nanoseconds",
        "startValue": 0,
        "endValue": sum(value for _, value in stacks),
        "samples": [stack for stack, _ in stacks],
        "weights": [value for _, value in stacks],
    }
    return {
        "$schema": SPEEDSCOPE_SCHEMA,
        "exporter": EXPORTER,
        "name": text(name),
        "activeProfileIndex": 0,
        "shared": {"frames": [_shared_frame(tree.frames[at]) for at in used.tolist()]},
        "profiles": [profile],
    }


def _shared_frame(frame: Frame) -> dict[str, str | int]:
    shared: dict[str, str | int] = {"name": text(frame.name) or UNNAMED}
    if frame.file:
        shared["file"] = text(frame.file)
    if frame.line:
        shared["line"] = frame.line
    return shared


def _stacks(
    tree: CallTree, parts: Sequence[Part], values: Sequence[int]
) -> Iterator[tuple[list[Part], int]]:
    """The path of each node whose value is not 0, root first. tree: depth first."""
    path: list[Part] = []
    depths: list[int] = []
    for node, parent in enumerate(tree.parent.tolist()):
        depth = depths[parent] + 1 if parent >= 0 else 0
        depths.append(depth)
        path[depth:] = [parts[node]]
        if values[node]:
            yield path.copy(), values[node]
