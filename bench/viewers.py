"""What viewers of the console cost inference: `make viewers`.

Windows of load at 50 connections, alternately without viewers, with 100 that poll the live route
once a second as browsers do, and without again (A/A). Viewers are a process of their own: each a
connection, each asking for what it lacks, with gzip, at its own time of the second. Then their
cost alone: the server's CPU with and without them while nothing else is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from bench.loads import ratio_interval
from bench.models import rows_of, write_repository
from bench.serving import Client, serving, wait_settled
from bench.wrk import Window, measure, write_script

VIEWERS, CONNECTIONS = 100, 50
MODES = ("none", "viewers", "none, again (A/A)")
LEAST_RATE, MOST_P99, MOST_US, MOST_BYTES = 0.95, 1.10, 300.0, 2048


async def view(port: int, until_s: float, sizes: list[int]) -> None:
    """One viewer: a connection, and a poll a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    since, due_s = 0, time.monotonic() + random.random()
    try:
        while due_s < until_s:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            due_s += 1.0
            writer.write(
                f"GET /performance/live?since={since} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
                "accept-encoding: gzip, deflate\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(fields[b"content-length"]))
            if since:
                sizes.append(len(head) + len(body))
            since = json.loads(zlib.decompress(body, 31))["seq"]
    finally:
        writer.close()


def run_viewers(port: int, seconds: float) -> None:
    """VIEWERS viewers for so long; prints the mean bytes of an answer after the first."""

    async def all_of_them() -> list[int]:
        sizes: list[int] = []
        end_s = time.monotonic() + seconds
        await asyncio.gather(*(view(port, end_s, sizes) for _ in range(VIEWERS)))
        return sizes

    sizes = asyncio.run(all_of_them())
    print(json.dumps({"polls": len(sizes), "bytes": float(np.mean(sizes)), "most": max(sizes)}))


@contextmanager
def viewers(port: int, seconds: float, said: list[dict[str, float]]) -> Iterator[None]:
    """Viewers in a child process, there before the block begins."""
    command = [sys.executable, "-m", "bench.viewers", "--view", str(port), str(seconds + 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        time.sleep(1.5)
        yield
        said.append(json.loads(child.communicate(timeout=60)[0]))


def alone_us(port: int, process: psutil.Process, seconds: float) -> float:
    """CPU of one viewer-second, us, beside a server that nobody else asks."""

    def spent() -> float:
        return float(sum(process.cpu_times()[:2]))

    before = spent()
    time.sleep(seconds)
    idle_s = spent() - before
    said: list[dict[str, float]] = []
    before = spent()
    with viewers(port, seconds - 2, said):
        pass
    return 1e6 * max(0.0, spent() - before - idle_s) / said[0]["polls"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.viewers", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--view", nargs=2, type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.view:
        run_viewers(int(given.view[0]), given.view[1])
        return 0
    found: dict[str, list[Window]] = {mode: [] for mode in MODES}
    said: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="viewers-") as scratch:
        folder = Path(scratch)
        write_repository(given.models, folder)
        script = write_script(folder / "rows.lua", rows_of(given.models))
        with serving(folder) as (port, pid):
            wait_settled(Client(port), 4)
            url = f"http://127.0.0.1:{port}/v2/models/breast_cancer/infer"
            measure(url, CONNECTIONS, script, given.seconds)
            for _ in tqdm(range(given.windows), unit="round"):
                for mode in MODES:
                    if mode == "viewers":
                        with viewers(port, given.seconds, said):
                            window = measure(url, CONNECTIONS, script, given.seconds)
                    else:
                        window = measure(url, CONNECTIONS, script, given.seconds)
                    found[mode].append(window)
            cost_us = alone_us(port, psutil.Process(pid), 20.0)
    return report(found, said, cost_us)


def report(found: dict[str, list[Window]], said: list[dict[str, float]], cost_us: float) -> int:
    """Print the table; 0 where every bound holds."""
    print("| viewers | requests/s | ratio to none, 95 % | p99, ms | ratio to none, 95 % |")
    print("|---|---:|---|---:|---|")
    ratios = {}
    for mode, windows in found.items():
        rates, p99s = ([getattr(w, name) for w in windows] for name in ("requests_per_s", "p99_ms"))
        base = found["none"]
        rate = ratio_interval(rates, [w.requests_per_s for w in base])
        p99 = ratio_interval(p99s, [w.p99_ms for w in base])
        ratios[mode] = (rate[0], p99[0])
        print(
            f"| {mode} | {np.median(rates):,.0f} | {rate[0]:.3f} ({rate[1]:.3f} to {rate[2]:.3f}) "
            f"| {np.median(p99s):.2f} | {p99[0]:.3f} ({p99[1]:.3f} to {p99[2]:.3f}) |"
        )
    size = float(np.mean([one["bytes"] for one in said]))
    print(f"\n{VIEWERS} viewers; an answer has {size:.0f} bytes with its head, on average")
    print(f"a viewer-second costs the server {cost_us:.0f} us of CPU")
    kept, moved = ratios["viewers"]
    fine = kept >= LEAST_RATE and moved <= MOST_P99 and cost_us <= MOST_US and size < MOST_BYTES
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
