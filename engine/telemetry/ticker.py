"""One thread, once a second: drain, roll, store, compose the snapshot, serialise it once."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from engine.periodic import Periodic
from engine.telemetry import snapshot as snapshots
from engine.telemetry.recorder import Recorder
from engine.telemetry.ring import Ring
from engine.telemetry.system import SystemSampler

log = logging.getLogger(__name__)
MAX_EVENTS = 50

Inventory = Callable[[], dict[str, Any]]


class Ticker:
    """Owns the ring and the bytes that viewers are sent.

    inventory: the engine's part of the snapshot: models, caches, problems.
    """

    def __init__(
        self,
        recorder: Recorder,
        inventory: Inventory,
        version: str,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ring = Ring()
        self.system = SystemSampler(monotonic)
        self.latest: dict[str, Any] = {}
        self._recorder = recorder
        self._inventory = inventory
        self._wall, self._monotonic = wall, monotonic
        self._events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self._about = {
            "instance": uuid.uuid4().hex,
            "started": wall(),
            "version": version,
            "columns": snapshots.LIVE_COLUMNS,
        }
        self._head = b"{}"
        self._points: deque[bytes] = deque(maxlen=snapshots.POINTS)
        self._published: tuple[int, bytes, tuple[bytes, ...]] = (0, b"", ())
        self._last_tick = monotonic()
        self._periodic = Periodic("ticker", 1.0, self.tick, monotonic)
        self._tick_lock = threading.Lock()

    def event(self, kind: str, text: str) -> None:
        """Note something that happened: a load, a warm-up, a flush, a failure."""
        self._events.append({"t": self._wall(), "kind": kind, "text": text[:500]})
        log.info("%s: %s", kind, text)

    def events(self) -> list[dict[str, Any]]:
        return list(self._events)

    def start(self) -> None:
        self.tick()
        self._periodic.start()

    def stop(self) -> None:
        self._periodic.stop()

    def tick(self) -> None:
        """Do one second's work; called by the thread, or by a test with its own clock."""
        with self._tick_lock:
            now_s = self._monotonic()
            elapsed_s = max(1e-3, now_s - self._last_tick)
            self._last_tick = now_s
            counts, histogram = self._recorder.drain()
            sampled = self.system.sample()
            row = snapshots.second_row(counts, histogram, self._wall(), elapsed_s) | sampled
            seq = self.ring.append(row, counts, histogram)
            self._compose(seq, sampled)
            (point,) = self.ring.rows(1)
            self._points.append(orjson.dumps(point))
            self._published = (seq, self._head, tuple(self._points))

    def _compose(self, seq: int, sampled: dict[str, float | None]) -> None:
        inventory = self._inventory()
        tile_list = snapshots.tiles(self.ring, sampled)
        problems = inventory.pop("problems", {})
        self.latest = {
            "seq": seq,
            "time": self._wall(),
            **self._about,
            "health": snapshots.health(tile_list, inventory["models"], len(problems)),
            "tiles": tile_list,
            "phases": snapshots.phase_icicle(self._recorder.phases()),
            **inventory,
            "problems": problems,
            "events": self.events(),
        }
        self._head = orjson.dumps(self.latest)

    def live(self, since: int) -> bytes:
        """JSON of the snapshot with the points after sequence number `since`."""
        seq, head, points = self._published
        lacking = seq - since if 0 <= since <= seq else seq
        sent = points[-lacking:] if lacking else ()
        return b'%s,"points":[%s]}' % (head[:-1], b",".join(sent))
