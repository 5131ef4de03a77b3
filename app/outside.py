"""Waiting outside Python: the time requests lie in sockets before any clock here sees them.

A request's own time begins when the front has it. Under load it lies in its socket before
that, until the event loop comes to it. How long is told by Little's law: the mean number of
requests that wait is their rate times their mean wait. The number is sampled at random times:
connections that have something to read and nothing under way.

A thread that samples gets the interpreter more often in some phases of the loop's turn than in
others. So it counts the requests under way too: their true mean is known, their rate times
their own time, and how far the sampled mean is off tells how far the other is (a control
variate, its coefficient from the samples themselves).
"""

from __future__ import annotations

import random
import select
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from app.http1 import Connection
from app.listener import Listener
from engine.supervised import Supervised

BUSY_PER_S, IDLE_PER_S = 20.0, 1.0
KEPT, LEAST = 100, 10
"""Samples that an estimate is made of: about five seconds', and the fewest."""


class SocketWatch:
    """Counts waiting requests now and then. is_busy: whether requests have come lately."""

    def __init__(self, listener: Listener, is_busy: Callable[[], bool]) -> None:
        self._listener, self._is_busy = listener, is_busy
        self._samples: deque[tuple[int, int]] = deque(maxlen=KEPT)
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

    def wait_ms(self, requests_per_s: float, own_ms: float) -> float | None:
        """Mean wait, ms, of the requests of the last seconds; None where nothing is known.

        own_ms: their mean time in this process.
        """
        with self._lock:
            samples = np.array(self._samples, dtype=np.float64)
        if len(samples) < LEAST or requests_per_s <= 0:
            return None
        waiting, under_way = samples.T
        spread = under_way.var()
        slope = ((under_way - under_way.mean()) * waiting).mean() / spread if spread else 0.0
        off = requests_per_s * own_ms / 1e3 - under_way.mean()
        return 1e3 * max(0.0, float(waiting.mean() + slope * off)) / requests_per_s

    def forget(self) -> None:
        """What was sampled under another load says nothing of this one."""
        with self._lock:
            self._samples.clear()

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
