"""The profiler's memory under stacks made to fill it: `make profilesoak`.

Threads whose stacks are deep, wide and never the same: functions with names that nobody has seen,
up to 400 frames deep. First an hour of them is fed through the profiler's slices by a clock that
runs ahead, so that every bound is reached; then five real minutes at 99 Hz must not add to the
process' resident memory.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from engine.models.files import give_back_memory
from engine.profiling.profiler import Profiler
from engine.profiling.slices import SLICE_NODES, SLICE_S, SLICES
from engine.telemetry.record import ProcessMemory

THREADS, DEEPEST, NAMES, HZ = 4, 400, 30_000, 99.0
LOOKS_AHEAD = 10
"""A slice; each sees four threads, so a slice has some thousand nodes."""
MOST_GROWTH_MB = 5.0


class Ahead:
    """The monotonic clock, and what is added to it."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.added_s


def functions(count: int) -> list[Callable[..., None]]:
    """Functions that call the next one they are given, each with a name of its own."""
    made = []
    for number in range(count):
        scope: dict[str, Callable[..., None]] = {}
        source = f"def f{number}(path, place):\n    if place: path[place](path, place - 1)\n"
        exec(compile(source, f"made/m{number % 97}.py", "exec"), scope)
        made.append(scope[f"f{number}"])
    return made


def wander(known: list[Callable[..., None]], over: threading.Event) -> None:
    chosen = random.Random()
    while not over.is_set():
        depth = chosen.randrange(2, DEEPEST)
        path = [*chosen.choices(known, k=depth)]
        path[0] = lambda path, place: time.sleep(0.002)
        path[-1](path, depth - 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.profile_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    given = parser.parse_args()
    clock, over = Ahead(), threading.Event()
    known = functions(NAMES)
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        profiler = Profiler(
            HZ, Path(folder), 64 * 2**20, lambda kind, text: print(text), monotonic=clock
        )
        threads = [
            threading.Thread(target=wander, args=(known, over), daemon=True) for _ in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        profiler.start()
        for _ in tqdm(range(SLICES + 1), desc="an hour, ahead of time", unit="slice"):
            for _ in range(LOOKS_AHEAD):
                time.sleep(0.001)
                profiler.sampler.look(round(1e9 * SLICE_S / LOOKS_AHEAD))
            clock.added_s += SLICE_S
            profiler.slices.keep(clock())
        give_back_memory()
        memory, seen = ProcessMemory(), []
        with tqdm(total=round(60 * given.minutes), desc="real time", unit="s") as bar:
            end_s = time.monotonic() + 60 * given.minutes
            while time.monotonic() < end_s:
                time.sleep(1)
                seen.append(memory.resident_mb())
                bar.update(1)
        status, spent_s = profiler.status(), 60 * given.minutes
        profiler.stop()
        over.set()
    return report(np.array(seen), status, spent_s)


def report(seen_mb: np.ndarray, status: dict[str, object], spent_s: float) -> int:
    """Print what was held; 0 where memory was flat and every bound kept."""
    tenth = max(1, len(seen_mb) // 10)
    first, last = np.median(seen_mb[:tenth]), np.median(seen_mb[-tenth:])
    slope = np.polyfit(np.arange(len(seen_mb)) / 60, seen_mb, 1)[0]
    nodes = int(str(status["nodes"]))
    print(f"slices {status['slices']}, nodes {nodes:,} of at most {SLICES * SLICE_NODES:,}")
    print(f"frames {status['frames']}, contexts {status['contexts']}, rate {status['achieved_hz']}")
    print(f"resident memory {first:.1f} -> {last:.1f} MB, {slope:+.2f} MB a minute")
    print(f"highest {seen_mb.max():.1f} MB in {spent_s:.0f} s")
    flat = last - first < MOST_GROWTH_MB
    return 0 if flat and nodes <= SLICES * SLICE_NODES else 1


if __name__ == "__main__":
    raise SystemExit(main())
