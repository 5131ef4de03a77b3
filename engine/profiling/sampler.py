"""One thread that looks at what all others are doing, a few dozen times a second.

    look: every thread's CPU clock; the stack and mark of those that ran
     -> names, contexts, on a processor or waiting
     -> the running slice's tree, the capture's if one runs, the ring of the newest samples

A sample weighs the time since the look before, not the nominal period. How much of it was on a
processor is paid from the thread's purse, which its own CPU clock fills: a thread in Python
code was running, or wanted to; one in C code was when its clock advances during the look, or
the purse is half full of the time since, unless the call is one that waits. So the CPU time
of samples never exceeds what threads have used.

A thread whose clock has not moved since the last look is where it was: it costs a reading of
the clock, not a walk.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple

from engine.in_flight import InFlight, Mark
from engine.profiling.builder import Contexts, TreeBuilder
from engine.profiling.calltree import Context, Frame
from engine.profiling.frames import FrameTable, place_of, printable
from engine.profiling.threads import Threads, ThreadSeen
from engine.profiling.walk import MAX_DEPTH, walk

MOST_PURSE = 4
"""A purse holds at most so many times what passed since the last look."""
DEEPER = Frame("(outer frames left out)", "", "", 0)
NEWEST, NEWEST_NS = 8192, 120 * 10**9
"""How many of the newest samples are kept, and for how long: whoever asks for a request's stacks
does so within seconds of its end."""
WAITS = frozenset(
    {
        *("acquire", "wait", "sleep", "select", "poll", "epoll", "accept", "recv", "recv_into"),
        *("read", "readline", "readinto", "get", "join", "result", "sigwait"),
        *("waitpid", "wait4", "poll_for", "communicate", "flock", "fsync", "send", "sendall"),
    }
)
"""Last parts of names of native calls that wait, unless their clock says that they run."""


class Sample(NamedTuple):
    """One of the newest samples of requests' threads.

    at_ns: of perf_counter. stack: frame numbers, root first.
    """

    at_ns: int
    wall_ns: int
    cpu_ns: int
    context: Context
    stack: tuple[int, ...]
    mark: Mark


class Sampler:
    """Counts samples into `target`, and into `capture` where there is one.

    target and capture are replaced under `lock`, after `settle`. looks, elapsed_ns: since start.
    """

    def __init__(
        self,
        in_flight: InFlight,
        target: TreeBuilder,
        perf_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.table = FrameTable()
        self.contexts = Contexts()
        self.target = target
        self.capture: TreeBuilder | None = None
        self.newest: deque[Sample] = deque(maxlen=NEWEST)
        self.lock = threading.Lock()
        self.looks = self.elapsed_ns = 0
        self._perf_ns = perf_ns
        self._threads = Threads(in_flight)
        self._waits: dict[int, bool] = {}
        self._deeper = self.table.number(DEEPER)

    def look(self, elapsed_ns: int) -> None:
        """Take one sample of every thread but this one, each for elapsed_ns."""
        with self.lock:
            at_ns, ran = self._perf_ns(), []
            for thread, used_ns in self._threads.clocks():
                if used_ns == thread.used_ns and thread.stack:
                    if thread.is_idle and thread.doing.work is None:
                        thread.rested += 1
                        thread.rested_ns += elapsed_ns
                    else:
                        self._count(thread, thread.doing.mark(), at_ns, elapsed_ns, 0)
                else:
                    places = walk(thread.ident)
                    ran.append((thread, used_ns, places, thread.doing.mark()))
            for thread, used_ns, places, mark in ran:
                if places:
                    self._settle(thread)
                    self._name(thread, places)
                    model = mark.model if mark is not None else thread.model
                    if model != thread.model:
                        # What one model left unpaid is not another's.
                        thread.model, thread.purse_ns = model, 0
                    cpu_ns = self._paid(thread, used_ns, elapsed_ns)
                    self._count(thread, mark, at_ns, elapsed_ns, cpu_ns)
            self.looks += 1
            self.elapsed_ns += elapsed_ns
            while self._threads.ended:
                self._settle(self._threads.ended.pop())

    def settle(self) -> None:
        """Count what has rested, before a tree is read or replaced; under the lock."""
        for thread in self._threads:
            self._settle(thread)

    def begin_anew(self) -> None:
        """Forget CPU time that no sample has been given: what is counted next is of now."""
        for thread, used_ns in self._threads.clocks():
            self._settle(thread)
            # Without a stack it is walked at the next look: it may have moved since the last.
            thread.purse_ns, thread.used_ns, thread.stack = 0, used_ns or 0, ()

    def add_elsewhere(
        self, root: str, named: tuple[str, str], stack: Sequence[Sequence[Any]], run_ns: int
    ) -> None:
        """Count a stack that was sampled in another process while it computed.

        root: a frame of that name goes above it. named: the model and version it computed for.
        stack: [name, file, line] of each frame, root first.
        """
        with self.lock:
            number = self.table.number
            frames = [number(Frame(root, "", "", 0))]
            for name, path, line in stack:
                file, module = place_of(printable(str(path)))
                frames.append(number(Frame(printable(str(name))[:200], module, file, int(line))))
            context = self.contexts.number(Context("request", root, *named))
            self._add(context, tuple(frames), run_ns, run_ns)

    def _settle(self, thread: ThreadSeen) -> None:
        times, thread.rested = thread.rested, 0
        wall_ns, thread.rested_ns = thread.rested_ns, 0
        if times:
            self._add(self._context(thread, None, 0), thread.stack, wall_ns, 0, times)

    def _add(
        self, context: int, stack: tuple[int, ...], wall_ns: int, cpu_ns: int, times: int = 1
    ) -> None:
        self.target.add(context, stack, wall_ns, cpu_ns, times)
        if self.capture is not None:
            self.capture.add(context, stack, wall_ns, cpu_ns, times)

    def _count(
        self, thread: ThreadSeen, mark: Mark | None, at_ns: int, wall_ns: int, cpu_ns: int
    ) -> None:
        context = self._context(thread, mark, cpu_ns)
        thread.is_idle = self.contexts.table[context].kind == "idle"
        self._add(context, thread.stack, wall_ns, cpu_ns)
        if mark is not None:
            named = self.contexts.table[context]
            while self.newest and self.newest[0].at_ns < at_ns - NEWEST_NS:
                self.newest.popleft()
            self.newest.append(Sample(at_ns, wall_ns, cpu_ns, named, thread.stack, mark))

    def _name(self, thread: ThreadSeen, places: list[tuple[CodeType, int]]) -> None:
        """The walk as frame numbers, root first, the native call last."""
        of_code = self.table.of_code
        stack = [of_code(code) for code, _ in reversed(places[:MAX_DEPTH])]
        thread.native = native = self.table.native(*places[0])
        if native is not None:
            stack.append(native)
        if len(places) > MAX_DEPTH:
            stack.insert(0, self._deeper)
        thread.stack = tuple(stack)

    def _paid(self, thread: ThreadSeen, used_ns: int | None, elapsed_ns: int) -> int:
        """The part of the elapsed time that the thread's purse pays for."""
        native = thread.native
        if used_ns is None:
            return elapsed_ns if native is None else 0
        spent_ns = used_ns - thread.used_ns
        purse_ns = min(thread.purse_ns + spent_ns, MOST_PURSE * elapsed_ns)
        thread.used_ns = used_ns
        runs = native is None
        if native is not None:
            runs = not self._is_wait(native) and 2 * purse_ns >= elapsed_ns
            runs = runs or _advances(thread)
        paid_ns = min(elapsed_ns, purse_ns) if runs else 0
        thread.purse_ns = purse_ns - paid_ns
        return paid_ns

    def _is_wait(self, native: int) -> bool:
        known = self._waits.get(native)
        if known is None:
            last = self.table.frames[native].name.rpartition(".")[2]
            known = self._waits[native] = last in WAITS
        return known

    def _context(self, thread: ThreadSeen, mark: Mark | None, cpu_ns: int) -> int:
        if mark is not None:
            kind = "request" if mark.is_service else "console"
            named = Context(kind, thread.group, mark.model, mark.version, mark.route)
        elif not cpu_ns and thread.native is not None:
            named = Context("idle", thread.group)
        else:
            named = Context(thread.room, thread.group)
        return self.contexts.number(named)


def _advances(thread: ThreadSeen) -> bool:
    """Whether it runs at this moment: only code that gave up the interpreter can."""
    try:
        now_ns = thread.cpu_ns()
    except OSError:
        return False
    return now_ns is not None and now_ns > thread.used_ns
