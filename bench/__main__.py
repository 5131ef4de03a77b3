"""`make bench`: this server beside naive Flask + scikit-learn, same machine, same run.

Both serve the bundled random forest (100 trees, 30 features). wrk sends 500 different
rows, one per request, in alternating windows; result caching is refused by a header. Needs
wrk on the PATH. The table goes to bench/results.md.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
PATH = "/v2/models/breast_cancer/infer"
CONNECTIONS = (1, 50)
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Case:
    """A server to measure: its name, its command with {port} in it, and its URL path."""

    name: str
    command: Sequence[str]
    port: int
    path: str = PATH


@dataclass(frozen=True)
class Window:
    """What wrk said of one window."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


def cases(models: Path, state: Path) -> list[Case]:
    """Pyrometer through both doors, and the naive server."""
    serve = [sys.executable, "-m", "app.cli", "serve", "--models", str(models)]
    serve += ["--state", str(state), "--port", "{port}"]
    naive = [sys.executable, "-m", "bench.naive_flask", str(models), "{port}"]
    return [
        Case("Pyrometer", serve, 8151),
        Case("Pyrometer, through Flask's routes", [*serve, "--http-door", "flask"], 8152),
        Case("Flask (threaded) + scikit-learn", naive, 8153),
    ]


def write_wrk_script(path: Path, rows: np.ndarray) -> None:
    """A wrk script that sends the rows in turn and reports p50, p99 and failures."""
    bodies = [
        json.dumps(
            {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, len(row)], "data": row}]}
        )
        for row in rows.tolist()
    ]
    listed = ",\n".join(f"[==[{body}]==]" for body in bodies)
    path.write_text(
        f"local bodies = {{\n{listed}\n}}\nlocal i = 0\n"
        'local headers = {["content-type"] = "application/json", ["cache-control"] = "no-cache"}\n'
        "request = function()\n  i = i % #bodies + 1\n"
        f'  return wrk.format("POST", wrk.path, headers, bodies[i])\nend\n'
        "done = function(summary, latency)\n"
        "  local e = summary.errors\n"
        '  print(string.format("RESULT %f %f %d", latency:percentile(50) / 1000,\n'
        "    latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))\n"
        "end\n"
    )


def measure(case: Case, connections: int, script: Path, seconds: float) -> Window:
    """One window of load against a running case."""
    url = f"http://127.0.0.1:{case.port}{case.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    result = re.search(r"RESULT ([\d.]+) ([\d.]+) (\d+)", said)
    if rate is None or result is None:
        raise RuntimeError(f"wrk said something else:\n{said}")
    return Window(float(rate[1]), float(result[1]), float(result[2]), int(result[3]))


@contextmanager
def running(case: Case) -> Iterator[None]:
    """The case's server, from ready to stopped."""
    command = [part.replace("{port}", str(case.port)) for part in case.command]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait_ready(case, process)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_ready(case: Case, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{case.port}/v2/health/ready"):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{case.name} did not become ready")


def table(results: dict[tuple[str, int], list[Window]], names: Sequence[str]) -> str:
    """Medians over the windows, and the ratio of requests/s to the last case."""
    lines = [
        "| server | connections | requests/s | ratio | p50, ms | p99, ms | failed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for connections in CONNECTIONS:
        base = [w.requests_per_s for w in results[names[-1], connections]]
        for name in names:
            windows = results[name, connections]
            ratios = [w.requests_per_s / b for w, b in zip(windows, base, strict=True)]
            lines.append(
                f"| {name} | {connections} "
                f"| {statistics.median(w.requests_per_s for w in windows):,.0f} "
                f"| {statistics.median(ratios):.1f}x "
                f"| {statistics.median(w.p50_ms for w in windows):.3f} "
                f"| {statistics.median(w.p99_ms for w in windows):.3f} "
                f"| {sum(w.failed for w in windows)} |"
            )
    return "\n".join(lines)


def run_windows(
    chosen: Sequence[Case], models: Path, scratch: Path, windows: int, seconds: float
) -> dict[tuple[str, int], list[Window]]:
    """Alternating windows of every case, one server at a time, by (name, connections).

    An idle peer must not cost the one measured. Each server is warmed for a second first.
    """
    with np.load(models / "breast_cancer/1/samples.npz") as samples:
        rows = samples["input"]
    script = scratch / "rows.lua"
    write_wrk_script(script, np.concatenate([rows, rows * 1.001])[:500])
    results: dict[tuple[str, int], list[Window]] = {}
    for window in range(windows):
        for case in chosen:
            with running(case):
                measure(case, 10, script, 1)
                for connections in CONNECTIONS:
                    measured = measure(case, connections, script, seconds)
                    results.setdefault((case.name, connections), []).append(measured)
        print(f"window {window + 1} of {windows}", file=sys.stderr, flush=True)
    return results


def compare(
    prog: str, description: str | None, cases_of: Callable[[Path, Path], list[Case]]
) -> str | None:
    """Read the command line, measure the cases and return their table; None without wrk.

    cases_of: (models, state) -> cases.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=5, help="alternating windows a case")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window, s")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        print(f"{prog} needs wrk (Debian: apt-get install wrk)", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as scratch:
        chosen = cases_of(arguments.models, Path(scratch) / "state")
        results = run_windows(
            chosen, arguments.models, Path(scratch), arguments.windows, arguments.seconds
        )
    return table(results, [case.name for case in chosen])


def main() -> int:
    text = compare("bench", __doc__, cases)
    if text is None:
        return 2
    (ROOT / "bench/results.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
