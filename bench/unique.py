"""What caches cost traffic that never repeats: `make unique`.

Three servers that differ in nothing but their caches, asked in turn with rows that are all
different, in short alternating windows: caches on, caches off, and off again (A/A), which
shows what the machine's noise alone does. The client allows cached answers.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from bench.__main__ import until_ready
from bench.loads import ratio_interval
from bench.models import rows_of
from bench.serving import serving
from bench.wrk import measure

OFF = ("--result-cache", "off", "--response-cache", "off")
SERVERS = {"caches on": (), "caches off": OFF, "caches off, again (A/A)": OFF}


def write_unique_script(path: Path, row: np.ndarray) -> Path:
    """A wrk script whose every body has a number that no other has."""
    values = ", ".join(f"{value:.6f}" for value in row[1:].tolist())
    path.write_text(
        "local n = math.random(1, 1000000000)\n"
        'local headers = {["content-type"] = "application/json"}\n'
        f"local tail = [==[, {values}]}}]}}]==]\n"
        "request = function()\n  n = n + 1\n"
        '  local body = string.format(\'{"inputs": [{"name": "input", "datatype": "FP64", '
        f'"shape": [1, {len(row)}], "data": [%d.%07d\', n % 40, n) .. tail\n'
        '  return wrk.format("POST", wrk.path, headers, body)\nend\n'
        "init = function(args) math.randomseed(tonumber(args[1])); "
        "n = math.random(1, 900000000) end\n"
        "done = function(summary, latency)\n  local e = summary.errors\n"
        '  print(string.format("RESULT %f %f %d", latency:percentile(50) / 1000,\n'
        "    latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))\n"
        "end\n"
    )
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.unique", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    cpu_us: dict[str, list[float]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory(prefix="unique-") as scratch, ExitStack() as stack:
        script = write_unique_script(Path(scratch) / "unique.lua", rows_of(given.models)[0])
        urls = {}
        processes = {}
        for name, flags in SERVERS.items():
            folder = Path(scratch) / name.replace(" ", "-")
            shutil.copytree(given.models / "breast_cancer", folder / "models/breast_cancer")
            port, process_id = stack.enter_context(serving(folder, *flags))
            until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
            urls[name] = f"http://127.0.0.1:{port}/v2/models/breast_cancer/infer"
            processes[name] = psutil.Process(process_id)
        for window in tqdm(range(given.windows + 1), unit="window"):
            for name, url in urls.items():
                before = sum(processes[name].cpu_times()[:2])
                found = measure(url, 50, script, given.seconds, seed=7919 * window + len(name))
                spent = sum(processes[name].cpu_times()[:2]) - before
                if found.failed:
                    raise RuntimeError(f"{name}: {found.failed} requests failed")
                if window:  # the first warms up, and lets useless caches fall asleep
                    rates[name].append(found.requests_per_s)
                    cpu_us[name].append(1e6 * spent / (found.requests_per_s * given.seconds))
    print("| server | requests/s | ratio to caches off, 95 % | CPU us a request |")
    print("|---|---:|---|---:|")
    for name in SERVERS:
        middle, low, high = ratio_interval(rates[name], rates["caches off"])
        print(
            f"| {name} | {np.median(rates[name]):,.0f} | {middle:.3f} ({low:.3f} to {high:.3f}) "
            f"| {np.median(cpu_us[name]):.2f} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
