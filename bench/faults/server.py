"""A server process that may be stopped, starved, killed and sabotaged."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.__main__ import ROOT
from bench.faults.callers import Caller, Tally
from bench.faults.repository import Question, Repository

START_S = 60.0
RECOVERY_S = 60.0
LOOK_EVERY_S = 0.02
SABOTAGE = "bench.faults.sabotage"


def until(condition: Callable[[], object], deadline_s: float) -> bool:
    """Whether a condition came to hold within the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


class Server:
    """`pyrometer serve` over a folder with `models`, `state` and `trusted.sha256`.

    log: what it said on standard error, over all its starts.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder, self.port = folder, 0
        self.log = folder / "server.log"
        self._flags = flags
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()

    def start(self, wait_ready: bool = True) -> None:
        """Start it, or start it again; on the same port. Raises RuntimeError where it does not."""
        command = [sys.executable, "-m", SABOTAGE, "serve", "--port", str(self.port)]
        command += ["--models", str(self.folder / "models"), "--state", str(self.state)]
        command += ["--trust-file", str(self.folder / "trusted.sha256"), *self._flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                env={k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")},
            )
        self.port = self._port()
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()
        if wait_ready and not until(lambda: self.status("/v2/health/ready") == 200, START_S):
            raise RuntimeError("the server did not become ready")

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def _port(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "http://" in line:
                return int(line.split("http://")[1].split("/")[0].rsplit(":", 1)[1])
        tail = self.log.read_text(errors="replace")[-400:]
        raise RuntimeError(f"the server did not start: {tail}")

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("done "):
                self._said.put(line.removeprefix("done ").strip())

    def tell(self, command: str) -> str:
        """Have something broken, see bench/faults/sabotage.py; what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        said = self._said.get(timeout=30)
        if said.startswith("failed"):
            raise RuntimeError(f"{command}: {said}")
        return said

    def get(self, path: str, body: Any = None, timeout_s: float = 30) -> Any:
        """The JSON of a GET, or of a POST where there is a body. Raises OSError."""
        return json.loads(self._read(path, body, timeout_s) or b"null")

    def _read(self, path: str, body: Any, timeout_s: float) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return bytes(answer.read())

    def status(self, path: str, body: Any = None, timeout_s: float = 30) -> int:
        """The status of a GET, or of a POST where there is a body; 0 where nothing answers."""
        try:
            self._read(path, body, timeout_s)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
        return 200

    def health_ms(self) -> float:
        """How long a look at its health takes, on a connection of its own; inf where it fails."""
        began_s = time.perf_counter()
        good = self.status("/v2/health/live", timeout_s=10) == 200
        return 1e3 * (time.perf_counter() - began_s) if good else float("inf")

    def recovered_s(self, question: Question, since_s: float) -> float:
        """Seconds from a moment, monotonic, to the next right answer; inf where none comes."""

        def answers() -> bool:
            caller, tally = Caller(self.port, timeout_s=5), Tally()
            caller.ask(question, tally)
            caller.close()
            return bool(tally.right)

        good = until(answers, RECOVERY_S)
        return time.monotonic() - since_s if good else float("inf")

    @property
    def about(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, wait_s: float = 60.0) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired."""
        return self.process.wait(wait_s)

    def stop(self) -> int:
        """SIGTERM, then its exit status; killed where it does not end."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.ended()
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.ended()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault is tried: models that are planned, and a scratch folder of its own."""

    repository: Repository
    scratch: Path

    @contextlib.contextmanager
    def server(self, *flags: str, starts: bool = True) -> Iterator[Server]:
        """A server over a copy of the repository. starts: False leaves that to the caller."""
        number = len(list(self.scratch.glob("server-*")))
        folder = self.repository.copy(self.scratch / f"server-{number}")
        server = Server(folder, *flags)
        try:
            if starts:
                server.start()
            yield server
        finally:
            if hasattr(server, "process"):
                server.stop()
