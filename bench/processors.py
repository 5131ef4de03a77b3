"""The processors: who uses them, who may, and what they do when nobody does."""

from __future__ import annotations

import os
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def pinned(cores: Sequence[int] | None) -> Iterator[None]:
    """What is started within may use these cores only; None is all there are."""
    before = os.sched_getaffinity(0)
    try:
        if cores is not None:
            os.sched_setaffinity(0, set(cores))
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def kept_awake() -> Iterator[None]:
    """Idle processors look out for work within, instead of being halted, where the system lets us.

    Linux' PM QoS: none may take longer than 0 us to wake while the file is open. Whether they do,
    polled_s() tells.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            held = stack.enter_context(open("/dev/cpu_dma_latency", "wb", buffering=0))
            held.write(struct.pack("i", 0))
        yield


def polled_s() -> float:
    """How long processors have looked out for work while idle until now, added up."""
    states = Path("/sys/devices/system/cpu").glob("cpu*/cpuidle/state*")
    polling = [one for one in states if (one / "name").read_text() == "POLL\n"]
    return sum(int((one / "time").read_text()) for one in polling) / 1e6


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
