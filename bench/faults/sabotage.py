"""`pyrometer`, with somebody inside who breaks it when told to.

    python -m bench.faults.sabotage serve ...

Commands are lines on standard input; each is answered by one on standard output, `done ...`.

    kill THREAD         the thread gets an exception that nothing catches, as soon as it runs
    raise PART COUNT    the next COUNT calls of a part raise, see PARTS
    clock SECONDS       the wall clock, from now on, is off by so much
    collide             every digest of results is the same
    limit WHAT COUNT    a soft limit of the process: NOFILE counts beyond those open now
    free WHAT           the limit is as it was
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

REAL_TIME = time.time
NOBODY = 65534


class Killed(BaseException):
    """What ends a thread here: no Exception, so that only supervision meets it."""


class Clock:
    """The wall clock that may be set. SQLite and the log have the real one."""

    off_s = 0.0

    def __call__(self) -> float:
        return REAL_TIME() + self.off_s


class SameDigest:
    """A digest that is the same for everything."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def update(self, _: object) -> None:
        """Nothing changes it."""

    def copy(self) -> SameDigest:
        return self

    def digest(self) -> bytes:
        return bytes(16)


CLOCK = Clock()
RAISING: Counter[str] = Counter()


def breakable(part: str, kind: type, name: str) -> None:
    """Have a method raise while it is asked to."""
    method = getattr(kind, name)

    @functools.wraps(method)
    def broken(*arguments: Any, **more: Any) -> Any:
        if RAISING[part] > 0:
            RAISING[part] -= 1
            raise RuntimeError(f"{part}: broken on purpose")
        return method(*arguments, **more)

    setattr(kind, name, broken)


def install() -> None:
    """Put the handles in place, before any engine is made."""
    # Before anything starts a thread: see app/signals.py.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    time.time = CLOCK
    from engine.effectiveness.auditor import Auditor
    from engine.monitoring import Monitoring
    from engine.profiling.sampler import Sampler
    from engine.runs import Runs
    from engine.telemetry.history import History
    from engine.telemetry.ticker import Ticker

    parts = (
        ("ticker", Ticker, "tick"),
        ("seconds", Monitoring, "_follow"),
        ("sampler", Sampler, "look"),
        ("batcher", Runs, "_execute_batch"),
        ("slot", Runs, "_execute_flights"),
        ("history", History, "_write_all"),
        ("audit", Auditor, "step"),
    )
    for part, kind, name in parts:
        breakable(part, kind, name)
    threading.Thread(target=obey, name="sabotage", daemon=True).start()


def kill(name: str) -> str:
    """The event loop lets only SystemExit through."""
    error = SystemExit if name == "loop" else Killed
    found = [t for t in threading.enumerate() if t.name == f"pyrometer-{name}"]
    for thread in found:
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(error))
    return str(len(found))


def raises(part: str, count: str) -> str:
    RAISING[part] = int(count)
    return count


def clock(seconds: str) -> str:
    CLOCK.off_s = float(seconds)
    return seconds


def collide() -> str:
    import engine.caching.key as key

    setattr(key, "blake2b", SameDigest)  # noqa: B010
    return "all the same"


def limit(what: str, count: str) -> str:
    number = getattr(resource, f"RLIMIT_{what}")
    soft = int(count)
    if what == "NOFILE":
        soft += max(int(fd) for fd in os.listdir("/proc/self/fd"))
    if what == "NPROC" and not os.getuid():
        os.setresuid(NOBODY, NOBODY, 0)  # root is not held to it
    _, hard = resource.getrlimit(number)
    resource.setrlimit(number, (soft, hard))
    return str(soft)


def free(what: str) -> str:
    number = getattr(resource, f"RLIMIT_{what}")
    _, hard = resource.getrlimit(number)
    resource.setrlimit(number, (hard, hard))
    if what == "NPROC" and os.getresuid()[2] == 0:
        os.setresuid(0, 0, 0)
    return str(hard)


COMMANDS: dict[str, Callable[..., str]] = {
    "kill": kill,
    "raise": raises,
    "clock": clock,
    "collide": collide,
    "limit": limit,
    "free": free,
}


def obey() -> None:
    """Do what is told, until nobody tells anything any more."""
    for line in sys.stdin:
        name, *arguments = line.split()
        try:
            said = COMMANDS[name](*arguments)
        except Exception as error:
            said = f"failed: {type(error).__name__}: {error}"
        print(f"done {said}", flush=True)


if __name__ == "__main__":
    install()
    runpy.run_module("app.cli", run_name="__main__")
