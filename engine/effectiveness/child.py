"""A process that answers jobs one after the other; there only while it is needed.

job     4 bytes, its length, then a pickle; down the child's stdin, which nobody else has
answer  a line of JSON
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

NICENESS = 10
MOST_JOB_BYTES = 4_000_000
MOST_ANSWER_BYTES = 1_000_000


class ChildFailed(Exception):
    """It ended, was silent for too long, or said something else than an answer."""


class Child:
    """For one thread; `end` is for any.

    command: what starts it. most_bytes: resident memory over which it is ended after its job.
    environ: what it sees of an environment; None is all of this process'.
    """

    def __init__(
        self,
        command: Sequence[str],
        most_bytes: int,
        idle_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._most_bytes, self._idle_s = tuple(command), most_bytes, idle_s
        self._environ = environ
        self._monotonic = monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._used_s = 0.0
        self._cpu_before_s = self._cpu_s = 0.0
        self.starts = self.too_large = 0
        self.memory_bytes: int | None = None
        self.peak_bytes = 0

    @property
    def is_alive(self) -> bool:
        process = self._process
        return process is not None and process.poll() is None

    @property
    def cpu_s(self) -> float:
        """Processor time of all that were started, as far as it was read."""
        return self._cpu_before_s + self._cpu_s

    def ask(self, job: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer to a job; starts the child where there is none. Raises ChildFailed."""
        content = pickle.dumps(job)
        if len(content) > MOST_JOB_BYTES:
            raise ChildFailed(f"the rows take {len(content)} bytes; the limit is {MOST_JOB_BYTES}")
        until_s = self._monotonic() + timeout_s
        if not self.is_alive:
            self._start()
        process = self._process
        assert process is not None, "it was started"
        try:
            self._send(process, len(content).to_bytes(4, "big") + content, until_s)
            answer = json.loads(self._receive(process, until_s))
        except (ChildFailed, OSError, ValueError) as error:
            self.end()
            raise ChildFailed(str(error) or type(error).__name__) from error
        self._used_s = self._monotonic()
        self._measure(process)
        return dict(answer)

    def _start(self) -> None:
        if self._closed:
            raise ChildFailed("closed")
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent.parent,
            env=self._environ,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        self.starts += 1
        self._process = process
        if self._closed:
            process.kill()
        with contextlib.suppress(OSError):  # where it has ended already, the next write finds out
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)

    def _send(self, process: subprocess.Popen[bytes], content: bytes, until_s: float) -> None:
        assert process.stdin is not None
        pipe, sent = process.stdin.fileno(), 0
        while sent < len(content):
            _, ready, _ = select.select([], [pipe], [], max(0.0, until_s - self._monotonic()))
            if not ready:
                raise ChildFailed("the child took no job in time")
            sent += os.write(pipe, content[sent : sent + 65_536])

    def _receive(self, process: subprocess.Popen[bytes], until_s: float) -> bytes:
        assert process.stdout is not None
        pipe, received = process.stdout.fileno(), bytearray()
        while not received.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, until_s - self._monotonic()))
            if not ready:
                raise ChildFailed("the child gave no answer in time")
            part = os.read(pipe, 65_536)
            if not part or len(received) > MOST_ANSWER_BYTES:
                raise ChildFailed("the child ended" if not part else "its answer has no end")
            received += part
        return bytes(received)

    def _measure(self, process: subprocess.Popen[bytes]) -> None:
        try:
            found = psutil.Process(process.pid)
            self.memory_bytes, times = found.memory_info().rss, found.cpu_times()
        except psutil.Error:
            return
        self._cpu_s = times.user + times.system
        self.peak_bytes = max(self.peak_bytes, self.memory_bytes)
        if self.memory_bytes > self._most_bytes:
            self.too_large += 1
            self.end()

    def end_if_idle(self) -> None:
        """End it where it has had nothing to do for idle_s."""
        if self._process is not None and self._monotonic() - self._used_s > self._idle_s:
            self.end()

    def end(self) -> None:
        """End it now; the next job starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._cpu_before_s, self._cpu_s = self.cpu_s, 0.0
        self.memory_bytes = None

    def close(self) -> None:
        """End it, and start no other."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # whoever waits for its answer finds it ended
