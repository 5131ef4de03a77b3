"""A profile, or two compared, as the lists that a flame graph is drawn from.

With a comparison the columns of the tree are other ones: [weight, before, after]; the weight,
by which nodes are ordered and left out, is the sum of both shares.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from engine.errors import InvalidInput
from engine.profiling.calltree import MEASURES, OTHER, SAMPLES, CallTree, Context
from engine.profiling.profiler import Profile
from engine.profiling.tree import (
    aligned,
    callees_of,
    callers_of,
    collapse_recursion,
    invert,
    left_heavy,
    prune,
    top_table,
    totals,
)

MOST_NODES = 5_000
MOST_TOP = 500
_WEIGHT, _BEFORE, _AFTER = range(3)
_PARTS = 1_000_000_000


def flame_answer(
    profile: Profile,
    measure: str = "cpu",
    against: tuple[str, Profile] | None = None,
    *,
    collapse: bool = False,
    inverted: bool = False,
    focus: str = "",
) -> dict[str, Any]:
    """See the route's description. measure: one of MEASURES. focus: a frame's label.

    Raises InvalidInput for a function that the profile does not have.
    """
    column = MEASURES.index(measure)
    tree, order = profile.tree, column
    if against is not None:
        tree, order = _compared(against[1].tree, profile.tree, column), _WEIGHT
    # All that is left out below is then one frame of one table.
    tree = tree if OTHER in tree.frames else replace(tree, frames=[*tree.frames, OTHER])
    if collapse:
        tree = collapse_recursion(tree)
    compares = against is not None
    shown, left_out = prune(invert(tree) if inverted else tree, MOST_NODES, order)
    frames = _Frames(tree)
    return {
        "view": "code",
        "measure": measure,
        "unit": "ns" if column != SAMPLES and profile.is_timed else "samples",
        "window": _window(profile),
        "rate": _rate(profile),
        "sampled": _sampled(profile.tree),
        "nodes": _nodes(shown, column, order, compares, frames),
        "left_out": left_out,
        "against": None
        if against is None
        else {
            "label": against[0],
            "window": _window(against[1]),
            "sampled": _sampled(against[1].tree),
        },
        "top": _top(tree, column, order, compares, frames),
        "focus": _focus(tree, focus, column, order, compares, frames) if focus else None,
        "frames": frames.listed(),
        "options": _options(profile),
    }


class _Frames:
    """The frames that an answer uses, numbered as they come."""

    def __init__(self, tree: CallTree) -> None:
        self._tree = tree
        self._numbers: dict[int, int] = {}

    def numbers(self, frames: np.ndarray) -> list[int]:
        known = self._numbers
        return [known.setdefault(frame, len(known)) for frame in frames.tolist()]

    def listed(self) -> list[dict[str, Any]]:
        named = (self._tree.frames[frame] for frame in self._numbers)
        return [
            {
                "label": frame.label,
                "name": frame.name,
                "module": frame.module,
                "file": frame.file,
                "line": frame.line,
                "native": frame.is_native,
            }
            for frame in named
        ]


def _compared(before: CallTree, after: CallTree, column: int) -> CallTree:
    union, self_before, self_after = aligned(before, after)
    sides = [self_before[:, column], self_after[:, column]]
    shares = [side * (_PARTS / max(1, int(side.sum()))) for side in sides]
    weight = np.rint(shares[0] + shares[1]).astype(np.int64)
    columns = np.stack([weight, *sides], axis=1)
    return CallTree(union.frames, union.contexts, union.context, union.parent, union.frame, columns)


def _window(profile: Profile) -> dict[str, float]:
    return {"from": profile.from_s, "to": profile.to_s, "covered_s": profile.covered_s}


def _rate(profile: Profile) -> dict[str, float | int | None]:
    counts = profile.counts
    if counts is None:
        return dict.fromkeys(("asked_hz", "achieved_hz", "ticks", "missed"))
    return {
        "asked_hz": counts.asked_hz,
        "achieved_hz": counts.looks / counts.looked_s if counts.looked_s else None,
        "ticks": counts.looks,
        "missed": counts.missed,
    }


def _sampled(tree: CallTree) -> dict[str, int]:
    return dict(zip(MEASURES, tree.sampled.tolist(), strict=True))


def _nodes(
    tree: CallTree, column: int, order: int, compares: bool, frames: _Frames
) -> dict[str, Any]:
    ordered = left_heavy(tree, order)
    whole, place = totals(ordered), _AFTER if compares else column
    found: dict[str, Any] = {
        "frame": frames.numbers(ordered.frame),
        "parent": np.ascontiguousarray(ordered.parent),
        "self": np.ascontiguousarray(ordered.self[:, place]),
        "total": np.ascontiguousarray(whole[:, place]),
        "samples": None if compares else np.ascontiguousarray(whole[:, SAMPLES]),
        "against_self": None,
        "against_total": None,
    }
    if compares:
        found["against_self"] = np.ascontiguousarray(ordered.self[:, _BEFORE])
        found["against_total"] = np.ascontiguousarray(whole[:, _BEFORE])
    return found


def _top(
    tree: CallTree, column: int, order: int, compares: bool, frames: _Frames
) -> list[dict[str, int | None]]:
    place = _AFTER if compares else column
    rows = top_table(tree, order)[:MOST_TOP]
    numbers = frames.numbers(np.array([row[0] for row in rows], dtype=np.int64))
    return [
        {
            "frame": number,
            "self": int(own[place]),
            "total": int(whole[place]),
            "against_self": int(own[_BEFORE]) if compares else None,
            "against_total": int(whole[_BEFORE]) if compares else None,
        }
        for number, (_, own, whole) in zip(numbers, rows, strict=True)
    ]


def _focus(
    tree: CallTree, label: str, column: int, order: int, compares: bool, frames: _Frames
) -> dict[str, Any]:
    used = set(tree.frame.tolist())
    found = next((number for number in used if tree.frames[number].label == label), None)
    if found is None:
        raise InvalidInput(f"focus is {label[:80]!r}; no such function was sampled there")
    callers, _ = prune(callers_of(tree, found), MOST_NODES, order)
    callees, _ = prune(callees_of(tree, found), MOST_NODES, order)
    return {
        "label": label,
        "callers": _nodes(callers, column, order, compares, frames),
        "callees": _nodes(callees, column, order, compares, frames),
    }


def _options(profile: Profile) -> dict[str, list[str]]:
    return {
        f"{field}s": sorted({value for one in profile.contexts if (value := getattr(one, field))})
        for field in Context._fields
    }
