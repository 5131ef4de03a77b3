"""A call tree while it grows: a sample is a walk down a dictionary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.profiling.calltree import CallTree, Context
from engine.profiling.frames import MAX_FRAMES

MAX_CONTEXTS = 1000
REST = 0
"""The number of frames.OTHER."""


class Contexts:
    """Numbers of contexts. table: append-only; those past MAX_CONTEXTS lose their names."""

    def __init__(self) -> None:
        self.table: list[Context] = []
        self._numbers: dict[Context, int] = {}

    def number(self, context: Context) -> int:
        known = self._numbers.get(context)
        if known is not None:
            return known
        if len(self.table) >= MAX_CONTEXTS:
            context = Context(context.kind, "(other)")
            if context in self._numbers:
                return self._numbers[context]
        self._numbers[context] = len(self.table)
        self.table.append(context)
        return len(self.table) - 1


class TreeBuilder:
    """Nodes by (parent, frame). most_nodes: then new paths end in one node "(other)" a parent."""

    def __init__(self, most_nodes: int) -> None:
        self.most_nodes = most_nodes
        self.samples = self.left_out = 0
        self._nodes: dict[int, int] = {}
        self._context: list[int] = []
        self._parent: list[int] = []
        self._frame: list[int] = []
        self._samples: list[int] = []
        self._wall_ns: list[int] = []
        self._cpu_ns: list[int] = []

    def __len__(self) -> int:
        return len(self._parent)

    def add(
        self, context: int, stack: Sequence[int], wall_ns: int, cpu_ns: int, times: int = 1
    ) -> None:
        """Count samples that lasted so long together. stack: frame numbers, root first."""
        nodes, node = self._nodes, -1 - context
        for frame in stack:
            key = node * MAX_FRAMES + frame
            known = nodes.get(key)
            if known is None:
                known = self._grow(context, node, frame, key)
                if self._frame[known] != frame:
                    node = known
                    break
            node = known
        self.samples += times
        self._samples[node] += times
        self._wall_ns[node] += wall_ns
        self._cpu_ns[node] += cpu_ns

    def _grow(self, context: int, parent: int, frame: int, key: int) -> int:
        """The node of a path not seen before; of its parent's rest where there is no room."""
        if len(self._parent) >= self.most_nodes:
            self.left_out += 1
            frame, key = REST, parent * MAX_FRAMES + REST
            known = self._nodes.get(key)
            if known is not None:
                return known
        number = self._nodes[key] = len(self._parent)
        self._context.append(context)
        self._parent.append(max(parent, -1))
        self._frame.append(frame)
        self._samples.append(0)
        self._wall_ns.append(0)
        self._cpu_ns.append(0)
        return number

    def tree(self, frames: list, contexts: list[Context]) -> CallTree:  # type: ignore[type-arg]
        """What was counted so far, in columns of its own."""
        counted = np.array([self._samples, self._wall_ns, self._cpu_ns], dtype=np.int64)
        return CallTree(
            frames,
            contexts,
            np.array(self._context, dtype=np.int32),
            np.array(self._parent, dtype=np.int32),
            np.array(self._frame, dtype=np.int32),
            np.ascontiguousarray(counted.T).reshape(-1, 3),
        )
