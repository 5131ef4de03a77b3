"""What is under way: JSON, a line a second at least, or a progress bar."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NONE = dict.fromkeys(
    (
        *("requested_per_s", "p50_ms", "p95_ms", "p99_ms", "service_p99_ms"),
        *("server_p50_ms", "server_p99_ms"),
    )
)
EVERY_S = 0.5


class Progress:
    """Steps done of all. seconds: the limit of the whole run."""

    def __init__(self, as_json: bool, steps: int, seconds: float) -> None:
        self._json, self._steps, self._seconds = as_json, steps, seconds
        self._began_s, self._step, self._phase = time.perf_counter(), 0, "starting"
        self.requests = self.errors = 0
        self._bar: Any = None
        self._over = threading.Event()

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._began_s

    @property
    def left_s(self) -> float:
        return self._seconds - self.elapsed_s

    def at(self, phase: str) -> None:
        """A step begins."""
        self._step, self._phase = min(self._step + 1, self._steps), phase
        if self._bar is not None:
            self._bar.set_description(f"{phase:<42}")
            self._bar.update(1)
        elif self._json:
            self._tell()

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Tell it while the block runs."""
        if self._json:
            thread = threading.Thread(target=self._repeat, daemon=True)
            thread.start()
        else:
            from tqdm import tqdm

            self._bar = tqdm(total=self._steps, unit="step")
        try:
            yield self
        finally:
            self._over.set()
            if self._bar is not None:
                self._bar.close()

    def _repeat(self) -> None:
        while not self._over.wait(EVERY_S):
            self._tell()

    def _tell(self) -> None:
        elapsed_s = self.elapsed_s
        told = {
            "type": "progress",
            "elapsed_s": round(elapsed_s, 2),
            "seconds": self._seconds,
            "phase": self._phase,
            "step": self._step,
            "steps": self._steps,
            "requests": self.requests,
            "errors": self.errors,
            "achieved_per_s": self.requests / elapsed_s if elapsed_s else None,
        }
        print(json.dumps(told | NONE), flush=True)
