"""Operations on call trees. All are pure and exact: no sample is lost or counted twice.

    several trees   merge, aligned
    fewer nodes     select, without_contexts, collapse_recursion, prune
    turned          invert, callers_of, callees_of
    read            totals, top_table, left_heavy

A measure is a column of `self`: SAMPLES, WALL_NS or CPU_NS. Tables are never changed: a result
has its tree's tables, or new ones. In tables that are not the same object, functions are the
same when their labels are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

from engine.profiling.calltree import ANY, CPU_NS, OTHER, CallTree, Context, Frame, empty_tree
from engine.profiling.levels import Paths, levels, preorder, root_of, subtotals, sums

Entry = TypeVar("Entry")


def merge(trees: Sequence[CallTree]) -> CallTree:
    """One tree with the sum of `self` of equal paths."""
    return _union(trees)[0]


def aligned(before: CallTree, after: CallTree) -> tuple[CallTree, np.ndarray, np.ndarray]:
    """The merged tree, and what each side has in its nodes: int64 (n, 3), (n, 3)."""
    both, places = _union((before, after))
    of_before, of_after = (
        sums(place, tree.self, len(both))
        for place, tree in zip(places, (before, after), strict=True)
    )
    return both, of_before, of_after


def select(tree: CallTree, allows: Callable[[Context], bool]) -> CallTree:
    """The nodes whose context `allows` says True to; it is asked once per context."""
    allowed = np.array([allows(context) for context in tree.contexts], dtype=bool)
    return _kept(tree, allowed[tree.context])


def without_contexts(tree: CallTree) -> CallTree:
    """All contexts put together as ANY."""
    context = np.zeros_like(tree.context)
    return _grouped(CallTree(tree.frames, (ANY,), context, tree.parent, tree.frame, tree.self))[0]


def collapse_recursion(tree: CallTree) -> CallTree:
    """Functions that call themselves directly become one node: f > f > g is f > g."""
    above = np.maximum(tree.parent, 0)
    recurses = (tree.parent >= 0) & (tree.frame == tree.frame[above])
    first = root_of(np.where(recurses, tree.parent, np.arange(len(tree))))
    parent = np.where(tree.parent >= 0, first[above], -1)
    values = sums(first, tree.self, len(tree))
    moved = CallTree(tree.frames, tree.contexts, tree.context, parent, tree.frame, values)
    return _grouped(_kept(moved, ~recurses))[0]


def invert(tree: CallTree) -> CallTree:
    """Callers below callees: roots are the functions in which samples ended.

    A sample's values lie at the far end of its path, so that inverting twice gives the tree
    back, less nodes without any sample. It has at most nodes x depth nodes.
    """
    return _climbed(tree, np.flatnonzero(tree.self.any(axis=1)), tree.self)


def callers_of(tree: CallTree, frame_index: int) -> CallTree:
    """An inverted tree whose roots are the function, with all that was sampled in or below it.

    Where the function recurses a sample counts once, at the outermost call: above it are the
    callers that are not the function itself.
    """
    outermost, _ = _outermost(tree, frame_index)
    return _climbed(tree, np.flatnonzero(outermost), totals(tree))


def callees_of(tree: CallTree, frame_index: int) -> CallTree:
    """The function as the root of all that it called; outermost calls only, as `callers_of`."""
    outermost, inside = _outermost(tree, frame_index)
    parent = np.where(outermost, -1, tree.parent)
    cut = CallTree(tree.frames, tree.contexts, tree.context, parent, tree.frame, tree.self)
    return _grouped(_kept(cut, outermost | inside))[0]


def totals(tree: CallTree) -> np.ndarray:
    """Each node's own values and those of all nodes below it, int64 (n, 3)."""
    return subtotals(tree.parent, tree.self, levels(tree.parent))


