"""A closed loop sent by wrk: for the most that a server can answer.

wrk keeps its latencies in whole microseconds up to the timeout; a script hands over the whole
distribution, so that percentiles here are read from it and not from wrk's own summary. wrk
adds, for every latency beyond its mean interval, those that such a wait has kept from being
sent (stats_correct); the run says so. It has no warm-up, no time series and no server time.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.lab.lab import Cancel, Progress
from bench.lab.outcome import surroundings
from bench.lab.payloads import build
from bench.lab.spec import LabSpec
from bench.lab.store import new_id
from bench.lab.tally import COLUMNS, Tally, histogram_record
from bench.lab.target import Target
from engine.errors import PyrometerError

DONE = """
done = function(summary, latency)
  local e = summary.errors
  print(string.format("TOTAL %d %d %d %d %d", summary.duration, summary.requests,
    e.connect + e.read + e.write, e.status, e.timeout))
  for i = 1, #latency do
    local value, count = latency(i)
    print(string.format("CELL %d %d", value, count))
  end
end
"""
NOTE = "wrk adds what each long wait kept from being sent (stats_correct)"


def script_of(bodies: list[bytes], cache: bool) -> str:
    """A wrk script that sends the bodies in turn and prints the distribution."""
    listed = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies)
    headers = '{["content-type"] = "application/json"'
    headers += "}" if cache else ', ["cache-control"] = "no-cache"}'
    return (
        f"local bodies = {{\n{listed}\n}}\nlocal headers = {headers}\nlocal i = 0\n"
        "request = function()\n  i = i % #bodies + 1\n"
        f'  return wrk.format("POST", wrk.path, headers, bodies[i])\nend\n{DONE}'
    )


def run(spec: LabSpec, target: Target, on_progress: Progress, cancel: Cancel) -> dict[str, Any]:
    """A closed loop by wrk, as a record. Raises PyrometerError where wrk is missing or fails.

    Cancelled, wrk is told to stop and sums up what it has.
    """
    if shutil.which("wrk") is None:
        raise PyrometerError("generator is wrk, which is not installed (apt-get install wrk)")
    payload = build(spec, target)
    bodies = [shot.raw.split(b"\r\n\r\n", 1)[1] for shot in payload.shots]
    url = f"{target.url}{target.model_path(spec.model, spec.version)}/infer"
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="wrk-") as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(script_of(bodies, spec.payload.cache))
        command = ["wrk", "-t1", f"-c{spec.connections}", f"-d{max(1, round(spec.seconds))}s"]
        command += ["--timeout", f"{max(1, round(spec.timeout_s))}s", "-s", str(script), url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        cancel.listeners.append(lambda: process.send_signal(signal.SIGINT))
        with cancel.by_signals():
            said = _wait(process, spec, on_progress)
    return _record(spec, said, started, payload.source, cancel.asked)


def _wait(process: subprocess.Popen[bytes], spec: LabSpec, on_progress: Progress) -> str:
    """What wrk printed; tells once a second that it goes on, of which it says nothing itself."""
    began = time.monotonic()
    try:
        while True:
            try:
                return process.communicate(timeout=1.0)[0].decode("utf-8", "replace")
            except subprocess.TimeoutExpired:
                on_progress(_silent_progress(time.monotonic() - began, spec))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _silent_progress(elapsed_s: float, spec: LabSpec) -> dict[str, Any]:
    unknown = ("requested_per_s", "p50_ms", "p95_ms", "p99_ms", "service_p99_ms")
    return {
        "type": "progress",
        "elapsed_s": round(elapsed_s, 3),
        "seconds": spec.seconds,
        "phase": "run",
        "step": None,
        "steps": None,
        "achieved_per_s": 0.0,
        "requests": 0,
        "errors": 0,
        **dict.fromkeys((*unknown, "server_p50_ms", "server_p99_ms")),
    }


def _record(
    spec: LabSpec, said: str, started: float, source: str, cancelled: bool
) -> dict[str, Any]:
    total = re.search(r"TOTAL (\d+) (\d+) (\d+) (\d+) (\d+)", said)
    if total is None:
        raise PyrometerError(f"wrk failed: {said.strip()[-300:]}")
    duration_us, requests, sockets, statuses, timeouts = (int(text) for text in total.groups())
    texts = {"socket errors": sockets, "status over 399": statuses, "timeouts": timeouts}
    tally = tally_of(said)
    errors = sockets + statuses + timeouts
    why = None if requests else "nothing was answered"
    if cancelled:
        why = f"it was cancelled after {duration_us / 1e6:.1f} s"
    return {
        "id": new_id(started),
        "kind": "load",
        "name": spec.name,
        "started": round(started, 3),
        "ended": round(time.time(), 3),
        **surroundings(),
        "spec": spec.as_dict(),
        "valid": why is None,
        "invalid_because": why,
        "cancelled": cancelled,
        "requests": requests + sockets + timeouts,
        "errors": errors,
        "statuses": {"200": requests - statuses},
        "error_texts": {text: count for text, count in texts.items() if count},
        "requested_per_s": None,
        "achieved_per_s": round(requests / max(duration_us / 1e6, 1e-9), 2),
        "lag_percent": None,
        "latency_ms": tally.latency.figures(),
        "service_ms": tally.latency.figures(),
        "server_ms": None,
        "series": {"columns": list(COLUMNS), "points": []},
        "histogram": histogram_record(tally.latency.counts),
        "expected_errors": 0,
        "steps": None,
        "highest_within_slo_per_s": None,
        "payload": source,
        "generator": {"name": "wrk", "version": _version(), "note": NOTE},
    }


def tally_of(said: str) -> Tally:
    """The distribution that the script printed: microseconds and how often."""
    cells = re.findall(r"CELL (\d+) (\d+)", said)
    tally = Tally()
    if cells:
        values_us, counts = np.array(cells, dtype=np.int64).T
        tally.latency.add(values_us * 1000, counts)
    return tally


def _version() -> str:
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return (said.split("\n", 1)[0].split("Copyright")[0]).removeprefix("wrk").strip()[:60]
