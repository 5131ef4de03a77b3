"""At most one measurement of before and after at a time: bench.optimization in a child process.

    start -> child -> its lines, read in a thread -> progress -> a stored run, or why there is none

It measures servers of its own over the same models; this server only stands beside them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from engine.config import Settings
from engine.errors import Busy

ROOT = Path(__file__).parent.parent.parent
SECONDS, BOUNDS_S = 150.0, (15.0, 600.0)
OVERTIME_S, KILL_AFTER_S = 60.0, 30.0
MOST_LINE, MOST_WORDS = 65_536, 300
Tell = Callable[[str, str], None]


class Measurement:
    """One server's. tell: notes an event."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings, self._tell = settings, tell
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._state: dict[str, Any] = {"running": False, "progress": None, "last": None}
        self._closed = False

    def start(self, seconds: float) -> dict[str, Any]:
        """Begin. Raises Busy while one runs."""
        with self._lock:
            if self._state["running"] or self._closed:
                raise Busy("a measurement runs already; cancel it or wait for its end")
            began = time.time()
            self._state |= {"running": True, "progress": None, "started": began}
            self._state |= {"seconds": seconds, "cancelling": False}
        self._tell("measurement", f"measuring before and after, at most {seconds:g} s")
        thread = threading.Thread(
            target=self._watch, args=(seconds,), name="measurement", daemon=True
        )
        thread.start()
        return self.as_dict()

    def cancel(self) -> None:
        """End it; what was measured so far is stored. Raises Busy where none runs."""
        with self._lock:
            if not self._state["running"]:
                raise Busy("no measurement is running")
            self._state["cancelling"] = True
        self._signal(signal.SIGTERM)

    def as_dict(self) -> dict[str, Any]:
        """Whether one runs, how far it is, how the last one ended."""
        with self._lock:
            return dict(self._state)

    def close(self) -> None:
        """The server stops: so does the child."""
        with self._lock:
            self._closed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """To the child; SIGKILL to all that it started."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(child.pid, number)
            else:
                child.send_signal(number)
                self._kill_later(child, KILL_AFTER_S)

    def _kill_later(self, child: subprocess.Popen[bytes], delay_s: float) -> threading.Timer:
        def end() -> None:
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)

        timer = threading.Timer(delay_s, end)
        timer.daemon = True
        timer.start()
        return timer

    def _watch(self, seconds: float) -> None:
        result, error = None, None
        try:
            result, error = self._follow(seconds)
        except Exception as fault:
            error = f"it could not be run: {fault}"[:MOST_WORDS]
        with self._lock:
            cancelled = self._state["cancelling"]
            last = {"ended": time.time(), "run": result, "error": error, "cancelled": cancelled}
            self._state |= {"running": False, "progress": None, "last": last}
            self._child = None
        self._tell("measurement", error or f"measured before and after: run {result}")

    def _command(self, seconds: float) -> list[str]:
        models, state = self._settings.models.resolve(), self._settings.state.resolve()
        command = [sys.executable, "-m", "bench.optimization", "--progress", "json"]
        command += ["--models", str(models), "--state", str(state)]
        return [*command, "--seconds", f"{seconds:g}"]

    def _follow(self, seconds: float) -> tuple[str | None, str | None]:
        """The stored run's id, or what went wrong."""
        child = subprocess.Popen(
            self._command(seconds),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._child = child
        limit = self._kill_later(child, seconds + OVERTIME_S)
        said: deque[str] = deque(maxlen=3)
        result = error = None
        assert child.stdout is not None
        with child.stdout:
            while line := child.stdout.readline(MOST_LINE):
                told = _parsed(line)
                if told is None:
                    said.append(line.decode("utf-8", "replace").strip()[:MOST_WORDS])
                elif told.get("type") == "progress":
                    with self._lock:
                        self._state["progress"] = told
                elif told.get("type") == "result":
                    result = str(told.get("id"))
                elif told.get("type") == "error":
                    error = str(told.get("error"))[:MOST_WORDS]
        status = child.wait()
        limit.cancel()
        if result is None and error is None:
            error = f"it ended with status {status}: {said[-1] if said else 'no reason given'}"
        return result, error


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None
