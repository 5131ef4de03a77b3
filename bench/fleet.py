"""Merged percentiles of a fleet beside those of the pooled samples, and what a pull costs.

Some processes answer requests of different speeds, all of them recorded; each writes the duration
of every request to a file. One of them watches the others. What it tells of all together is held
against the percentiles of all files together, and against the mean of the processes' own
percentiles, which is what a fleet must not be told by.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import urllib3

from bench.__main__ import ROOT
from bench.recorded_server import VARIABLE, samples_in
from bench.serving import Client
from engine.fleet.fleet import Fleet
from engine.fleet.steps import PERCENTILES

MODEL = """
import time

class Known:
    def load(self, folder): pass

    def predict(self, inputs):
        x = inputs["x"]
        time.sleep(max(0.0, x[0, 0]) / 1000)
        return {"doubled": x * 2}
"""
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 2]\n'
CALLERS = 6
"""Connections to each process."""
BOUND_PERCENT = 1.0
"""The histogram's error."""
PULLS = 400
SETTLE_S = 60.0
EXPORT = "/performance/fleet/export"


@dataclass(frozen=True)
class Speed:
    """How long requests of one process take: lognormal, ms; and every so manyth is `slow_ms`."""

    median_ms: float
    spread: float
    slow_ms: float = 0.0
    every: int = 0

    def latency_ms(self, rng: np.random.Generator, number: int) -> float:
        if self.every and number % self.every == 0:
            return self.slow_ms
        return float(self.median_ms * rng.lognormal(0, self.spread))


SPEEDS = (Speed(3, 0.3), Speed(12, 0.5), Speed(40, 0.8, 400, 50), Speed(6, 0.2))


@dataclass
class Process:
    """One server under load. samples: its file."""

    port: int
    child: subprocess.Popen[str]
    samples: Path


def write_model(folder: Path) -> None:
    """A repository of one model that takes as long as it is told to."""
    place = folder / "models/known/1"
    place.mkdir(parents=True)
    (place / "model.py").write_text(MODEL)
    (place.parent / "model.toml").write_text(TOML)
    digest = hashlib.sha256(MODEL.encode()).hexdigest()
    (folder / "trusted.sha256").write_text(f"{digest}  model.py\n")
    (folder / "trusted.sha256").chmod(0o600)


def start(folder: Path, number: int, port: int, *flags: str) -> Process:
    """A recorded server over the model of `folder`; it answers once `wait` returns."""
    samples = folder / f"samples-{number}"
    command = [sys.executable, "-m", "bench.recorded_server", "serve", "--port", str(port)]
    command += ["--models", str(folder / "models"), "--state", str(folder / f"state-{number}")]
    command += ["--trust-file", str(folder / "trusted.sha256"), "--cpu-slots", str(CALLERS)]
    command += ["--batching", "off", "--audit-interval-s", "0", "--result-cache", "off"]
    command += ["--response-cache", "off", *flags]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    environ[VARIABLE] = str(samples)
    child = subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=subprocess.DEVNULL)
    return Process(port, child, samples)


def wait(process: Process) -> None:
    """Return once its model answers. Raises RuntimeError."""
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end:
        try:
            if Client(process.port).call("GET", "/v2/health/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server at port {process.port} did not start")


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def load(process: Process, speed: Speed, seconds: float, seed: int) -> None:
    """One caller's requests, each after the other."""
    client, rng, end = Client(process.port), np.random.default_rng(seed), time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        latency_ms = speed.latency_ms(rng, number)
        spec = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [latency_ms, number]}
        status, _ = client.call("POST", "/v2/models/known/infer", {"inputs": [spec]})
        if status != 200:
            raise RuntimeError(f"answered {status}")


