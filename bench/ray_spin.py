"""Processes that only compute: what of two processors is to be had. `python -m bench.ray_spin`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def rounds(processes: int, seconds: float) -> float:
    """What so many processes get done together in a second."""
    command = [sys.executable, "-m", "bench.ray_spin", str(seconds)]
    children = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    return sum(float(child.communicate()[0]) for child in children)


def main(seconds: float) -> None:
    """Print rounds a second of this process."""
    import numpy as np

    matrix = np.random.default_rng(1).normal(size=(64, 64)) / 8
    held, done, began_s = matrix, 0, time.perf_counter()
    while (passed_s := time.perf_counter() - began_s) < seconds:
        for _ in range(200):
            held = np.tanh(np.einsum("ij,jk->ik", held, matrix))  # einsum: one thread
        done += 200
    print(done / passed_s)


if __name__ == "__main__":
    main(float(sys.argv[1]))
