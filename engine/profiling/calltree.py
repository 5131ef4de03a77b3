"""A call tree in columns, as the profiler keeps, stores and sends it.

    node     0      1      2      3          frames    table that `frame` points into
    context  0      0      0      1          contexts  table that `context` points into
    parent  -1      0      1     -1          self      (n, 3): samples, wall ns, cpu ns of
    frame    4      7      2      4                    samples whose leaf the node was
    self     …      …      …      …

A parent comes before its children, and all nodes under a root share its context. Two nodes
never have the same parent, context and frame. The sum of `self` is all that was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SAMPLES, WALL_NS, CPU_NS = range(3)
MEASURES = ("samples", "wall", "cpu")
"""Names of the columns of `self`: how often seen, how long, and how long on a processor."""


class Frame(NamedTuple):
    """A function. line: its first; 0 where unknown. is_native: C code, called from `file`."""

    name: str
    module: str
    file: str
    line: int
    is_native: bool = False

    @property
    def label(self) -> str:
        """How stack formats write it: "name (file:line)"; native code has no line."""
        if not self.file:
            return self.name
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.name} ({place})"


class Context(NamedTuple):
    """Whom a sample was booked to. kind: one of KINDS; model, version, route: "" where none."""

    kind: str
    thread: str
    model: str = ""
    version: str = ""
    route: str = ""


KINDS = ("request", "engine", "console", "system", "idle")
ANY = Context("", "")
"""The context of trees whose contexts were put together."""

OTHER = Frame("(other)", "", "", 0)
"""Stands for nodes that a bound left no room for."""


@dataclass(frozen=True, slots=True, eq=False)
class CallTree:
    """See the module. context, parent, frame: int32 (n,); self: int64 (n, 3)."""

    frames: Sequence[Frame]
    contexts: Sequence[Context]
    context: np.ndarray
    parent: np.ndarray
    frame: np.ndarray
    self: np.ndarray

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def sampled(self) -> np.ndarray:
        """All that was sampled, int64 (3,)."""
        total: np.ndarray = self.self.sum(axis=0, dtype=np.int64)
        return total


def empty_tree(frames: Sequence[Frame] = (), contexts: Sequence[Context] = ()) -> CallTree:
    """A tree without nodes."""
    none = np.empty(0, dtype=np.int32)
    return CallTree(frames, contexts, none, none, none, np.empty((0, 3), dtype=np.int64))