def top_table(tree: CallTree, measure: int = CPU_NS) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(frame index, self, total) per function, most of the measure's self first.

    self, total: int64 (3,). A path counts once in the total of a function that recurses. Equal
    ones go by total, then by frame index.
    """
    if len(tree) == 0:
        return []
    position, size = preorder(tree.parent)
    order = np.lexsort((position, tree.frame))
    frame = tree.frame[order].astype(np.int64)
    begins = frame * (len(tree) + 1) + position[order]
    ends = np.maximum.accumulate(begins + size[order])
    outermost = order[np.append(True, begins[1:] >= ends[:-1])]
    used, row = np.unique(tree.frame, return_inverse=True)
    own = sums(row, tree.self, len(used))
    whole = sums(row[outermost], totals(tree)[outermost], len(used))
    ranked = np.lexsort((used, -whole[:, measure], -own[:, measure]))
    return [(int(used[at]), own[at], whole[at]) for at in ranked]


def prune(tree: CallTree, most: int, measure: int) -> tuple[CallTree, int]:
    """At most `most` nodes, and how many were left out.

    What the smallest subtrees hold goes to an OTHER child of their parent, or to an OTHER root
    of their context, or of ANY where there is no room for one per context. Of equal subtrees
    the one that comes first in the tree stays. ValueError: most is under 1.
    """
    if most < 1:
        raise ValueError(f"a tree needs room for at least 1 node, not {most}")
    if len(tree) <= most:
        return tree, 0
    frames = tree.frames if OTHER in tree.frames else [*tree.frames, OTHER]
    other, outside = frames.index(OTHER), len(tree)
    kept = _largest(tree, totals(tree)[:, measure], most)
    if not kept.any():
        return _only_other(frames, tree), len(tree)
    above = np.where(tree.parent >= 0, tree.parent, outside)
    home = root_of(np.append(np.where(kept, np.arange(len(tree)), above), outside))[:-1]
    left = np.flatnonzero(~kept)
    stays = (tree.frame[left] == other) & (home[left] == above[left])
    # Where a left node goes: roots by context, the others by the node that they hang from.
    place = np.where(home == outside, tree.context, len(tree.contexts) + home)[left]
    _, first, group = np.unique(place, return_index=True, return_inverse=True)
    renumbered = np.append(np.cumsum(kept) - 1, -1)
    hangs = home[left[first]]
    pruned = CallTree(
        frames,
        tree.contexts,
        np.concatenate([tree.context[kept], tree.context[left[first]]]),
        np.concatenate([renumbered[tree.parent[kept]], renumbered[hangs]]),
        np.concatenate([tree.frame[kept], np.full(len(first), other)]),
        np.concatenate([tree.self[kept], sums(group, tree.self[left], len(first))]),
    )
    return _grouped(pruned)[0], int((~stays).sum())


def left_heavy(tree: CallTree, measure: int) -> CallTree:
    """The same nodes depth first, siblings by total of the measure, largest first.

    Equal siblings go by frame index, then by context index.
    """
    position, _ = preorder(tree.parent, -totals(tree)[:, measure], tree.frame, tree.context)
    order = np.argsort(position)
    parent = tree.parent[order]
    parent = np.where(parent >= 0, position[parent], -1).astype(np.int32)
    return CallTree(
        tree.frames, tree.contexts, tree.context[order], parent, tree.frame[order], tree.self[order]
    )


def _union(trees: Sequence[CallTree]) -> tuple[CallTree, list[np.ndarray]]:
    """The merged tree, and for each tree the merged number of each of its nodes."""
    sizes = [len(tree) for tree in trees]
    filled = [tree for tree in trees if len(tree)]
    if not filled:
        return (trees[0] if trees else empty_tree()), [np.empty(0, dtype=np.int64) for _ in trees]
    frames, frame = _one_table(
        [tree.frames for tree in filled], [tree.frame for tree in filled], lambda entry: entry.label
    )
    contexts, context = _one_table(
        [tree.contexts for tree in filled], [tree.context for tree in filled], lambda entry: entry
    )
    offsets = np.cumsum([0, *(len(tree) for tree in filled)])
    parent = np.concatenate(
        [
            np.where(tree.parent >= 0, tree.parent + offset, -1)
            for tree, offset in zip(filled, offsets, strict=False)
        ]
    )
    values = np.concatenate([tree.self for tree in filled])
    merged, where = _grouped(CallTree(frames, contexts, context, parent, frame, values))
    return merged, np.split(where, np.cumsum(sizes)[:-1])


def _one_table(
    tables: Sequence[Sequence[Entry]],
    columns: Sequence[np.ndarray],
    identity: Callable[[Entry], Hashable],
) -> tuple[Sequence[Entry], np.ndarray]:
    """A table for all columns, and the columns behind each other as they point into it."""
    if all(table is tables[0] for table in tables):
        return tables[0], np.concatenate(columns)
    number: dict[Hashable, int] = {}
    entries: list[Entry] = []
    moved = []
    for table, column in zip(tables, columns, strict=True):
        used, inverse = np.unique(column, return_inverse=True)
        places = []
        for entry in (table[at] for at in used.tolist()):
            place = number.setdefault(identity(entry), len(entries))
            if place == len(entries):
                entries.append(entry)
            places.append(place)
        moved.append(np.array(places, dtype=np.int64)[inverse])
    return entries, np.concatenate(moved)


def _grouped(forest: CallTree) -> tuple[CallTree, np.ndarray]:
    """Siblings of one context and frame made one node, and each old node's new number."""
    paths = Paths(forest.frames, forest.contexts)
    where = np.zeros(len(forest), dtype=np.int64)
    for depth, level in enumerate(levels(forest.parent)):
        frame = forest.frame[level]
        if depth:
            where[level] = paths.extend(where[forest.parent[level]], frame)
        else:
            where[level] = paths.begin(forest.context[level], frame)
    return paths.tree(where, forest.self), where


