"""Process start to the first successful inference, and CPU when idle: `make coldstart`.

The first start makes the plans and is not counted; the following ones find them in the
state directory. A client asks without pause from the moment the process is started.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.__main__ import ROOT

PATH = "/v2/models/breast_cancer/infer"

BODY = json.dumps(
    {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 30], "data": [1.0] * 30}]}
)


def first_answer_ms(models: Path, state: Path, port: int) -> tuple[float, bool]:
    """Milliseconds from starting the process to a 200, and whether it mapped scikit-learn."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--models", str(models), "--state", str(state)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while _status(port) != 200:
            if process.poll() is not None or time.perf_counter() - started > 120:
                raise RuntimeError("the server gave no answer")
            time.sleep(0.002)
        elapsed_ms = 1000 * (time.perf_counter() - started)
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        return elapsed_ms, "sklearn" in maps
    finally:
        process.terminate()
        process.wait(30)


def idle_percent(models: Path, state: Path, port: int, seconds: float) -> float:
    """CPU of an idle server with its console up, percent of one core."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--models", str(models), "--state", str(state)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(8)  # until the console is built and every model warm
        watched = psutil.Process(process.pid)
        before = sum(watched.cpu_times()[:2])
        time.sleep(seconds)
        return float(100 * (sum(watched.cpu_times()[:2]) - before) / seconds)
    finally:
        process.terminate()
        process.wait(30)


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", PATH, BODY)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.cold_start", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--runs", type=int, default=11)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        first, _ = first_answer_ms(arguments.models, Path(scratch) / "state", 8170)
        runs = [
            first_answer_ms(arguments.models, Path(scratch) / "state", 8171 + number)
            for number in range(arguments.runs)
        ]
        idle = idle_percent(arguments.models, Path(scratch) / "state", 8169, 30)
    times = sorted(elapsed_ms for elapsed_ms, _ in runs)
    imported = sum(mapped for _, mapped in runs)
    print(
        f"empty state: {first:.0f} ms; warm state, {len(times)} runs: "
        f"median {statistics.median(times):.0f} ms, min {times[0]:.0f}, max {times[-1]:.0f}; "
        f"scikit-learn imported in {imported} of them"
    )
    print(f"idle: {idle:.2f} % of a core over 30 s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
