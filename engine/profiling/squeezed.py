"""A call tree that is kept but seldom read: its columns deflated to an eighth of their size.

Parents are written as the distance to them and every column on its own, so that what differs
little lies together.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.profiling.calltree import CallTree, Context, Frame

LEVEL = 1
"""Of zlib: a higher one saves a sixth more and takes twice as long."""


class SqueezedTree(NamedTuple):
    """nodes: how many. content: context, distance and frame of each, then `self` by measure."""

    frames: Sequence[Frame]
    contexts: Sequence[Context]
    nodes: int
    content: bytes

    def tree(self) -> CallTree:
        """The tree as it was."""
        plain, count = zlib.decompress(self.content), self.nodes
        context, distance, frame = np.frombuffer(plain, np.int32, 3 * count).reshape(3, count)
        values = np.frombuffer(plain, np.int64, 3 * count, 12 * count).reshape(3, count)
        parent = np.where(distance, np.arange(count, dtype=np.int32) - distance, np.int32(-1))
        return CallTree(
            self.frames, self.contexts, context, parent, frame, np.ascontiguousarray(values.T)
        )


def squeeze(tree: CallTree) -> SqueezedTree:
    """The tree in little memory."""
    numbers = np.arange(len(tree), dtype=np.int32)
    distance = np.where(tree.parent >= 0, numbers - tree.parent, 0)
    columns = np.stack([tree.context, distance, tree.frame]).astype(np.int32)
    plain = columns.tobytes() + np.ascontiguousarray(tree.self.T, dtype=np.int64).tobytes()
    return SqueezedTree(tree.frames, tree.contexts, len(tree), zlib.compress(plain, LEVEL))
