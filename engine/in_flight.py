"""Who is at work for whom: each thread's mark, which the sampler reads.

A mark is set where work for a request begins and cleared where it ends; both are one store
in an object of the thread's own, so they cost tens of nanoseconds and no lock.
"""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol


class Mark(NamedTuple):
    """For whom a thread works. is_service: False for the console's and scrapers' requests."""

    model: str
    version: str
    route: str
    request_id: str
    is_service: bool = True


class Marked(Protocol):
    """Something that can say for whom work is done, when it is asked: once in many times."""

    def as_mark(self) -> Mark: ...


class Doing:
    """One thread's. work: None while it works for nobody."""

    __slots__ = ("work",)

    def __init__(self) -> None:
        self.work: Mark | Marked | None = None

    def mark(self) -> Mark | None:
        """For whom, in words; for the sampler."""
        work = self.work
        return work if work is None or isinstance(work, Mark) else work.as_mark()


class _Working:
    """A thread's work within a block; what it was before comes back after it."""

    __slots__ = ("_doing", "_outer", "_work")

    def __init__(self, doing: Doing, work: Mark | Marked | None) -> None:
        self._doing, self._work = doing, work

    def __enter__(self) -> None:
        self._outer = self._doing.work
        self._doing.work = self._work

    def __exit__(self, *_: object) -> None:
        self._doing.work = self._outer


class InFlight:
    """The marks of a process, by thread. Bounded by the threads that are alive."""

    def __init__(self) -> None:
        self.by_thread: dict[int, Doing] = {}

    def here(self) -> Doing:
        """This thread's own; may be kept by code that always runs on it."""
        return self.of(threading.get_ident())

    def of(self, ident: int) -> Doing:
        """A thread's own."""
        doing = self.by_thread.get(ident)
        if doing is None:
            doing = self.by_thread.setdefault(ident, Doing())
        return doing

    def working_for(self, work: Mark | Marked | None) -> _Working:
        """A block in which this thread works for somebody."""
        return _Working(self.here(), work)

    def forget(self, ident: int) -> None:
        """A thread has ended."""
        self.by_thread.pop(ident, None)
