"""Stacks of one thread while it runs a model on a replica, counted until they are fetched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.profiling.walk import walk

MOST_STACKS = 256
"""Distinct stacks between two fetches; further ones are counted as one that has no frames."""
MOST_DEPTH = 64


class StackCounts:
    """hz: samples a second while a run is under way; 0 takes none, and has no thread."""

    def __init__(self, hz: float) -> None:
        self._interval_s = 1 / hz if hz > 0 else 0.0
        self._counts: dict[tuple[tuple[str, str, int], ...], int] = {}
        self._lock = threading.Lock()
        self._runs = threading.Event()
        self._ident = 0
        if self._interval_s:
            threading.Thread(target=self._sample, name="stacks", daemon=True).start()

    @contextmanager
    def running(self) -> Iterator[None]:
        """This thread's stacks are counted within the block."""
        self._ident = threading.get_ident()
        self._runs.set()
        try:
            yield
        finally:
            self._runs.clear()

    def _sample(self) -> None:
        last_ns = time.perf_counter_ns()
        while True:
            if not self._runs.wait(60):
                continue
            time.sleep(self._interval_s)
            now_ns = time.perf_counter_ns()
            if self._runs.is_set():
                elapsed_ns = min(now_ns - last_ns, int(2e9 * self._interval_s))
                self._count(self._stack(), elapsed_ns)
            last_ns = now_ns

    def _stack(self) -> tuple[tuple[str, str, int], ...]:
        places = walk(self._ident)[:MOST_DEPTH]
        return tuple((c.co_qualname, c.co_filename, c.co_firstlineno) for c, _ in reversed(places))

    def _count(self, stack: tuple[tuple[str, str, int], ...], elapsed_ns: int) -> None:
        with self._lock:
            if stack not in self._counts and len(self._counts) >= MOST_STACKS:
                stack = ()
            self._counts[stack] = self._counts.get(stack, 0) + elapsed_ns

    def take(self) -> list[Any]:
        """[[frames, root first, as [name, file, line]], nanoseconds] of each; begins anew."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return [[[list(frame) for frame in stack], ns] for stack, ns in counts.items()]
