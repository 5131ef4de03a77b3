"""Fifty connections at once, by wrk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from bench.optimization.servers import Running
from bench.wrk import measure

CONNECTIONS = 50
NO_WRK = "wrk is not on this machine (Debian: apt-get install wrk)"


class Peak(NamedTuple):
    """A window of load. cpu_percent: of the server's process, 100 is one core."""

    requests_per_s: float
    p99_ms: float
    requests: int
    failed: int
    cpu_percent: float


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def write_bodies(path: Path, bodies: list[bytes]) -> Path:
    """A wrk script that sends the bodies in turn, caches refused."""
    listed = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies)
    path.write_text(
        f"local bodies = {{\n{listed}\n}}\nlocal i = 0\n"
        'local headers = {["content-type"] = "application/json", '
        '["cache-control"] = "no-cache"}\n'
        "request = function()\n  i = i % #bodies + 1\n"
        '  return wrk.format("POST", wrk.path, headers, bodies[i])\nend\n'
        "done = function(summary, latency)\n"
        "  local e = summary.errors\n"
        '  print(string.format("RESULT %f %f %d", latency:percentile(50) / 1000,\n'
        "    latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))\n"
        "end\n"
    )
    return path


def peak(server: Running, path: str, script: Path, seconds: float) -> Peak:
    """One window at CONNECTIONS connections. Raises RuntimeError where wrk fails."""
    before_s = server.cpu_s()
    window = measure(f"http://127.0.0.1:{server.port}{path}", CONNECTIONS, script, seconds)
    cpu_percent = 100 * (server.cpu_s() - before_s) / seconds
    requests = round(window.requests_per_s * seconds)
    return Peak(window.requests_per_s, window.p99_ms, requests, window.failed, cpu_percent)
