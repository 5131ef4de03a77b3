"""The console beside an outside observer: `make observer`.

wrk asks one server, through the fast lane, with 1 and with 50 connections:

    1   the console's p50 and wrk's p50 of the no-op route must add up to wrk's p50
    50  the console's mean and the wait outside Python must add up to wrk's mean

The exit status is 1 where a sum is off by more than its bound.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.__main__ import until_ready
from bench.models import rows_of, write_repository
from bench.serving import Client, serving
from bench.wrk import write_script

P50_BOUND, MEAN_BOUND = 0.05, 0.10
SETTLE_S = 8.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What wrk said: mean and p50, ms, and requests answered."""

    mean_ms: float
    p50_ms: float
    requests: int


def wrk(url: str, connections: int, seconds: int, script: Path | None = None) -> Seen:
    """One run of wrk. Raises RuntimeError where it says something else."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(script)] if script else []
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    mean = re.search(r"Latency\s+([\d.]+)(us|ms|s)", said)
    p50 = re.search(r"\n\s+50%\s+([\d.]+)(us|ms|s)", said)
    requests = re.search(r"(\d+) requests in", said)
    if mean is None or p50 is None or requests is None:
        raise RuntimeError(f"wrk said something else:\n{said}")
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    return Seen(float(mean[1]) * unit[mean[2]], float(p50[1]) * unit[p50[2]], int(requests[1]))


def told(client: Client, seconds: int) -> dict[str, float]:
    """The console's figures of the last seconds that were under full load."""
    path = f"/performance/metrics/history?window={seconds + 4}s&step=1s"
    answer = client.call("GET", path)[1]
    rows = [dict(zip(answer["columns"], point, strict=True)) for point in answer["points"]]
    rows = [row for row in rows if row["requests_per_s"]]
    top = max(row["requests_per_s"] for row in rows)
    full = [row for row in rows if row["requests_per_s"] > 0.8 * top]
    weights = [row["requests_per_s"] for row in full]
    outside = [row["outside_ms"] for row in full if row["outside_ms"] is not None]
    return {
        "mean_ms": float(np.average([row["mean_ms"] for row in full], weights=weights)),
        "p50_ms": float(np.median([row["p50_ms"] for row in full])),
        "outside_ms": float(np.mean(outside)),
    }


def counted(client: Client) -> int:
    """Requests that the server has counted since start."""
    return int(client.call("GET", "/performance/status")[1]["requests"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.observer", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    found: dict[int, list[dict[str, Any]]] = {1: [], 50: []}
    with tempfile.TemporaryDirectory(prefix="observer-") as scratch:
        folder = Path(scratch)
        write_repository(given.models, folder)
        script = write_script(folder / "rows.lua", rows_of(given.models))
        with serving(folder) as (port, _):
            base = f"http://127.0.0.1:{port}"
            until_ready(f"{base}/v2/health/ready")
            time.sleep(SETTLE_S)  # the console is being built
            client = Client(port)
            for _ in tqdm(range(given.runs), unit="run"):
                for connections, runs in found.items():
                    noop = wrk(f"{base}/performance/noop", connections, 3)
                    time.sleep(2)
                    url = f"{base}/v2/models/breast_cancer/infer"
                    before = counted(client)
                    seen = wrk(url, connections, given.seconds, script)
                    time.sleep(1.2)
                    ours = told(client, given.seconds)
                    more = counted(client) - before - seen.requests
                    runs.append({"seen": seen, "noop": noop, "told": ours, "more": more})
    p50 = [(r["told"]["p50_ms"] + r["noop"].p50_ms) / r["seen"].p50_ms for r in found[1]]
    mean = [(r["told"]["mean_ms"] + r["told"]["outside_ms"]) / r["seen"].mean_ms for r in found[50]]
    print("| connections | wrk, ms | console, ms | beside it, ms | sum / wrk |")
    print("|---:|---:|---:|---:|---:|")
    for connections, runs in found.items():
        for run, ratio in zip(runs, p50 if connections == 1 else mean, strict=True):
            seen, ours = run["seen"], run["told"]
            line = (
                (seen.p50_ms, ours["p50_ms"], run["noop"].p50_ms)
                if connections == 1
                else (seen.mean_ms, ours["mean_ms"], ours["outside_ms"])
            )
            shown = " | ".join(f"{value:.4f}" for value in line)
            print(f"| {connections} | {shown} | {ratio:.3f} |")
    extra = [run["more"] for runs in found.values() for run in runs]
    print(f"\nmedians: p50 {np.median(p50):.3f}, mean {np.median(mean):.3f}")
    print(f"requests the server counted beyond wrk's, in flight at its end: {extra}")
    counts = all(0 <= more <= 50 for more in extra)
    within = abs(np.median(p50) - 1) <= P50_BOUND and abs(np.median(mean) - 1) <= MEAN_BOUND
    return 0 if within and counts else 1


if __name__ == "__main__":
    raise SystemExit(main())
