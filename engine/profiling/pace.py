"""When to look: a thread at a rate that may change, and what it reached.

A thread that wakes gets the interpreter when another gives it up: either by itself, around C
code and system calls, or, asked to after the switch interval, at its next step in Python. With
the usual interval nearly every look would find the others where they give up by themselves:
the busiest function of a server came out at a third of its share. So the interval is almost
nothing while a look is due: from a random time before, at low rates, or throughout a capture.
The lead is random and longer than a turn of the event loop, because the thread that set the
interval was itself let in where another gave way.
"""

from __future__ import annotations

import ctypes
import logging
import random
import sys
import threading
import time
from collections.abc import Callable

from engine.supervised import Supervised

log = logging.getLogger(__name__)
MAX_HZ = 999
LEAST_LEAD_NS, MOST_LEAD_NS = 200_000, 4_000_000
AT_ONCE_S = 25e-6
PR_SET_TIMERSLACK = 29
"""Of prctl(2)."""


class _GivingWay:
    """The process' switch interval while anybody wants other threads to give way at once.

    It belongs to the process: several engines in one share it, and the last one to leave puts
    back what the first one found, unless somebody else has set it meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders, self._usual_s = 0, 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._holders:
                self._usual_s = sys.getswitchinterval()
                sys.setswitchinterval(AT_ONCE_S)
            self._holders += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders and abs(sys.getswitchinterval() - AT_ONCE_S) < 1e-9:
                sys.setswitchinterval(self._usual_s)


giving_way = _GivingWay()


class Pace:
    """Calls look(elapsed_ns) hz times a second, in a thread of its own; 0 never.

    sleep, doze: for times that must be exact, and for longer ones that a change ends.
    looks, missed: ticks kept and ticks that came too late for the next one. cpu_ns: the
    thread's own CPU time. All since start.
    """

    def __init__(
        self,
        look: Callable[[int], object],
        hz: float,
        perf_ns: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], object] = time.sleep,
        doze: Callable[[float], object] | None = None,
    ) -> None:
        self.hz = hz
        self.looks = self.missed = self.cpu_ns = 0
        self._look, self._perf_ns, self._sleep = look, perf_ns, sleep
        self._stopped = False
        self._changed = threading.Event()
        self._doze = doze or self._changed.wait
        self.thread = Supervised("sampler", self._run)

    def start(self) -> None:
        self.thread.start()

    @property
    def is_alive(self) -> bool:
        return self.thread.is_alive

    def set(self, hz: float) -> None:
        """Another rate from the next look on."""
        self.hz = min(float(MAX_HZ), hz)
        self._changed.set()

    def stop(self) -> None:
        """Return once the thread has ended, or after 2 s."""
        self._stopped = True
        self._changed.set()
        self.thread.join(2)

    def _run(self) -> None:
        # Linux: wake this thread within a microsecond of its time, not within fifty.
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)
        while not self._stopped:
            self._changed.clear()
            if self.hz:
                self._keep_pace(self.hz)
            else:
                self._changed.wait()

    def _keep_pace(self, hz: float) -> None:
        """Look at this rate until it changes."""
        period_ns = int(1e9 / hz)
        last_ns = self._perf_ns()
        due_ns = last_ns + period_ns
        while not self._changed.is_set():
            self._sleep_until(due_ns, period_ns)
            now_ns = self._perf_ns()
            if now_ns < due_ns:
                continue
            late = (now_ns - due_ns) // period_ns
            self.missed += late
            due_ns += (late + 1) * period_ns
            self._look_once(now_ns - last_ns)
            last_ns = now_ns

    def _sleep_until(self, due_ns: int, period_ns: int) -> None:
        """Sleep, the last part of it so that other threads give way at once; see the module."""
        if period_ns >= 2 * MOST_LEAD_NS:
            lead_ns = random.randrange(LEAST_LEAD_NS, MOST_LEAD_NS)
            self._doze(max(0, due_ns - lead_ns - self._perf_ns()) / 1e9)
            if self._changed.is_set():
                return
        with giving_way:
            self._sleep(max(0, due_ns - self._perf_ns()) / 1e9)

    def _look_once(self, elapsed_ns: int) -> None:
        try:
            self._look(elapsed_ns)
        except Exception:
            # A look that fails must not end the profile.
            log.exception("a look failed")
        self.looks += 1
        self.cpu_ns = time.thread_time_ns()