def under_load(processes: Sequence[Process], seconds: float) -> None:
    """Load on all at once, each of its own speed."""
    threads = [
        threading.Thread(
            target=load, args=(process, SPEEDS[at % len(SPEEDS)], seconds, 100 * at + n)
        )
        for at, process in enumerate(processes)
        for n in range(CALLERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def told_of_all(processes: Sequence[Process]) -> dict[str, Any]:
    """What the first process tells once it has heard of every request. Raises RuntimeError."""
    end, client = time.monotonic() + 15, Client(processes[0].port)
    while time.monotonic() < end:
        fleet: dict[str, Any] = client.call("GET", "/performance/fleet")[1]["fleet"]
        if fleet["merged"]["requests"] == sum(len(samples_in(one.samples)) for one in processes):
            return fleet
        time.sleep(0.5)
    raise RuntimeError(f"told of {fleet['merged']['requests']} requests, which is not all")


def compared(processes: Sequence[Process], fleet: dict[str, Any]) -> list[dict[str, Any]]:
    """Each percentile: merged, of the pooled samples, and the mean of the processes' own."""
    pooled = np.concatenate([samples_in(process.samples) for process in processes]) / 1e6
    rows = []
    for name, share in PERCENTILES.items():
        exact = float(np.quantile(pooled, share, method="inverted_cdf"))
        own = [peer[name] for peer in fleet["peers"] if peer["live"] and peer[name] is not None]
        merged, wrong = float(fleet["merged"][name]), float(np.mean(own))
        rows.append(
            {
                "name": name.removesuffix("_ms").replace("_", "."),
                "pooled_ms": exact,
                "merged_ms": merged,
                "error_percent": 100 * (merged - exact) / exact,
                "mean_ms": wrong,
                "mean_error_percent": 100 * (wrong - exact) / exact,
            }
        )
    return rows


def cost_of_a_pull(process: Process, since: int) -> dict[str, float]:
    """CPU, us, of one pull on each side, and its bytes; of a whole first one too.

    since: what the pull is after, two busy seconds and the idle ones that followed.
    """
    http = urllib3.PoolManager(maxsize=1, retries=False)
    url = f"http://127.0.0.1:{process.port}{EXPORT}"
    whole = http.request("GET", url).data
    first = json.loads(whole)
    cpu, fleet = psutil.Process(process.child.pid), Fleet("bench", 2.0)
    fleet.follow([url])
    before, own_ns, asked_ns, size = cpu.cpu_times(), 0, 0, 0
    began_s = time.monotonic()
    for _ in range(PULLS):
        begun_ns = time.thread_time_ns()
        content = http.request("GET", f"{url}?since={since}&run={first['run']}").data
        asked_ns += time.thread_time_ns() - begun_ns
        begun_ns = time.thread_time_ns()
        fleet.answered(url, content, time.time(), time.time())
        own_ns += time.thread_time_ns() - begun_ns
        size += len(content)
    took_s, after = time.monotonic() - began_s, cpu.cpu_times()
    used = after.user + after.system - before.user - before.system
    idle = idle_cpu_s(cpu, took_s)
    return {
        "server_us": 1e6 * max(0.0, used - idle) / PULLS,
        "asking_us": asked_ns / 1e3 / PULLS,
        "merging_us": own_ns / 1e3 / PULLS,
        "bytes": size / PULLS,
        "whole_bytes": float(len(whole)),
    }


def idle_cpu_s(cpu: psutil.Process, seconds: float) -> float:
    """What a process uses in so long without being asked."""
    before = cpu.cpu_times()
    time.sleep(seconds)
    after = cpu.cpu_times()
    return float(after.user + after.system - before.user - before.system)


def run(count: int, seconds: float, folder: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Start, load, compare, measure; everything is stopped at the end."""
    write_model(folder)
    ports = free_ports(count)
    peers = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    with ExitStack() as stack:
        processes = []
        for number, port in enumerate(ports):
            flags = ("--peers", peers) if number == 0 else ()
            process = start(folder, number, port, *flags)
            stack.callback(process.child.wait, 60)
            stack.callback(process.child.terminate)
            processes.append(process)
        for process in processes:
            wait(process)
        under_load(processes, seconds)
        ended = Client(processes[1].port).call("GET", EXPORT)[1]["seq"]
        rows = compared(processes, told_of_all(processes))
        counts = [len(samples_in(process.samples)) for process in processes]
        print(
            f"{count} processes, {sum(counts):,} requests: {', '.join(map('{:,}'.format, counts))}"
        )
        return rows, cost_of_a_pull(processes[1], ended - 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40, help="of load, at most 45")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, cost = run(arguments.processes, min(45.0, arguments.seconds), Path(folder))
    heads = ("pooled, ms", "merged, ms", "off by", "mean of them", "off by")
    print(" " * 6 + "".join(f"{head:>13}" for head in heads))
    for row in rows:
        print(
            f"{row['name']:6}{row['pooled_ms']:13.3f}{row['merged_ms']:13.3f}"
            f"{row['error_percent']:+12.2f}%{row['mean_ms']:13.3f}{row['mean_error_percent']:+12.1f}%"
        )
    print(
        f"a pull: {cost['server_us']:.0f} us CPU of the peer, {cost['asking_us']:.0f} + "
        f"{cost['merging_us']:.0f} us to ask and to merge, {cost['bytes']:,.0f} bytes; "
        f"the first one {cost['whole_bytes']:,.0f} bytes"
    )
    worst = max(abs(row["error_percent"]) for row in rows)
    print(f"largest error {worst:.2f} %, bound {BOUND_PERCENT:g} %")
    return 0 if worst <= BOUND_PERCENT else 1


if __name__ == "__main__":
    raise SystemExit(main())
