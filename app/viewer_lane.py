"""Viewers of the console, answered where they are read.

Whoever looks asks once a second for what changed since the second before, in heads that are equal
but for that second's number (`app/heads.py`). The first takes the usual way, past the gate; those
after it come here for as long as the gate would let them in again. An answer was made when the
second ended; what is left is its head.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from app.exchange import Head, Request
from app.heads import NUMBERED
from app.http1 import Connection
from app.infer_lane import GZIP_LINES
from app.rendering import Date
from engine.engine import Engine
from engine.in_flight import Mark
from engine.telemetry.labels import Label
from engine.telemetry.rows import COLUMN, WIDTH, packed

ENDPOINT = "/performance/live"
_ORDINAL, _BYTES_OUT = COLUMN["ordinal"], COLUMN["bytes_out"]
_ENDED, _DURATION = COLUMN["ended_ns"], COLUMN["duration_ns"]
_TARGET = NUMBERED.removeprefix(b"GET ")


class Viewers:
    """What all viewers' lanes share. answered: requests, here. is_over: no more from now on."""

    def __init__(self, engine: Engine, answered: int = 0) -> None:
        self._feed, self._recorder = engine.ticker.feed, engine.recorder
        self._row = [0] * WIDTH
        self._row[COLUMN["label"]] = self._recorder.label_id(Label("", "", "", ENDPOINT, False))
        self._row[COLUMN["status"]] = 200
        self._row[COLUMN["memory_before_kb"]] = self._row[COLUMN["memory_after_kb"]] = -1
        self.answered = answered
        self.is_over = False

    def end(self) -> None:
        self.is_over = True

    def adopt(self, head: Head, packs: bool, lasts: Callable[[], bool]) -> None:
        """Requests with this head are answered here from now on.

        lasts: whether who sends it is still let in; asked before each answer.
        """
        if head.target.startswith(_TARGET):
            head.lane = ViewerLane(self, packs, lasts)

    def answer(self, client: Connection, since: int, packs: bool) -> None:
        started_ns = perf_counter_ns()
        body, ordinal = self._feed.answer(since, packs), self._recorder.new_ordinal()
        client.answer_bytes(
            f"HTTP/1.1 200 OK\r\n{Date.line}{GZIP_LINES if packs else ''}"
            "content-type: application/json\r\ncache-control: no-store\r\n"
            f"x-request-id: {self._recorder.id_of(ordinal)}\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode("latin-1")
            + body
        )
        self.answered += 1
        if self._recorder.enabled:
            row, ended_ns = self._row, perf_counter_ns()
            row[_ORDINAL], row[_BYTES_OUT] = ordinal, len(body)
            row[_ENDED], row[_DURATION] = ended_ns, ended_ns - started_ns
            self._recorder.extend(packed(*row))


class ViewerLane:
    """One head's way there."""

    __slots__ = ("_lasts", "_packs", "_viewers")
    mark = Mark("", "", ENDPOINT, "", is_service=False)

    def __init__(self, viewers: Viewers, packs: bool, lasts: Callable[[], bool]) -> None:
        self._viewers, self._packs, self._lasts = viewers, packs, lasts

    @property
    def is_over(self) -> bool:
        return self._viewers.is_over

    def take(self, request: Request, client: Connection) -> bool:
        """Answer; False: not one for here."""
        if self._viewers.is_over or client.is_draining or not self._lasts():
            return False
        self._viewers.answer(client, int(request.target[len(_TARGET) :]), self._packs)
        return True
