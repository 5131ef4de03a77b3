"""Who used the processors meanwhile: all processes of the machine, by what they are."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import psutil


class Processors:
    """CPU time of processes since it was made.

    part: what a process is, from its id and its command line (its name where that is empty).
    """

    def __init__(self, part: Callable[[int, str], str]) -> None:
        self._part = part
        self._before = self._seconds()
        self._began_s = time.monotonic()

    def shares(self) -> dict[str, float]:
        """Per cent of one processor, by part; of processes that are still there."""
        passed_s = time.monotonic() - self._began_s
        found: defaultdict[str, float] = defaultdict(float)
        for key, seconds in self._seconds().items():
            found[key[0]] += 100 * max(0.0, seconds - self._before.get(key, 0.0)) / passed_s
        return dict(found)

    def _seconds(self) -> dict[tuple[str, int], float]:
        found = {}
        for process in psutil.process_iter(["pid", "cmdline", "cpu_times", "name"]):
            times, words = process.info["cpu_times"], " ".join(process.info["cmdline"] or [])
            if times is not None:
                part = self._part(process.info["pid"], words or process.info["name"])
                found[part, process.info["pid"]] = times.user + times.system
        return found
