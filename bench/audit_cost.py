"""What audits cost the request path: `make auditcost`.

One server under load at 50 connections, whose audits are switched on, ten times as often as by
default, and off between short windows, and off again (A/A). Counted is the processor time of
the event loop's thread, which is the request path, by the kernel; and requests a second, which
the child's use of the machine is in. Then the parts alone, in this process: the look at a tap
that is not set, and a run whose rows are taken.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from bench.loads import ratio_interval
from bench.models import rows_of, write_repository
from bench.serving import thread_ns
from bench.telemetry_cost import switch, switched
from bench.wrk import measure, write_script
from engine.config import Settings
from engine.engine import Engine
from engine.models.loaded import LoadedModel

EVERY_S, USUAL_S = 1.0, 10.0
MODES = {"on": f"audit {EVERY_S:g}", "off": "audit 0", "off, again (A/A)": "audit 0"}
MODEL = "breast_cancer"
MOST_SHARE = 0.005
RUNS = 20_000


def loop_us(before: dict[int, int], after: dict[int, int], requests: float) -> float:
    """Processor time a request of the thread that has taken most: the event loop's."""
    return max(after[task] - before.get(task, 0) for task in after) / requests / 1e3


def windows_of(
    models: Path, windows: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, list[float]], float]:
    """Loop's CPU us a request and requests/s by mode, and the child's CPU s while it was on."""
    cpu_us: dict[str, list[float]] = {mode: [] for mode in MODES}
    rates: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory(prefix="audit-") as scratch:
        folder = Path(scratch)
        write_repository(models, folder)
        script = write_script(folder / "rows.lua", rows_of(models))
        with switched(folder) as (base, child):
            server = psutil.Process(child.pid)
            for window in tqdm(range(windows + 2), unit="window"):
                for mode, line in MODES.items():
                    switch(child, line)
                    before = thread_ns(child.pid)
                    found = measure(f"{base}/v2/models/{MODEL}/infer", 50, script, seconds)
                    after = thread_ns(child.pid)
                    if window > 1:  # the first warm up, and start the auditor's child
                        cpu_us[mode].append(loop_us(before, after, found.requests_per_s * seconds))
                        rates[mode].append(found.requests_per_s)
            times = [one.cpu_times() for one in server.children()]
    return cpu_us, rates, sum(one.user + one.system for one in times)


def run_us(model: LoadedModel, taps: bool) -> float:
    """Thread CPU of a run of one row, us, with its rows taken each time or never."""
    inputs = model.signature.bind(model.sample_rows(1))
    output = (model.signature.outputs[0].name,)
    taken: list[object] = []
    costs = []
    for _ in range(9):
        began_ns = time.thread_time_ns()
        for _ in range(RUNS // 9):
            if taps:
                model.tap = lambda inputs, run, run_ns: taken.append(
                    [
                        {name: array[:256].copy() for name, array in part.items()}
                        for part in (inputs, run.outputs)
                    ]
                )
            model.run(inputs, output)
        taken.clear()
        costs.append((time.thread_time_ns() - began_ns) / (RUNS // 9) / 1e3)
    return float(np.median(costs))


def look_ns(model: LoadedModel) -> float:
    """The look at a tap that is not set, ns: a loop with it minus the loop without; median."""
    costs = []
    for _ in range(25):
        began_ns = time.thread_time_ns()
        for _ in range(RUNS):
            if model.tap is not None:
                raise AssertionError
        looked_ns = time.thread_time_ns()
        for _ in range(RUNS):
            pass
        costs.append((2 * looked_ns - began_ns - time.thread_time_ns()) / RUNS)
    return float(np.median(costs))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.audit_cost", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=2)
    given = parser.parse_args()
    cpu_us, rates, child_s = windows_of(given.models, given.windows, given.seconds)
    print(
        f"| audits, every {EVERY_S:g} s | loop's CPU, us a request | ratio to off, 95 % "
        "| requests/s | ratio, 95 % |"
    )
    print("|---|---:|---|---:|---|")
    for mode, costs in cpu_us.items():
        middle, low, high = ratio_interval(costs, cpu_us["off"])
        fast = ratio_interval(rates[mode], rates["off"])
        print(
            f"| {mode} | {np.median(costs):.2f} | {middle:.4f} ({low:.4f} to {high:.4f}) "
            f"| {np.median(rates[mode]):,.0f} | {fast[0]:.3f} ({fast[1]:.3f} to {fast[2]:.3f}) |"
        )
    print(f"\nchild: {child_s:.1f} s of CPU in all, its start included")
    with tempfile.TemporaryDirectory(prefix="audit-") as scratch:
        engine = Engine(Settings(models=given.models, state=Path(scratch), history=False))
        model = engine.registry.load(engine.registry.slot(MODEL)).result(300)
        plain_us, tapped_us, looked_ns = run_us(model, False), run_us(model, True), look_ns(model)
        engine.close()
    request_us = float(np.median(cpu_us["off"]))
    per_s = float(np.median(rates["off"]))
    share = looked_ns / 1e3 / request_us + (tapped_us - plain_us) / 1e6 / USUAL_S
    print(
        f"a look {looked_ns:.1f} ns a run; a taken run {tapped_us - plain_us:.2f} us more, "
        f"once in {USUAL_S:g} s of {per_s:,.0f} requests/s: {100 * share:.4f} % of a request's "
        "time, with one request a run"
    )
    return 0 if share <= MOST_SHARE else 1


if __name__ == "__main__":
    raise SystemExit(main())
