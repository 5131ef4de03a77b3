"""Open tabs of the console without a browser: a process of their own that polls as they do.

Each is a connection that asks once a second, at its own time of it, for what it lacks, with gzip.
Browsers run elsewhere, so this process takes only what others leave of the processors.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import selectors
import socket
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CATCH_UP_S = 1.0
"""From the first poll on: within it each tab asks once for all that it has missed."""
REST_S = CATCH_UP_S + 0.2
"""Before a block; tabs begin in it."""
ANSWERS_WITHIN_S = 60.0


class Period(NamedTuple):
    """What tabs got while they were asking, once they had caught up.

    late_ms: p99 of how long after their time they asked then. seconds: by who had told them to ask.
    """

    polls: int
    mean_bytes: float
    late_ms: float
    seconds: float


Watch = Callable[[], AbstractContextManager[list[Period]]]


@lru_cache(maxsize=8)
def seq_of(body: bytes) -> int:
    """The number of a packed answer's second: its first field, so that no more is unpacked.

    Tabs of one second are sent the same bytes: unpacked once for all of them.
    """
    begin = zlib.decompressobj(31).decompress(body, 40)
    return int(begin.removeprefix(b'{"seq":').split(b",", 1)[0])


class Tab:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.due_s, self._port = 0.0, port
        self._since, self._read, self.is_behind = 0, b"", True
        self._is_waiting = False

    def begin(self, first_s: float) -> None:
        """Ask from then on; the first answer brings what came meanwhile, and counts for nothing."""
        self.due_s, self.is_behind = first_s, True

    def ask(self) -> None:
        """Ask, unless an answer is still to come: a tab has one request in flight."""
        self.due_s += 1.0
        if self._is_waiting:
            return
        self._is_waiting = True
        line = f"GET /performance/live?since={self._since} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}"
        self.socket.sendall(f"{line}\r\naccept-encoding: gzip, deflate\r\n\r\n".encode())

    def take(self) -> int:
        """Read what has come; the bytes of an answer that is whole and counts, else 0.

        Raises ConnectionError where the server has closed.
        """
        came = self.socket.recv(1 << 18)
        if not came:
            raise ConnectionError("the server closed a tab's connection")
        self._read += came
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return 0
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"a poll was answered with {head[:40]!r}")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return 0
        size, counts = len(self._read), not self.is_behind
        self._since, self._read = seq_of(body), b""
        self.is_behind = self._is_waiting = False
        return size if counts else 0


class Tabs:
    """All tabs of the process; they ask while they are told to."""

    def __init__(self, port: int, count: int) -> None:
        self._all = [Tab(port) for _ in range(count)]
        self._asking: deque[Tab] = deque()
        self._sizes: list[int] = []
        self._late_s: list[float] = []
        self._draw = random.Random(1)

    def work(self, told: Connection[Any, Any]) -> None:
        """Ask from True to False, which is answered with what came; until `told` is closed."""
        with selectors.DefaultSelector() as selector:
            selector.register(told, selectors.EVENT_READ)
            for tab in self._all:
                selector.register(tab.socket, selectors.EVENT_READ, tab)
            told.send(None)
            while True:
                for ready, _ in selector.select(self._ask_whose_time_it_is()):
                    if ready.data is not None:
                        self._sizes.append(ready.data.take())
                    elif told.recv():
                        self._begin()
                    else:
                        told.send(self._end())

    def _ask_whose_time_it_is(self) -> float | None:
        """Seconds until the next one's, None where nobody asks."""
        if not self._asking:
            return None
        while (wait_s := self._asking[0].due_s - time.monotonic()) <= 0:
            if not self._asking[0].is_behind:
                self._late_s.append(-wait_s)
            self._asking[0].ask()
            self._asking.rotate(-1)
        return wait_s

    def _begin(self) -> None:
        now_s = time.monotonic()
        self._sizes.clear()
        self._late_s.clear()
        for tab in self._all:
            tab.begin(now_s + CATCH_UP_S * self._draw.random())
        self._asking.extend(sorted(self._all, key=attrgetter("due_s")))

    def _end(self) -> tuple[int, float, float]:
        self._asking.clear()
        counted = [size for size in self._sizes if size]
        if not counted:
            raise TimeoutError("no poll was answered")
        late_ms = 1e3 * float(np.percentile(self._late_s, 99))
        return len(counted), float(np.mean(counted)), late_ms


def give_way() -> None:
    """Let this process run when nobody else wants the processor.

    In a session of its own: Linux shares a processor out among sessions first.
    """
    os.setsid()
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def run(port: int, count: int, told: Connection[Any, Any]) -> None:
    """The process' own work."""
    give_way()
    with suppress(EOFError):
        Tabs(port, count).work(told)


@contextmanager
def tabs(port: int, count: int) -> Iterator[Watch]:
    """That many in a child process; within a block of watch() they ask.

    watch() yields a list that has the block's period afterwards. Raises EOFError or OSError where
    the process has died, TimeoutError where it says nothing.
    """
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    child = spawning.Process(target=run, args=(port, count, theirs), daemon=True)
    child.start()
    theirs.close()

    def said() -> Any:
        if not ours.poll(ANSWERS_WITHIN_S):
            raise TimeoutError(f"the tabs' process said nothing for {ANSWERS_WITHIN_S:g} s")
        return ours.recv()

    @contextmanager
    def watch() -> Iterator[list[Period]]:
        periods: list[Period] = []
        ours.send(True)
        begun_s = time.monotonic()
        time.sleep(REST_S)
        yield periods
        seconds = time.monotonic() - begun_s - CATCH_UP_S
        ours.send(False)
        polls, mean_bytes, late_ms = said()
        periods.append(Period(polls, mean_bytes, late_ms, seconds))

    try:
        said()
        yield watch
    finally:
        child.kill()
        child.join()
        ours.close()
