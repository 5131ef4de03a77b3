"""Servers and a router for a measurement, each pinned to a core, and what they spend."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.__main__ import ROOT
from bench.processors import pinned
from bench.serving import serving

READY_WITHIN_S = 300.0
FLAGS = (
    # What costs processor time without a request, or makes one request's cost another's.
    *("--spin-us", "0", "--reload-interval-s", "0", "--audit-interval-s", "0"),
    *("--batching", "off", "--result-cache", "off", "--response-cache", "off"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """A running server. pid: of its process, or of the router's worker."""

    url: str
    pid: int


@contextmanager
def node(folder: Path, preload: str, cores: Sequence[int] | None, slots: int) -> Iterator[Node]:
    """A server over `folder`/models, its plans kept in `folder`/state, with warm models."""
    flags = (*FLAGS, "--preload", preload, "--cpu-slots", str(slots))
    with pinned(cores):
        started = serving(folder, *flags)
        port, pid = started.__enter__()
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_ready(url)
        yield Node(url, pid)
    finally:
        started.__exit__(None, None, None)


def _wait_ready(url: str) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} was not ready within {READY_WITHIN_S:g} s")


def nginx() -> str | None:
    """The program, where it is installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def router(folder: Path, nodes: Sequence[Node]) -> Iterator[Node]:
    """nginx with deploy/nginx-fleet.conf, one worker, in front of two nodes."""
    program = nginx()
    if program is None:
        raise RuntimeError("nginx is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    text = (ROOT / "deploy/nginx-fleet.conf").read_text()
    for shipped, here in (
        ("pyrometer-a:8050", nodes[0].url.removeprefix("http://")),
        ("pyrometer-b:8050", nodes[1].url.removeprefix("http://")),
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("/tmp/nginx", f"{folder}/nginx"),
        ("worker_processes auto", "worker_processes 1"),
        ("access_log /dev/stdout fleet", "access_log off"),
    ):
        text = text.replace(shipped, here)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield Node(f"http://127.0.0.1:{port}", _worker_of(process.pid))
    finally:
        process.terminate()
        process.wait(10)


def _worker_of(master: int) -> int:
    children = Path(f"/proc/{master}/task/{master}/children")
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = children.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.02)
    raise RuntimeError("nginx has started no worker")


def run_totals(url: str, model: str) -> tuple[float, float]:
    """Seconds of a model's runs and requests for it since the start, by its server's metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        return totals_in(answer.read().decode(), model)


def totals_in(text: str, model: str) -> tuple[float, float]:
    """The same, from the text of /metrics."""
    asked_of = f'model="{model}"'
    lines = [line for line in text.splitlines() if asked_of in line]
    runs = [line for line in lines if 'phase="inference"' in line]
    runs_s = _sum_of(runs, "pyrometer_phase_seconds_total")
    return runs_s, _sum_of(lines, "pyrometer_requests_total")


def _sum_of(lines: Sequence[str], family: str) -> float:
    """Values of a family's samples; routes in their labels have braces and blanks of their own."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{family}{{"))
