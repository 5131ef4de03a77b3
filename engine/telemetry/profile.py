"""Records for routes of one's own: `profile_request` and `phase`.

    with engine.profile_request("/my/route", "POST") as record:
        with phase("lookup"):
            ...

Both work with `async with` too. An exception is recorded, with status 500, and goes on.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from types import TracebackType

from engine.in_flight import Doing, Mark
from engine.telemetry.record import PHASES, RequestMetrics
from engine.telemetry.recorder import Recorder

_CURRENT: ContextVar[RequestMetrics | None] = ContextVar("pyrometer_record", default=None)


class profile_request:
    """Times a request and appends its record once, success or failure.

    endpoint: the route's rule, not its filled-in path: labels are bounded. method: of HTTP.
    doing: of the thread that enters, so that the profiler knows for whom it works.
    Enters to the record, whose status, model, version, rows and cache may be set; status
    is 200 where none was.
    """

    def __init__(
        self,
        recorder: Recorder,
        endpoint: str,
        method: str = "POST",
        cold_start: bool = False,
        request_id: str = "",
        doing: Doing | None = None,
    ) -> None:
        self._recorder = recorder
        route = endpoint if method == "POST" else f"{method} {endpoint}"
        self.record = RequestMetrics(
            request_id or recorder.id_of(recorder.new_ordinal()), route, cold_start=cold_start
        )
        self._began_ns = self._cpu_ns = 0
        self._token: Token[RequestMetrics | None] | None = None
        self._doing, self._outer = doing, None if doing is None else doing.work

    def as_mark(self) -> Mark:
        """For whom the thread works within."""
        record = self.record
        return Mark(record.model, record.version, record.endpoint, record.request_id)

    def __enter__(self) -> RequestMetrics:
        if self._doing is not None:
            self._doing.work = self
        return self._begin()

    def _begin(self) -> RequestMetrics:
        self._token = _CURRENT.set(self.record)
        self._cpu_ns = time.thread_time_ns()
        self._began_ns = time.perf_counter_ns()
        return self.record

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._doing is not None:
            self._doing.work = self._outer
        record = self.record
        record.duration_ns = time.perf_counter_ns() - self._began_ns
        record.cpu_ns = time.thread_time_ns() - self._cpu_ns
        if error is not None:
            record.error, record.status = type(error).__name__, 500
        record.status = record.status or 200
        if self._token is not None:
            _CURRENT.reset(self._token)
        self._recorder.append(record)

    async def __aenter__(self) -> RequestMetrics:
        # A thread that awaits works for others in between: it is not marked.
        self._doing = None
        return self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


class phase:
    """Books the time within on the current record: one of PHASES, or a name of one's own.

    Phases do not overlap: a phase within a phase is taken off the outer one. Outside of
    profile_request nothing is booked.
    """

    _OPEN: ContextVar[phase | None] = ContextVar("pyrometer_phase", default=None)

    def __init__(self, name: str) -> None:
        self.name = name
        self._began_ns = self._inner_ns = 0
        self._outer: phase | None = None

    def __enter__(self) -> phase:
        self._outer = phase._OPEN.get()
        phase._OPEN.set(self)
        self._inner_ns = 0
        self._began_ns = time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        spent_ns = time.perf_counter_ns() - self._began_ns
        phase._OPEN.set(self._outer)
        if self._outer is not None:
            self._outer._inner_ns += spent_ns
        record = _CURRENT.get()
        if record is None:
            return
        own_ns = spent_ns - self._inner_ns
        if self.name in PHASES and self.name != "own":
            field = f"{self.name}_ns"
            setattr(record, field, getattr(record, field) + own_ns)
        else:
            record.add_own(self.name, own_ns)

    async def __aenter__(self) -> phase:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()
