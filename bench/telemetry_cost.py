"""What recording costs: `make telemetrycost`.

One server whose recorder is switched on and off between short windows of load at 50
connections, and off again (A/A). Then the recorder alone, in this process: microseconds a
request, by the length of its history, the number of models and of viewers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from bench.__main__ import ROOT, until_ready
from bench.loads import ratio_interval
from bench.models import rows_of, write_repository
from bench.wrk import measure, write_script
from engine.telemetry.compact import pack_each, pack_turn
from engine.telemetry.labels import Label
from engine.telemetry.recorder import Recorder
from engine.telemetry.ticker import Ticker

MODES = {"on": "recorder on", "off": "recorder off", "off, again (A/A)": "recorder off"}
"""What is switched between windows, and the line that does it."""
LEAST_RATIO, MOST_US = 0.97, 2.5


def serve_switched(flags: list[str]) -> None:
    """A server that switches by lines on stdin: "recorder on" or "off", "profiler 29", "audit 1".

    The figures are Hz and seconds, 0 is off.
    """
    from app.cli import main as run
    from engine.engine import Engine

    engines: list[Engine] = []
    made = Engine.__init__

    def kept(engine: Engine, settings: object) -> None:
        made(engine, settings)  # type: ignore[arg-type]
        engines.append(engine)

    Engine.__init__ = kept  # type: ignore[assignment, method-assign]

    def obey() -> None:
        for line in sys.stdin:
            what, value = line.split()
            if what == "recorder":
                engines[0].recorder.enabled = value == "on"
            elif what == "audit" and engines[0].worth.auditor is not None:
                engines[0].worth.auditor.pace(float(value))
            else:
                engines[0].profiler.pace.set(float(value))
            print("switched", flush=True)

    threading.Thread(target=obey, daemon=True).start()
    raise SystemExit(run(["serve", *flags]))


@contextmanager
def switched(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A child that serves folder/models; yields its address and itself."""
    command = [sys.executable, "-m", "bench.telemetry_cost", "--serve", "--port", "8577"]
    command += ["--models", str(folder / "models"), "--state", str(folder / "state")]
    command += ["--trust-file", str(folder / "trusted.sha256")]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        until_ready("http://127.0.0.1:8577/v2/health/ready")
        yield "http://127.0.0.1:8577", child
    finally:
        child.terminate()
        child.wait(30)


def switch(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()
    while "switched" not in child.stdout.readline():
        pass


def throughput(
    models: Path, windows: int, seconds: float, modes: Mapping[str, str] = MODES
) -> dict[str, tuple[list[float], ...]]:
    """Requests/s and CPU us a request of each mode, window by window."""
    rates: dict[str, list[float]] = {mode: [] for mode in modes}
    cpu_us: dict[str, list[float]] = {mode: [] for mode in modes}
    with tempfile.TemporaryDirectory(prefix="telemetry-") as scratch:
        folder = Path(scratch)
        write_repository(models, folder)
        script = write_script(folder / "rows.lua", rows_of(models))
        with switched(folder) as (base, child):
            process = psutil.Process(child.pid)
            for window in tqdm(range(windows + 1), unit="window"):
                for mode, line in modes.items():
                    switch(child, line)
                    before = sum(process.cpu_times()[:2])
                    found = measure(f"{base}/v2/models/breast_cancer/infer", 50, script, seconds)
                    spent = sum(process.cpu_times()[:2]) - before
                    if window:  # the first warms up
                        rates[mode].append(found.requests_per_s)
                        cpu_us[mode].append(1e6 * spent / found.requests_per_s / seconds)
    return {mode: (rates[mode], cpu_us[mode]) for mode in modes}


def print_throughput(
    heading: str, found: Mapping[str, tuple[list[float], ...]], base: str
) -> dict[str, tuple[float, float, float]]:
    """The table of `throughput`; returns each mode's ratio to `base` with its interval."""
    print(f"| {heading} | requests/s | ratio to {base}, 95 % | CPU us a request |")
    print("|---|---:|---|---:|")
    ratios = {}
    for mode, (rates, cpu_us) in found.items():
        middle, low, high = ratios[mode] = ratio_interval(rates, found[base][0])
        print(
            f"| {mode} | {np.median(rates):,.0f} | {middle:.3f} ({low:.3f} to {high:.3f}) "
            f"| {np.median(cpu_us):.2f} |"
        )
    return ratios


def recorder_us(models: int, history_s: int, viewers: int, requests: int = 20_000) -> float:
    """Thread CPU, us a request: its row, and its part of the ticker's work. Median of nine."""
    recorder = Recorder("bench")
    ticker = Ticker(recorder, lambda: {"models": [], "caches": []}, "0")
    labels = [recorder.label_id(Label(f"m{n}", "1", "", "/infer")) for n in range(models)]
    each, turn = 25, requests // 25
    per_second = []
    for _ in range(history_s):
        recorder.extend_turn(*_turn(labels[0], each))
        ticker.tick()
    for _ in range(9):
        began = time.thread_time_ns()
        for number in range(turn):
            recorder.extend_turn(*_turn(labels[number % models], each))
        recorded = time.thread_time_ns() - began
        full, empty = _ticked(ticker, viewers), _ticked(ticker, viewers)
        per_second.append((recorded + max(0, full - empty)) / requests / 1e3)
    ticker.stop()
    return float(np.median(per_second))


def _turn(label: int, count: int) -> tuple[bytes, bytearray]:
    """One run's answers, packed as the fast lane packs them."""
    now, rows = time.perf_counter(), bytearray()
    for _ in range(count):
        rows += pack_each(1, 700, 110, now, now, now, now, now, now, now)
    return pack_turn(label, 0, 1, count, count, 0, now, now, now), rows


def _ticked(ticker: Ticker, viewers: int) -> int:
    """Thread CPU, ns, of a tick and its viewers."""
    began = time.thread_time_ns()
    ticker.tick()
    for _ in range(viewers):
        ticker.feed.answer(ticker.ring.seq - 1)
    return time.thread_time_ns() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.telemetry_cost", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    found = throughput(given.models, given.windows, given.seconds)
    ratios = print_throughput("recorder", found, "off")
    print("\n| models | seconds of history | viewers | recorder, CPU us a request |")
    print("|---:|---:|---:|---:|")
    costs = []
    for models, history_s, viewers in ((1, 1, 0), (1, 3600, 0), (100, 1, 0), (1, 1, 100)):
        costs.append(recorder_us(models, history_s, viewers))
        print(f"| {models} | {history_s} | {viewers} | {costs[-1]:.2f} |")
    return 0 if ratios["on"][0] >= LEAST_RATIO and max(costs) <= MOST_US else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve_switched(sys.argv[2:])
    raise SystemExit(main())
