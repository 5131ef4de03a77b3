"""The arithmetic beneath the operations on call trees: one numpy call per depth, none per node.

levels      nodes of each depth, roots first
subtotals   each node's value with that of all nodes below it
preorder    depth-first positions with siblings sorted
Paths       numbers for equal paths, handed out level by level
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.profiling.calltree import CallTree, Context, Frame


def levels(parent: np.ndarray) -> list[np.ndarray]:
    """Node numbers of each depth, ascending, roots first. parent: (n,), -1 for roots."""
    depth = np.where(parent >= 0, 1, 0).astype(np.int32)
    above = parent.astype(np.int64)
    rising = np.flatnonzero(above >= 0)
    while rising.size:
        jump = above[rising]
        depth[rising] += depth[jump]
        above[rising] = above[jump]
        rising = rising[above[rising] >= 0]
    order = np.argsort(depth, kind="stable")
    return np.split(order, np.cumsum(np.bincount(depth))[:-1]) if depth.size else []


def root_of(above: np.ndarray) -> np.ndarray:
    """Where following `above` from each node ends; above: (n,), a node itself where it ends."""
    while not np.array_equal(further := above[above], above):
        above = further
    return above


def sums(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Exact int64 sums of values (m, k) by group (m,), 0 <= group < count: (count, k)."""
    total = np.zeros((values.shape[1], count), dtype=np.int64)
    for column, value in zip(total, values.T, strict=True):
        np.add.at(column, groups, value)
    return total.T


def subtotals(parent: np.ndarray, values: np.ndarray, by_level: list[np.ndarray]) -> np.ndarray:
    """values (n, k) of each node and all nodes below it, int64 (n, k)."""
    total = np.array(values.T, dtype=np.int64, order="C")
    for level in reversed(by_level[1:]):
        for column in total:
            np.add.at(column, parent[level], column[level])
    return total.T


def preorder(parent: np.ndarray, *keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth-first position of each node, and how many nodes its subtree has; both (n,).

    keys: sort siblings, ascending, the first counts most; equal ones keep their order.
    """
    by_level = levels(parent)
    size = subtotals(parent, np.ones((len(parent), 1), dtype=np.int64), by_level)[:, 0]
    position = np.zeros(len(parent), dtype=np.int64)
    for level in by_level:
        above = parent[level]
        order = np.lexsort((*(key[level] for key in reversed(keys)), above))
        nodes, above = level[order], above[order]
        ends = np.cumsum(size[nodes])
        starts = ends - size[nodes]
        is_first = np.append(True, above[1:] != above[:-1])
        eldest = np.maximum.accumulate(np.where(is_first, np.arange(len(nodes)), 0))
        position[nodes] = starts - starts[eldest] + np.where(above < 0, 0, position[above] + 1)
    return position, size


class Paths:
    """Paths numbered level by level; two paths of equal context and frames get one number."""

    def __init__(self, frames: Sequence[Frame], contexts: Sequence[Context]) -> None:
        self._frames, self._contexts = frames, contexts
        self._width = max(1, len(frames))
        self._count = 0
        self._context: list[np.ndarray] = []
        self._parent: list[np.ndarray] = []
        self._frame: list[np.ndarray] = []

    def begin(self, context: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Numbers of paths of one frame. To be called once, before `extend`; (m,)."""
        numbers, context, frame = self._numbered(context, frame)
        self._add(context, np.full(len(frame), -1), frame)
        return numbers

    def extend(self, above: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Numbers of the paths that lead one frame further than `above`, the last level; (m,)."""
        oldest = self._count - len(self._frame[-1])
        numbers, parent, frame = self._numbered(above, frame)
        self._add(self._context[-1][parent - oldest], parent, frame)
        return numbers

    def tree(self, ends: np.ndarray, values: np.ndarray) -> CallTree:
        """The tree of all paths. values: (m, 3), summed by the path that each ends with."""
        columns = (self._context, self._parent, self._frame)
        none = [np.empty(0, dtype=np.int32)]
        context, parent, frame = (np.concatenate(column or none) for column in columns)
        values = sums(ends, values, self._count)
        return CallTree(self._frames, self._contexts, context, parent, frame, values)

    def _numbered(
        self, above: np.ndarray, frame: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        key = above.astype(np.int64) * self._width + frame
        distinct, inverse = np.unique(key, return_inverse=True)
        return self._count + inverse, *np.divmod(distinct, self._width)

    def _add(self, context: np.ndarray, parent: np.ndarray, frame: np.ndarray) -> None:
        self._count += len(frame)
        self._context.append(context.astype(np.int32))
        self._parent.append(parent.astype(np.int32))
        self._frame.append(frame.astype(np.int32))
