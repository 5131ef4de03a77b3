"""Waiting outside Python: the time requests lie in sockets before any clock here sees them.

A request's own time begins when the front has it. Under load it lies in its socket before
that, until the event loop comes to it. How long is told by Little's law: the mean number of
requests that wait is their rate times their mean wait. The number is sampled at random times:
connections that have something to read and nothing under way.

A thread that samples gets the interpreter more often in some phases of the loop's turn than in
others. So it counts the requests under way too: their true mean is known, their rate times
their own time, and how far the sampled mean is off tells how far the other is (a control
variate, its coefficient from the samples themselves).

The samples are of some seconds, so the rate is of the same seconds. Where fewer than LEAST_PER_S
requests of callers come, it is not known: what waits then is mostly the console's own.
"""

from __future__ import annotations

import random
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from app.http1 import Connection
from app.listener import Listener
from engine.supervised import Supervised

BUSY_PER_S, IDLE_PER_S = 20.0, 1.0
SECONDS, MOST_SAMPLES, LEAST = 5, 100, 10
"""How many seconds an estimate is of, the most samples of one of them, the fewest of all."""
LEAST_PER_S = 20.0
"""Requests of callers, not the console's, below which a second says nothing."""


class _Second(NamedTuple):
    """samples: (waiting, under way) each. own_ms: the requests' mean time in this process."""

    samples: tuple[tuple[int, int], ...]
    requests_per_s: float
    own_ms: float


class SocketWatch:
    """Counts waiting requests now and then. is_busy: whether callers asked lately."""

    def __init__(self, listener: Listener, is_busy: Callable[[], bool]) -> None:
        self._listener, self._is_busy = listener, is_busy
        self._samples: deque[tuple[int, int]] = deque(maxlen=MOST_SAMPLES)
        self._seconds: deque[_Second] = deque(maxlen=SECONDS)
        self._poll, self._watched = select.poll(), dict[int, Connection]()
        self._lock = threading.Lock()
        self._running = threading.Lock()  # released when it is to stop
        self.thread = Supervised("sockets", self._run)

    def start(self) -> None:
        self._running.acquire()
        self.thread.start()

    def stop(self) -> None:
        if self._running.locked():
            self._running.release()

    def wait_ms(self, requests_per_s: float, own_ms: float, served_per_s: float) -> float | None:
        """Mean wait, ms, of the requests of the last seconds; None where it is not known.

        Called once a second, with that second's rate of all requests, their mean time in this
        process, and the rate of those of callers.
        """
        with self._lock:
            samples = tuple(self._samples)
            self._samples.clear()
        if served_per_s < LEAST_PER_S:
            self._seconds.clear()  # what was sampled under another load says nothing of this one
            return None
        self._seconds.append(_Second(samples, requests_per_s, own_ms))
        pairs = [pair for second in self._seconds for pair in second.samples]
        if len(pairs) < LEAST:
            return None
        rates = np.array([second.requests_per_s for second in self._seconds])
        busy_ms = rates @ np.array([second.own_ms for second in self._seconds]) / len(rates)
        waiting, under_way = np.array(pairs, dtype=np.float64).T
        spread = under_way.var()
        slope = ((under_way - under_way.mean()) * waiting).mean() / spread if spread else 0.0
        off = busy_ms / 1e3 - under_way.mean()
        return 1e3 * max(0.0, float(waiting.mean() + slope * off)) / float(rates.mean())

    def _run(self) -> None:
        poll = self._poll.poll
        # Random times, so that they do not keep step with the loop's turns. Nothing comes between
        # the waking and the look: while this thread has the interpreter, the loop stands still
        # and requests pile up.
        while not self._running.acquire(timeout=random.expovariate(self._rate())):
            ready = poll(0)
            under_way = sum(one.is_serving_any for one in self._watched.values())
            waiting = [self._watched.get(fd) for fd, event in ready if event & select.POLLIN]
            count = sum(one is not None and not one.is_serving_any for one in waiting)
            if not self._follow():
                with self._lock:
                    self._samples.append((count, under_way))

    def _rate(self) -> float:
        return BUSY_PER_S if self._is_busy() else IDLE_PER_S

    def _follow(self) -> bool:
        """Watch the connections that are open now; True when they are others than before."""
        connections = self._listener.connections
        opened = {one.fd: one for one in list(connections) if one.fd >= 0}
        if opened == self._watched:
            return False
        for fd in self._watched.keys() - opened.keys():
            self._poll.unregister(fd)
        for fd in opened.keys() - self._watched.keys():
            self._poll.register(fd, select.POLLIN)
        self._watched = opened
        return True
