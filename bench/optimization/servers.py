"""The servers that are measured: started as child processes, watched, ended."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.optimization.figures import BEFORE, WARM

ROOT = Path(__file__).parent.parent.parent
START_LIMIT_S = 60.0
ASK_EVERY_S = 0.002
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
NOTHING = "(nothing)"
"""A name of no model, to preload."""


@dataclass(slots=True)
class Running:
    """A server that answers. started: perf_counter when its process was started. said: its log."""

    process: subprocess.Popen[bytes]
    port: int
    started_s: float
    said: Path

    def last_words(self) -> str:
        """The last line that it wrote, for an error."""
        lines = self.said.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "no reason given"

    @property
    def watched(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def memory_mb(self) -> float:
        """Resident memory, 10^6 bytes."""
        return float(self.watched.memory_info().rss / 1e6)

    def peak_mb(self) -> float | None:
        """The most resident memory so far; None where the system does not tell."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return None if kilobytes is None else int(kilobytes) * 1024 / 1e6

    def cpu_s(self) -> float:
        """Processor time so far, seconds."""
        return float(sum(self.watched.cpu_times()[:2]))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_LIMIT_S)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content)
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw or b"null") if answer.status < 400 else None
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Places:
    """Where models lie, and a scratch folder for the state of the servers."""

    models: Path
    scratch: Path

    def command(self, form: str, port: int, preload: str) -> list[str]:
        """How a form is started. preload: a model to load at start, "" for its own choice."""
        if form == BEFORE:
            return [sys.executable, "-m", "bench.optimization.before", str(self.models), str(port)]
        flags = ["--optimise", "off"] if form == WARM else []
        flags += ["--preload", preload] if preload else []
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        command += ["--models", str(self.models), "--state", str(self.scratch / f"state-{form}")]
        return [*command, "--trust-file", str(self.models.parent / "trusted.sha256"), *flags]

    def keep_plans(self, state: Path, form: str) -> None:
        """Give the form's state the plans that another state folder has."""
        if (state / "plans").is_dir():
            shutil.copytree(
                state / "plans", self.scratch / f"state-{form}" / "plans", dirs_exist_ok=True
            )


@contextmanager
def running(places: Places, form: str, preload: str = "") -> Iterator[Running]:
    """A server from the start of its process; it need not answer yet."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    for name in ("HOST", "PORT"):
        environment.pop(name, None)
    said = places.scratch / f"{form}.log"
    started_s = time.perf_counter()
    process = subprocess.Popen(
        places.command(form, port, preload),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said.open("w"),
    )
    try:
        yield Running(process, port, started_s, said)
    finally:
        # Nothing that ends the run early may leave a server behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def first_answer_ms(server: Running, path: str, body: bytes | None) -> float:
    """Milliseconds from the start of the process to a 200. body: None is a GET.

    A client asks without pause. Raises RuntimeError where none comes.
    """
    while True:
        status = _status(server.port, path, body)
        if status == 200:
            return 1e3 * (time.perf_counter() - server.started_s)
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended while starting: {server.last_words()}")
        if time.perf_counter() - server.started_s > START_LIMIT_S:
            told = f"status {status}; {server.last_words()}" if status else "no answer"
            raise RuntimeError(f"not ready within {START_LIMIT_S:g} s: {told}")
        time.sleep(ASK_EVERY_S)


def _status(port: int, path: str, body: bytes | None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT_S)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request("GET" if body is None else "POST", path, body, headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
