"""A server of a given tree, as a child process that has finished starting."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import PyrometerError

START_WITHIN_S = 300.0
SETTLED_AFTER_S = 0.2
"""From the console's first answer to the end of what follows its start (gc.freeze)."""
SETTINGS = ("--spin-us", "0", "--reload-interval-s", "0")
"""Of both sides. A server that looks out for the next request without sleeping uses CPU time
that is the client's doing."""
INSTRUMENTS_OFF = ("--telemetry", "off", "--profile-hz", "0")
_ADDRESS = re.compile(r"http://\S+?:(\d+)/")


@dataclass(frozen=True, slots=True)
class Side:
    """One of two that are compared: a tree, its flags, and a folder for its state."""

    name: str
    tree: Path
    folder: Path
    flags: tuple[str, ...] = ()


@contextmanager
def started(side: Side, models: Path) -> Iterator[tuple[int, int]]:
    """Its server, console and all; yields (process id, port).

    Raises PyrometerError with the server's last words where it does not start.
    """
    side.folder.mkdir(parents=True, exist_ok=True)
    said = side.folder / "stderr.txt"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--models", str(models)]
    command += ["--state", str(side.folder / "state"), *SETTINGS, *side.flags]
    command += ["--trust-file", str(side.folder / "trusted.sha256")]
    with said.open("w") as words:
        process = subprocess.Popen(
            command,
            cwd=side.tree,
            env=_variables(),
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            start_new_session=True,  # Ctrl-C is for the gate, which ends its servers
        )
    try:
        try:
            port = _port_of(process)
            _until_answers(process, port)
        except PyrometerError as error:
            last = said.read_text().strip().splitlines()[-5:]
            raise PyrometerError(f"{side.name}: {error}: {' / '.join(last)}") from None
        time.sleep(SETTLED_AFTER_S)
        yield process.pid, port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def _variables() -> dict[str, str]:
    """One seed of hashes for all: the layout of dicts differs by it, and so do times."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYROMETER_") and name not in ("HOST", "PORT", "PYTHONPATH")
    }
    return kept | {"PYTHONHASHSEED": "0"}


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        found = _ADDRESS.search(line)
        if found:
            return int(found[1])
    raise PyrometerError("the server did not start")


def _until_answers(process: subprocess.Popen[str], port: int) -> None:
    """Return once its models are ready and its console is there."""
    end = time.monotonic() + START_WITHIN_S
    for path in ("/v2/health/ready", "/"):
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None:
                raise PyrometerError("the server ended while starting")
            if time.monotonic() > end:
                raise PyrometerError(f"no answer from {path} within {START_WITHIN_S:g} s")
            time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
            return True
    except OSError:
        return False


def model_names(models: Path) -> Sequence[str]:
    return sorted(path.name for path in models.iterdir() if path.is_dir())