def _climbed(tree: CallTree, starts: np.ndarray, values: np.ndarray) -> CallTree:
    """The paths from each start up to its root, with its row of values at the far end."""
    paths = Paths(tree.frames, tree.contexts)
    ends = np.zeros(len(starts), dtype=np.int64)
    rows, at = np.arange(len(starts)), starts
    number = paths.begin(tree.context[at], tree.frame[at])
    while True:
        above = tree.parent[at]
        ends[rows[above < 0]] = number[above < 0]
        rows, at, number = (column[above >= 0] for column in (rows, above, number))
        if not at.size:
            return paths.tree(ends, values[starts])
        number = paths.extend(number, tree.frame[at])


def _kept(tree: CallTree, kept: np.ndarray) -> CallTree:
    """The nodes where kept (n,) is True; none of them may lose its parent."""
    number = np.append(np.cumsum(kept) - 1, -1)
    parent = number[tree.parent[kept]].astype(np.int32)
    context, frame = tree.context[kept], tree.frame[kept]
    return CallTree(tree.frames, tree.contexts, context, parent, frame, tree.self[kept])


def _outermost(tree: CallTree, frame_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Which nodes are the function's outermost calls, and which lie below one; bool (n,)."""
    is_function = tree.frame == frame_index
    inside = np.zeros(len(tree), dtype=bool)
    for level in levels(tree.parent)[1:]:
        above = tree.parent[level]
        inside[level] = inside[above] | is_function[above]
    return is_function & ~inside, inside


def _largest(tree: CallTree, weight: np.ndarray, most: int) -> np.ndarray:
    """Which nodes stay, bool (n,), so that they and their OTHER nodes are at most `most`.

    Nodes are taken by falling weight, hence parents first. Each takes a place, one more for
    the OTHER among its children, and gives one back when it is the last of its own siblings.
    """
    order = np.argsort(-weight, kind="stable")
    rank = np.empty(len(tree), dtype=np.int64)
    rank[order] = np.arange(len(tree))
    family = np.where(tree.parent >= 0, len(tree.contexts) + tree.parent, tree.context)
    last = np.full(len(tree.contexts) + len(tree), -1)
    np.maximum.at(last, family, rank)
    has_children = last[len(tree.contexts) :] >= 0
    grows = 1 + has_children.astype(np.int64) - (rank == last[family])
    of_roots = np.count_nonzero(last[: len(tree.contexts)] >= 0)
    return rank < np.searchsorted(of_roots + np.cumsum(grows[order]), most, side="right")


def _only_other(frames: Sequence[Frame], tree: CallTree) -> CallTree:
    """A single OTHER root with all that was sampled."""
    zero, root, other = (np.array([at], np.int32) for at in (0, -1, frames.index(OTHER)))
    return CallTree(frames, (ANY,), zero, root, other, tree.sampled[None])
