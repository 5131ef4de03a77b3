"""What tests share: the bundled models, built once, and real servers on free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import bundled
from tests.waiting import until

ROOT = Path(__file__).parent.parent
START_DEADLINE_S = 120


@pytest.fixture(scope="session")
def bundled_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five bundled models, to be changed as a test pleases."""
    return bundled.copy_models(tmp_path_factory.mktemp("repository") / "models")


@dataclass
class RunningServer:
    """A real server process."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Return once /v2/health/ready answers 200; fail at the deadline."""

        def ready() -> bool:
            assert self.process.poll() is None, "the server ended while starting"
            return self.answers("/v2/health/ready")

        until(ready, deadline_s, "ready")

    def answers(self, path: str) -> bool:
        """True when a GET of the path is answered with 2xx."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


StartServer = Callable[..., RunningServer]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def start_server() -> Iterator[StartServer]:
    """Starts `pyrometer serve`; every server started is stopped at the end."""
    started: list[RunningServer] = []

    def start(
        models: Path, state: Path, *flags: str, port: int | None = None, ready: bool = True
    ) -> RunningServer:
        port = port or free_port()
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        command += ["--models", str(models), "--state", str(state), *flags]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
        process = subprocess.Popen(command, cwd=ROOT, env=environ)
        server = RunningServer(process, port)
        started.append(server)
        if ready:
            server.wait_ready()
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait(10)


@pytest.fixture(scope="session")
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that holds plans of the bundled models, and nothing else."""
    folder = tmp_path_factory.mktemp("state")
    bundled.copy_plans(folder / "plans")
    return folder


@pytest.fixture(scope="session")
def server(start_server: StartServer, bundled_models: Path, shared_state: Path) -> RunningServer:
    """One server over the bundled models, default settings, warm."""
    return start_server(bundled_models, shared_state)


@pytest.fixture(scope="session")
def flask_door_server(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> RunningServer:
    """The same models through Flask's door; it uses the plans `server` has made."""
    running = start_server(bundled_models, shared_state, "--http-door", "flask")
    until(lambda: running.answers("/"), 30, "the console")
    return running
