"""What profiling costs: `make profilercost`.

One server whose profiler is set to no looks, to its default and to a capture's rate between
short windows of load at 50 connections, and to none again (A/A). Then what a look costs its own
thread, in a process of 25 threads.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import numpy as np

from bench.telemetry_cost import print_throughput, throughput
from engine.in_flight import InFlight
from engine.profiling.builder import TreeBuilder
from engine.profiling.sampler import Sampler

OFF = "off"
MODES = {
    OFF: "profiler 0",
    "29 Hz": "profiler 29",
    "499 Hz": "profiler 499",
    "off, again (A/A)": "profiler 0",
}
LEAST = {"29 Hz": 0.99, "499 Hz": 0.90}
THREADS, DEPTH, LOOKS = 25, 20, 2_000


def look_us() -> float:
    """Thread CPU of one look at THREADS threads that wait DEPTH frames deep, us; median of 9."""
    over = threading.Event()

    def wait(depth: int) -> None:
        if depth:
            wait(depth - 1)
        else:
            over.wait()

    threads = [threading.Thread(target=wait, args=(DEPTH,), daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    costs = []
    for _ in range(9):
        began_ns = time.thread_time_ns()
        for _ in range(LOOKS):
            sampler.look(1)
        costs.append((time.thread_time_ns() - began_ns) / LOOKS / 1e3)
    over.set()
    return float(np.median(costs))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.profiler_cost", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    found = throughput(given.models, given.windows, given.seconds, MODES)
    ratios = print_throughput("profiler", found, OFF)
    print(f"\na look at {THREADS} threads that wait: {look_us():.1f} us of CPU")
    return 0 if all(ratios[mode][0] >= least for mode, least in LEAST.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
