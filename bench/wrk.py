"""wrk as the load generator: different rows in turn, one request each."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Window:
    """What wrk said of one window. failed: errors of the socket and statuses over 399.

    requests: all that were answered.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    requests: int


def body_of(rows: np.ndarray, name: str = "input") -> bytes:
    """A V2 request of rows (n, width)."""
    tensor = {
        "name": name,
        "datatype": "FP64",
        "shape": list(rows.shape),
        "data": rows.reshape(-1).tolist(),
    }
    return json.dumps({"inputs": [tensor]}).encode()


def write_script(path: Path, rows: np.ndarray, *, caches: bool = False, batch: int = 1) -> Path:
    """A wrk script that sends the rows in turn and reports p50, p99 and failures.

    caches: cached answers are allowed. batch: rows of one request.
    """
    bodies = [
        body_of(rows[first : first + batch]).decode()
        for first in range(0, len(rows) - batch + 1, batch)
    ]
    listed = ",\n".join(f"[==[{body}]==]" for body in bodies)
    refuse = "" if caches else ', ["cache-control"] = "no-cache"'
    path.write_text(
        f"local bodies = {{\n{listed}\n}}\nlocal i = 0\n"
        f'local headers = {{["content-type"] = "application/json"{refuse}}}\n'
        "request = function()\n  i = i % #bodies + 1\n"
        '  return wrk.format("POST", wrk.path, headers, bodies[i])\nend\n'
        "done = function(summary, latency)\n"
        "  local e = summary.errors\n"
        '  print(string.format("RESULT %f %f %d", latency:percentile(50) / 1000,\n'
        "    latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))\n"
        "end\n"
    )
    return path


def measure(
    url: str, connections: int, script: Path | None, seconds: float, seed: int | None = None
) -> Window:
    """One window of load. seed: handed to the script. Raises RuntimeError when wrk fails."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s"]
    command += ["-s", str(script)] if script else ["--latency"]
    command += [url] if seed is None else [url, "--", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return read_window(done.stdout)


def read_window(said: str) -> Window:
    """wrk's words as figures."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    count = re.search(r"(\d+) requests in", said)
    result = re.search(r"RESULT ([\d.]+) ([\d.]+) (\d+)", said)
    if rate is None or count is None:
        raise RuntimeError(f"wrk said something else:\n{said}")
    if result is None:
        p50, p99 = (_ms(said, share) for share in ("50%", "99%"))
        failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        return Window(float(rate[1]), p50, p99, int(failed[1]) if failed else 0, int(count[1]))
    return Window(float(rate[1]), float(result[1]), float(result[2]), int(result[3]), int(count[1]))


def _ms(said: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", said)
    if found is None:
        raise RuntimeError(f"wrk said something else:\n{said}")
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]
