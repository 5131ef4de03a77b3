"""One thread, once a second: drain, roll, store, compose the snapshot, serialise it once."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from engine.errors import without_folders
from engine.periodic import Periodic
from engine.supervised import Supervised
from engine.telemetry import snapshot as snapshots
from engine.telemetry.exemplars import Exemplars
from engine.telemetry.live import LiveFeed
from engine.telemetry.recorder import Recorder
from engine.telemetry.ring import Ring
from engine.telemetry.system import SystemSampler
from engine.telemetry.tally import AT, Tally, tally_of
from engine.telemetry.totals import Totals

log = logging.getLogger(__name__)
MAX_EVENTS = 50

CLOCK_JUMP_S = 2.0
"""A wall clock that moves this much against the monotonic one was set."""

Inventory = Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Second:
    """What one tick recorded. time: UTC seconds; elapsed_s: since the tick before.

    rows: the requests themselves, see engine.telemetry.rows.
    """

    seq: int
    time: float
    monotonic_s: float
    elapsed_s: float
    tally: Tally
    gauges: Mapping[str, float | None]
    rows: np.ndarray


class Ticker:
    """Owns the ring and the bytes that viewers are sent.

    inventory: the engine's part of the snapshot: models, caches, problems. gauges: figures of
    FROM_ENGINE. after: called at each tick's end with what the second brought. told: called with
    each event (time, kind, text), by whichever thread notes it.
    """

    def __init__(
        self,
        recorder: Recorder,
        inventory: Inventory,
        version: str,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        gauges: Callable[[], Mapping[str, float | None]] = dict,
    ) -> None:
        self.ring = Ring()
        self.system = SystemSampler(monotonic)
        self.totals = Totals(recorder.labels)
        self.exemplars = Exemplars(recorder)
        self.latest: dict[str, Any] = {}
        self.gauges: Mapping[str, float | None] = {}
        self.requests_per_s = self.own_ms = self.served_per_s = 0.0
        self.after: list[Callable[[Second], None]] = []
        self.told: list[Callable[[tuple[float, str, str]], None]] = []
        self._recorder = recorder
        self._inventory = inventory
        self._gauges = gauges
        self._wall, self._monotonic = wall, monotonic
        self._events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self._about = {
            "instance": uuid.uuid4().hex,
            "started": wall(),
            "version": version,
            "columns": snapshots.LIVE_COLUMNS,
        }
        self._points: deque[bytes] = deque(maxlen=snapshots.POINTS)
        self.feed = LiveFeed()
        self._last_tick = monotonic()
        self.wall_offset_s = wall() - monotonic()
        self._periodic = Periodic("ticker", 1.0, self.tick, monotonic)
        self._tick_lock = threading.Lock()

    def event(self, kind: str, text: str) -> None:
        """Note something that happened: a load, a warm-up, a flush, a failure.

        The log has all of the text; viewers are told no folders.
        """
        now, short = self._wall(), without_folders(text)[:500]
        self._events.append({"t": now, "kind": kind, "text": short})
        for tell in self.told:
            tell((now, kind, short))
        log.info("%s: %s", kind, text)

    def events(self) -> list[dict[str, Any]]:
        return list(self._events)

    @property
    def thread(self) -> Supervised:
        return self._periodic.thread

    def start(self) -> None:
        self.tick()
        self._periodic.start()

    def stop(self) -> None:
        self._periodic.stop()
        self.system.close()

    def tick(self) -> None:
        """Do one second's work; called by the thread, or by a test with its own clock."""
        with self._tick_lock:
            now_s = self._monotonic()
            elapsed_s = max(1e-3, now_s - self._last_tick)
            self._last_tick = now_s
            self._follow_the_clock(now_s)
            drained = self._recorder.drain()
            tally = tally_of(drained.rows)
            self.exemplars.add(drained, now_s)
            self.requests_per_s = len(drained.rows) / elapsed_s
            durations = tally.sums[:, AT["duration_ns"]].sum()
            self.own_ms = durations / 1e6 / len(drained.rows) if len(drained.rows) else 0.0
            service = self._recorder.labels.is_service()
            self.served_per_s = int(service[drained.rows[:, 0]].sum()) / elapsed_s
            self.gauges = gauges = self._measured()
            seq = self.ring.append(now_s, elapsed_s, gauges, tally, service)
            self.totals.add(tally, now_s + self.wall_offset_s)
            time_s = now_s + self.wall_offset_s
            second = Second(seq, time_s, now_s, elapsed_s, tally, gauges, drained.rows)
            self._tell_followers(second)
            self._compose(second)
            (point,) = snapshots.points_of(self.ring.stretch(1), self.wall_offset_s)
            self._points.append(kept_point(point))
            self.feed.publish(seq, self.latest, self._points)

    def _measured(self) -> dict[str, float | None]:
        """Every gauge that can be read now."""
        found: dict[str, float | None] = {}
        for read in (self.system.sample, self._gauges):
            try:
                found |= read()
            except Exception:
                # Out of descriptors, say: what requests have come is counted all the same.
                log.exception("gauges could not be read")
        return found

    def _tell_followers(self, second: Second) -> None:
        for follow in self.after:
            try:
                follow(second)
            except Exception:
                # A second must reach the viewers whatever becomes of it elsewhere.
                log.exception("a second was not taken")

    def _follow_the_clock(self, now_s: float) -> None:
        """A set clock moves all that was recorded with it; viewers are sent it anew."""
        offset_s = self._wall() - now_s
        moved_s, self.wall_offset_s = offset_s - self.wall_offset_s, offset_s
        if abs(moved_s) < CLOCK_JUMP_S:
            return
        direction = "forward" if moved_s > 0 else "back"
        self.event("clock", f"the machine's clock was set {direction} by {abs(moved_s):,.0f} s")
        self._about["instance"] = uuid.uuid4().hex
        rows = snapshots.points_of(self.ring.stretch(snapshots.POINTS), offset_s)
        self._points.extend(map(kept_point, rows))

    def _compose(self, second: Second) -> None:
        inventory = self._inventory()
        tile_list = snapshots.tiles(self.ring, second.gauges)
        problems = inventory.pop("problems", {})
        self.latest = {
            "seq": second.seq,
            "time": second.time,
            **self._about,
            "health": snapshots.health(
                tile_list,
                inventory["models"],
                len(problems),
                inventory.get("alerts", []),
                is_young=second.seq <= snapshots.WINDOW_S,
            ),
            "tiles": tile_list,
            "phases": snapshots.phase_icicle(self.ring, self._recorder.labels),
            **inventory,
            "problems": problems,
            "events": self.events(),
        }


def kept_point(point: list[float | None]) -> bytes:
    """JSON to keep: a copy, since what the encoder returns fills 8 kB whatever its length."""
    return bytes(memoryview(orjson.dumps(point)))
