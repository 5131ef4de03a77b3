"""Profiles of their own: captures at a high rate, and imported files. In memory, a few."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.errors import Busy, InvalidInput, UnknownProfile
from engine.profiling.builder import TreeBuilder
from engine.profiling.calltree import SAMPLES, WALL_NS, CallTree
from engine.profiling.slices import Counts
from engine.profiling.tree import prune

MOST = 10
MAX_SECONDS = 300.0
MAX_CAPTURE_HZ = 499
CAPTURE_NODES = 50_000
KEPT_NODES = 20_000


@dataclass(slots=True)
class Capture:
    """One profile. began: UTC. tree: None while it runs. kind: "capture" or "import".

    is_timed: its values are times; False where an imported file counts something else.
    """

    label: str
    kind: str
    began: float
    seconds: float = 0.0
    hz: float | None = None
    builder: TreeBuilder | None = None
    tree: CallTree | None = None
    counts: Counts = field(default_factory=Counts)
    is_timed: bool = True
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    def as_dict(self, now: float) -> dict[str, Any]:
        """What the list of captures tells; progress is 0 to 1."""
        elapsed = max(0.0, now - self.began)
        running = self.tree is None
        progress = min(0.99, elapsed / self.seconds) if running and self.seconds else 1.0
        builder = self.builder
        samples = (
            builder.samples if builder else int(self.tree.sampled[SAMPLES] if self.tree else 0)
        )
        return {
            "id": self.id,
            "label": self.label,
            "kind": self.kind,
            "began": self.began,
            "seconds": self.seconds,
            "hz": self.hz,
            "progress": progress,
            "samples": samples,
        }


class Captures:
    """At most MOST, the oldest finished ones go first; one runs at a time.

    switch: puts a builder beside the slices' (None: takes it off) at a rate. read: a builder's
    tree. least_hz: looks that are taken anyway. after: has something done later, on another thread.
    """

    def __init__(
        self,
        switch: Callable[[TreeBuilder | None, float], None],
        read: Callable[[TreeBuilder], CallTree],
        counts: Callable[[], Counts],
        after: Callable[[float, Callable[[], None]], None],
        wall: Callable[[], float],
        least_hz: float = 0.0,
    ) -> None:
        self._switch, self._read, self._counts = switch, read, counts
        self._after, self._wall, self._least_hz = after, wall, least_hz
        self._kept: list[Capture] = []
        self._running: Capture | None = None
        self._lock = threading.Lock()

    def begin(self, seconds: float, hz: float) -> Capture:
        """Start one. Raises InvalidInput, or Busy while another runs."""
        if not 0.1 <= seconds <= MAX_SECONDS:
            raise InvalidInput(f"seconds is {seconds:g}; it must be 0.1 to {MAX_SECONDS:g}")
        if not 1 <= hz <= MAX_CAPTURE_HZ:
            raise InvalidInput(f"hz is {hz:g}; it must be 1 to {MAX_CAPTURE_HZ}")
        hz = max(hz, self._least_hz)
        builder = TreeBuilder(CAPTURE_NODES)
        label = f"{seconds:g} s at {hz:g} Hz"
        capture = Capture(label, "capture", self._wall(), seconds, hz, builder)
        with self._lock:
            if self._running is not None:
                raise Busy(f"capture {self._running.id} runs; one may run at a time")
            self._running = capture
            capture.counts = self._counts()
            self._add(capture)
        self._switch(builder, hz)
        self._after(seconds, lambda: self._end(capture))
        return capture

    def _end(self, capture: Capture) -> None:
        self._switch(None, 0)
        assert capture.builder is not None
        counts = self.counts_of(capture)
        capture.tree, _ = prune(self._read(capture.builder), KEPT_NODES, WALL_NS)
        capture.seconds = self._wall() - capture.began
        capture.counts, capture.builder = counts, None
        with self._lock:
            self._running = None

    def adopt(self, label: str, tree: CallTree, is_timed: bool = True) -> Capture:
        """Keep an imported tree."""
        kept, _ = prune(tree, KEPT_NODES, WALL_NS)
        capture = Capture(label, "import", self._wall(), tree=kept, is_timed=is_timed)
        with self._lock:
            self._add(capture)
        return capture

    def _add(self, capture: Capture) -> None:
        self._kept.insert(0, capture)
        while len(self._kept) > MOST:
            oldest = [one for one in self._kept if one is not self._running][-1]
            self._kept.remove(oldest)

    def drop(self, capture_id: str) -> None:
        """Forget one. Raises UnknownProfile, or Busy while it runs."""
        capture = self.find(capture_id)
        with self._lock:
            if capture is self._running:
                raise Busy(f"capture {capture_id} still runs")
            if capture in self._kept:
                self._kept.remove(capture)

    def find(self, capture_id: str) -> Capture:
        """One of those kept. Raises UnknownProfile."""
        found = next((one for one in self._kept if one.id == capture_id), None)
        if found is None:
            raise UnknownProfile(f"no capture {capture_id[:40]!r}; the last {MOST} are kept")
        return found

    def counts_of(self, capture: Capture) -> Counts:
        """What the sampler did for it, so far."""
        if capture.builder is None:
            return capture.counts
        return self._counts().since(capture.counts)._replace(asked_hz=capture.hz or 0.0)

    def tree_of(self, capture: Capture) -> CallTree:
        """Its tree, as far as it has come."""
        builder = capture.builder
        if capture.tree is not None or builder is None:
            assert capture.tree is not None
            return capture.tree
        return self._read(builder)

    def as_list(self) -> list[dict[str, Any]]:
        now = self._wall()
        return [capture.as_dict(now) for capture in tuple(self._kept)]
