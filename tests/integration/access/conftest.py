"""Servers with settings of their own, and requests to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunningServer, free_port

API_KEY = "integration-" + "k" * 32
StartWith = Callable[..., RunningServer]


@pytest.fixture(scope="module")
def start_with(
    bundled_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartWith]:
    """Starts `pyrometer serve` with a key in its environment; stopped at the module's end."""
    started: list[RunningServer] = []

    def start(
        *flags: str,
        state: Path | None = None,
        environ: dict[str, str] | None = None,
        port: int | None = None,
        ready: bool = True,
    ) -> RunningServer:
        port = port or free_port()
        state = state or tmp_path_factory.mktemp("state")
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        command += ["--models", str(bundled_models), "--state", str(state)]
        command += ["--preload", "digits", *flags]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
        given = {"PYROMETER_API_KEY": API_KEY} if environ is None else environ
        running = RunningServer(subprocess.Popen(command, cwd=ROOT, env=clean | given), port)
        started.append(running)
        if ready:
            running.wait_ready()
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)


def keys(state: Path, *arguments: str) -> str:
    """`pyrometer keys ...`; its last line."""
    command = [sys.executable, "-m", "app.cli", "keys", *arguments, "--state", str(state)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
