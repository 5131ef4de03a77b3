"""What was sampled, in slices of 10 s for an hour, and by the minute for a writer.

    builder --(10 s)--> Slice, pruned to SLICE_NODES --(6 of one minute)--> Minute -> disk

A slice keeps its heaviest paths; the rest is counted at "(other)" nodes, so that sums stay
exact. In memory: at most SLICES slices of SLICE_NODES nodes, deflated once a slice is over.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from engine.profiling.builder import TreeBuilder
from engine.profiling.calltree import WALL_NS, CallTree
from engine.profiling.squeezed import SqueezedTree, squeeze
from engine.profiling.tree import merge, prune

SLICE_S = 10
SLICES = 360
MINUTE_S = 60
GROWING_NODES = 10_000
SLICE_NODES = 2_000
MINUTE_NODES = 4_000


class Counts(NamedTuple):
    """What the sampler had done by then: looks, ticks missed, asked rate, s it looked for."""

    looks: int = 0
    missed: int = 0
    asked_hz: float = 0.0
    looked_s: float = 0.0

    def since(self, before: Counts) -> Counts:
        return Counts(
            self.looks - before.looks,
            self.missed - before.missed,
            self.asked_hz,
            self.looked_s - before.looked_s,
        )


class Slice(NamedTuple):
    """A stretch of time and its tree. start_s, end_s: monotonic in memory, UTC from disk."""

    start_s: float
    end_s: float
    tree: CallTree
    counts: Counts


class _Closed(NamedTuple):
    """A slice that is over, in little memory."""

    start_s: float
    end_s: float
    squeezed: SqueezedTree
    counts: Counts

    def slice(self) -> Slice:
        return Slice(self.start_s, self.end_s, self.squeezed.tree(), self.counts)


class Slices:
    """Fed through `builder`; `keep` is to be called about once a second.

    swap: takes the next builder and gives the last one's tree, under the sampler's lock.
    read: the running one's tree so far. counts: of the sampler, since start. minute: is given
    each minute that is complete.
    """

    def __init__(
        self,
        swap: Callable[[TreeBuilder], CallTree],
        read: Callable[[], CallTree],
        counts: Callable[[], Counts],
        minute: Callable[[Slice], None],
        now_s: float,
    ) -> None:
        self._swap, self._read, self._counts, self._minute = swap, read, counts, minute
        self._kept: deque[_Closed | Slice] = deque(maxlen=SLICES)
        self._start_s = now_s
        self._before = counts()
        self._open_minute: list[Slice] = []
        self._lock = threading.Lock()

    def keep(self, now_s: float) -> None:
        """Close the running slice once it is over."""
        if now_s // SLICE_S == self._start_s // SLICE_S:
            return
        with self._lock:
            tree, counts = self._swap(TreeBuilder(GROWING_NODES)), self._counts()
            whole = Slice(self._start_s, now_s, tree, counts.since(self._before))
            self._kept.append(whole)
            self._start_s, self._before = now_s, counts
        # Not under the lock: whoever reads meanwhile reads all of it.
        pruned, _ = prune(tree, SLICE_NODES, WALL_NS)
        closed = whole._replace(tree=pruned)
        kept = _Closed(closed.start_s, closed.end_s, squeeze(pruned), closed.counts)
        with self._lock:
            self._kept[-1] = kept
        self._fold(closed, now_s)

    def _fold(self, closed: Slice, now_s: float) -> None:
        self._open_minute.append(closed)
        if now_s // MINUTE_S != self._open_minute[0].start_s // MINUTE_S:
            self.fold_open()

    def fold_open(self) -> None:
        """Give the writer what is complete of the running minute."""
        taken, self._open_minute = self._open_minute, []
        if taken:
            self._minute(together(taken, MINUTE_NODES))

    def within(self, from_s: float, to_s: float, now_s: float) -> list[Slice]:
        """Slices that overlap a stretch of the monotonic clock, the running one among them."""
        with self._lock:
            running = Slice(self._start_s, now_s, self._read(), self._counts().since(self._before))
            kept = [*self._kept, running]
        chosen = (one for one in kept if one.end_s > from_s and one.start_s < to_s)
        return [_whole(one) for one in chosen]

    def __iter__(self) -> Iterator[Slice]:
        return map(_whole, tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nodes(self) -> int:
        """Nodes held, the running slice's not counted."""
        return sum(
            one.squeezed.nodes if isinstance(one, _Closed) else len(one.tree)
            for one in tuple(self._kept)
        )


def _whole(one: _Closed | Slice) -> Slice:
    return one.slice() if isinstance(one, _Closed) else one


def together(slices: list[Slice], most_nodes: int) -> Slice:
    """Several slices as one of most_nodes at most."""
    tree, _ = prune(merge([one.tree for one in slices]), most_nodes, WALL_NS)
    return Slice(slices[0].start_s, slices[-1].end_s, tree, summed(slices))


def summed(slices: list[Slice]) -> Counts:
    """Looks of all of them; the rate asked for last."""
    return Counts(
        sum(one.counts.looks for one in slices),
        sum(one.counts.missed for one in slices),
        slices[-1].counts.asked_hz if slices else 0.0,
        sum(one.counts.looked_s for one in slices),
    )
