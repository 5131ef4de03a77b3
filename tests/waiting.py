"""Waiting for a condition of a real process, with a deadline: the one place that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.02


def until(condition: Callable[[], object], deadline_s: float, what: str) -> None:
    """Return once the condition holds; fail at the deadline, naming what did not happen."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(LOOK_EVERY_S)
