"""History: what the ticker saw, carried to a file by a writer of its own.

    ticker -> offer -> running bucket -> queue (bounded) -> writer thread -> SQLite

No tick waits for the disk. While the file cannot be written, buckets wait in the queue, at
most MAX_WAITING of them; the oldest go first and are counted. A damaged file is set aside,
not deleted, and a new one is begun.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np

from engine.errors import without_folders
from engine.supervised import Supervised
from engine.telemetry.history_file import HistoryFile
from engine.telemetry.labels import Labels
from engine.telemetry.rollup import TIERS, Bucket
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import Tally

log = logging.getLogger(__name__)
Found = TypeVar("Found")
FILE_NAME = "history.sqlite"
MAX_WAITING = 360
"""Buckets of the finest tier: one hour."""
MAX_EVENTS_WAITING = 1000
COPY_EVERY_S = 5.0
RETRY_S = 1.0
PRUNE_EVERY_S = 600.0
DAMAGED = ("malformed", "not a database", "file is encrypted", "no such table", "no such column")

AlertEvent = tuple[float, str, str, str, float | None, str]
Event = tuple[float, str, str]
"""Time, kind, text."""


class History:
    """Keeps buckets on disk. limit_bytes: of the file's pages in use."""

    def __init__(
        self,
        folder: Path,
        labels: Labels,
        limit_bytes: int,
        tell: Callable[[str, str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = folder / FILE_NAME
        self.limit_bytes = limit_bytes
        self._labels, self._tell, self._wall = labels, tell, wall
        self._running: Bucket | None = None
        self._copied_s = 0.0
        self._waiting: deque[Bucket] = deque()
        self._alerts: deque[AlertEvent] = deque(maxlen=MAX_EVENTS_WAITING)
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS_WAITING)
        self._partial: Bucket | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._file: HistoryFile | None = None
        self._owned: TextIO | None = None
        self._pruned_s = float("-inf")
        self._caught_up = False
        self.problem: str | None = None
        self.problem_since: float | None = None
        self.set_aside: list[str] = []
        self.dropped = self.written = self.used_bytes = 0
        self.thread = Supervised("history", self._run)

    def start(self) -> None:
        self.thread.start()

    def alert_events(self, since_s: float) -> list[dict[str, Any]] | None:
        """What happened to alerts, newest first; None where the file cannot be read."""
        return self._read(lambda file: file.alert_events(since_s))

    def events(self, from_s: float, to_s: float, limit: int) -> list[Event]:
        """What is on file of what happened between two times; none where it cannot be read."""
        return self._read(lambda file: file.events(from_s, to_s, limit)) or []

    def _read(self, look: Callable[[HistoryFile], Found]) -> Found | None:
        try:
            file = HistoryFile(self.path, reads_only=True)
            try:
                return look(file)
            finally:
                file.close()
        except sqlite3.Error:
            return None

    # the ticker's side: no I/O here

    def offer(
        self, time_s: float, elapsed_s: float, tally: Tally, gauges: Mapping[str, float | None]
    ) -> None:
        """Add one second that ended at time_s, UTC."""
        step_s = TIERS[0].step_s
        start_s = int((time_s - elapsed_s / 2) // step_s) * step_s
        running = self._running
        if running is None or running.start_s != start_s:
            if running is not None:
                self._queue(running)
            running = self._running = Bucket(start_s)
            self._copied_s = time_s
        values = [gauges.get(name) for name in GAUGES]
        row = np.array([np.nan if value is None else value for value in values])
        running.add(elapsed_s, tally, row, self._labels)
        if abs(time_s - self._copied_s) >= COPY_EVERY_S:
            self._copied_s = time_s
            copy = running.copied()
            with self._lock:
                self._partial = copy
            self._wake.set()

    def _queue(self, bucket: Bucket) -> None:
        with self._lock:
            self._partial = None
            self._waiting.append(bucket)
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
        self._wake.set()

    def note_alert(self, event: AlertEvent) -> None:
        """Keep what happened to an alert."""
        self._alerts.append(event)
        self._wake.set()

    def note_event(self, event: Event) -> None:
        """Keep something that happened; it is written with the next bucket."""
        self._events.append(event)

    def status(self) -> dict[str, Any]:
        """What is recorded, and if not, why and since when."""
        return {
            "recording": self.problem is None,
            "problem": self.problem,
            "problem_since": self.problem_since,
            "waiting": len(self._waiting),
            "limit_waiting": MAX_WAITING,
            "dropped": self.dropped,
            "written": self.written,
            "bytes": self.used_bytes,
            "limit_bytes": self.limit_bytes,
            "set_aside": self.set_aside,
        }

    # the writer's side

    def close(self, wait_s: float = 5.0) -> None:
        """Write what is there and end the writer, or leave it after wait_s."""
        running, self._running = self._running, None
        if running is not None:
            self._queue(running)
        self._closing.set()
        self._wake.set()
        self.thread.join(wait_s)

    def _run(self) -> None:
        while True:
            if self.problem is None:
                self._wake.wait()
            else:
                self._closing.wait(RETRY_S)
            self._wake.clear()
            last = self._closing.is_set()
            try:
                self._write_all()
                self._recovered()
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
            except Exception as error:
                log.exception("history could not be written")
                self._failed(error)
            if last:
                self._drop_file()
                if self._owned is not None:
                    self._owned.close()
                return

    def _write_all(self) -> None:
        file = self._file
        if file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._own_folder()
            file = self._file = HistoryFile(self.path)
        while self._waiting:
            bucket = self._waiting[0]
            file.write(bucket)
            self.written += 1
            with self._lock:
                if self._waiting and self._waiting[0] is bucket:
                    self._waiting.popleft()
            self._derive(file, bucket)
        partial = self._partial
        if partial is not None:
            file.write(partial)
            with self._lock:
                if self._partial is partial:
                    self._partial = None
        while self._alerts:
            file.write_alert(self._alerts[0])
            self._alerts.popleft()
        while self._events:
            file.write_event(self._events[0])
            self._events.popleft()
        now_s = self._wall()
        if abs(now_s - self._pruned_s) > PRUNE_EVERY_S:
            file.prune(now_s, self.limit_bytes)
            self._pruned_s = now_s
        self.used_bytes = file.used_bytes()

    def _own_folder(self) -> None:
        """Be the only process that writes here. Raises OSError while another one is."""
        if self._owned is not None:
            return
        lock = self.path.with_suffix(".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise OSError(f"another process records to {self.path.parent}") from None
        self._owned = lock

    def _derive(self, file: HistoryFile, bucket: Bucket) -> None:
        """Coarser buckets that are complete now that this one is."""
        end_s = bucket.start_s + TIERS[0].step_s
        for finer, tier in pairwise(TIERS):
            if not self._caught_up:
                before_s = end_s // tier.step_s * tier.step_s
                for start_s in file.underived(tier, finer, before_s):
                    file.derive(tier, finer, start_s)
            if end_s % tier.step_s == 0:
                file.derive(tier, finer, end_s - tier.step_s)
        self._caught_up = True

    def _recovered(self) -> None:
        if self.problem is None:
            return
        self._tell("history", f"history is recorded again; {self.dropped} buckets were lost")
        self.problem = self.problem_since = None

    def _failed(self, error: Exception) -> None:
        self._drop_file()
        if isinstance(error, sqlite3.DatabaseError) and any(w in str(error) for w in DAMAGED):
            self._put_aside(str(error))
        if self.problem is None:
            self.problem_since = self._wall()
            self._tell("history", f"history is not recorded: {error}")
        self.problem = without_folders(str(error))

    def _drop_file(self) -> None:
        file, self._file, self._caught_up = self._file, None, False
        if file is not None:
            try:
                file.close()
            except sqlite3.Error:
                log.exception("the history file could not be closed")

    def _put_aside(self, why: str) -> None:
        """Rename a damaged file, so that its data can still be looked at."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._wall()))
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            for suffix in ("", "-wal", "-shm"):
                part = self.path.with_name(self.path.name + suffix)
                if part.exists():
                    os.replace(part, aside.with_name(aside.name + suffix))
        except OSError:
            log.exception("the damaged history file could not be set aside")
            return
        self.set_aside = [*self.set_aside, aside.name][-10:]
        self._tell("history", f"the history file was damaged ({why}); it is kept as {aside.name}")
