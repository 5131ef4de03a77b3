"""The history's SQLite file: rows of buckets, events, and what happened to alerts.

    rows  tier, series, t -> seconds, layout, sums (int64), histogram (packed), gauges (float32)
    series 0 is all service traffic; layouts name the columns of sums and gauges, so that a
    file of another version is read by name

Every method may raise sqlite3.Error; one connection belongs to one thread.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from engine.telemetry.frames import Frames, Grid
from engine.telemetry.histogram import pack, unpack
from engine.telemetry.labels import OUTCOMES, Label, Series
from engine.telemetry.rollup import TIERS, TOTAL, Bucket, Tier
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import SUMS, TOTAL_AT, TOTALS

BUSY_MS = 1000
READ_BUSY_MS = 20
PAGE_BYTES = 16_384
CACHE_KIB = 512
"""Pages that a writer keeps: the newest of each tier. SQLite would take 2 MB."""
MAX_EVENTS = 10_000
"""Rows that each of EVENT_TABLES keeps."""
EVENT_TABLES = ("alert_events", "events")
SCHEMA = """
CREATE TABLE IF NOT EXISTS layouts (id INTEGER PRIMARY KEY, names TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, model TEXT, version TEXT, variant TEXT, route TEXT,
  is_service INTEGER, outcome TEXT,
  UNIQUE (model, version, variant, route, is_service, outcome));
CREATE TABLE IF NOT EXISTS rows (
  tier INTEGER, series INTEGER, t INTEGER, seconds REAL, layout INTEGER,
  sums BLOB, histogram BLOB, gauges BLOB,
  PRIMARY KEY (tier, series, t)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alert_events (
  id INTEGER PRIMARY KEY, t REAL, rule TEXT, severity TEXT, state TEXT, value REAL, text TEXT);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, t REAL, kind TEXT, text TEXT);
CREATE INDEX IF NOT EXISTS events_by_time ON events (t);
"""


class HistoryFile:
    """One connection. reads_only: for looking, beside the one that writes."""

    def __init__(self, path: Path, *, reads_only: bool = False) -> None:
        if reads_only:
            self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=READ_BUSY_MS / 1e3)
        else:
            self._db = sqlite3.connect(path, timeout=BUSY_MS / 1e3)
            self._prepare()
        self._series: dict[Series, int] = {}
        self._layouts: dict[int, dict[str, list[str]]] = {}
        self._layout = 0

    def _prepare(self) -> None:
        db = self._db
        # Rows of the usual size fit into a page; in pages of 4 KB each would take one and more.
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA journal_size_limit=4194304")
        db.execute(f"PRAGMA cache_size={-CACHE_KIB}")
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("malformed: quick_check failed")
        db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    # writing

    def write(self, bucket: Bucket) -> None:
        """Store a bucket of the finest tier; one with the same start is replaced."""
        with self._db:
            rows = [self._row(TIERS[0], bucket, series) for series in bucket.parts]
            self._put(rows)

    def _row(self, tier: Tier, bucket: Bucket, series: Series | None) -> tuple[object, ...]:
        part = bucket.parts[series]
        number = 0 if series is TOTAL else self._series_id(series)
        return (
            *(tier.step_s, number, bucket.start_s, bucket.seconds, self._layout_id()),
            *(part.sums.astype("<i8").tobytes(), pack(part.histogram)),
            bucket.gauges().tobytes() if series is TOTAL else b"",
        )

    def _put(self, rows: Iterable[tuple[object, ...]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?,?,?,?,?,?,?,?)", rows)

    def _layout_id(self) -> int:
        if not self._layout:
            names = json.dumps({"totals": TOTALS, "gauges": GAUGES})
            self._db.execute("INSERT OR IGNORE INTO layouts (names) VALUES (?)", (names,))
            found = self._db.execute("SELECT id FROM layouts WHERE names = ?", (names,))
            self._layout = int(found.fetchone()[0])
        return self._layout

    def _series_id(self, series: Series) -> int:
        known = self._series.get(series)
        if known is None:
            values = (*series.label, series.outcome)
            self._db.execute(
                "INSERT OR IGNORE INTO series (model, version, variant, route, is_service, outcome)"
                " VALUES (?,?,?,?,?,?)",
                values,
            )
            found = self._db.execute(
                "SELECT id FROM series WHERE (model, version, variant, route, is_service, outcome)"
                " = (?,?,?,?,?,?)",
                values,
            )
            known = self._series[series] = int(found.fetchone()[0])
        return known

    def derive(self, tier: Tier, finer: Tier, start_s: int) -> None:
        """Add a coarser bucket up from the finer ones within it."""
        found = self._db.execute(
            "SELECT DISTINCT series FROM rows WHERE tier = ? AND t >= ? AND t < ?"
            " AND series IN (SELECT 0 UNION SELECT id FROM series)",
            (finer.step_s, start_s, start_s + tier.step_s),
        ).fetchall()
        rows = []
        for (series,) in found:
            frame = Frames(Grid(start_s, tier.step_s, 1))
            self._read(frame, finer, [series], start_s, start_s + tier.step_s)
            gauges = np.stack([frame.means[0], frame.maxima[0]]).astype(np.float32)
            width = len(TOTALS) if series == 0 else len(SUMS)
            rows.append(
                (
                    *(tier.step_s, series, start_s, frame.seconds[0], self._layout_id()),
                    *(frame.totals[0, :width].astype("<i8").tobytes(), pack(frame.histograms[0])),
                    gauges.tobytes() if series == 0 else b"",
                )
            )
        with self._db:
            self._put(rows)

    def underived(self, tier: Tier, finer: Tier, before_s: int) -> list[int]:
        """Starts of coarser buckets whose finer rows are there and which are not themselves."""
        found = self._db.execute(
            "SELECT DISTINCT t / ? * ? AS start FROM rows WHERE tier = ? AND series = 0 AND t < ?"
            " EXCEPT SELECT t FROM rows WHERE tier = ? AND series = 0",
            (tier.step_s, tier.step_s, finer.step_s, before_s, tier.step_s),
        )
        return [int(start) for (start,) in found]

    def prune(self, now_s: float, limit_bytes: int) -> None:
        """Delete what is older than its tier is kept, and the oldest while the file is too big."""
        with self._db:
            for tier in TIERS:
                oldest = int(now_s) - tier.keep_s
                self._db.execute("DELETE FROM rows WHERE tier = ? AND t < ?", (tier.step_s, oldest))
            for table in EVENT_TABLES:
                self._db.execute(
                    f"DELETE FROM {table} WHERE id <= (SELECT max(id) - ? FROM {table})",
                    (MAX_EVENTS,),
                )
        for tier in TIERS:
            while self.used_bytes() > limit_bytes and self._drop_oldest(tier):
                pass
        self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def _drop_oldest(self, tier: Tier) -> bool:
        """Delete the oldest tenth of a tier; False when there is nothing left of it."""
        first, last = self._db.execute(
            "SELECT min(t), max(t) FROM rows WHERE tier = ?", (tier.step_s,)
        ).fetchone()
        if first is None:
            return False
        until = first + max(tier.step_s, (last - first) // 10)
        with self._db:
            self._db.execute("DELETE FROM rows WHERE tier = ? AND t <= ?", (tier.step_s, until))
        return True

    def used_bytes(self) -> int:
        """Size of the pages in use."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def write_alert(self, event: tuple[float, str, str, str, float | None, str]) -> None:
        """Keep what happened to an alert: time, rule, severity, state, value, text."""
        with self._db:
            self._db.execute(
                "INSERT INTO alert_events (t, rule, severity, state, value, text)"
                " VALUES (?,?,?,?,?,?)",
                event,
            )

    def write_event(self, event: tuple[float, str, str]) -> None:
        """Keep something that happened: time, kind, text."""
        with self._db:
            self._db.execute("INSERT INTO events (t, kind, text) VALUES (?,?,?)", event)

    # reading

    def events(self, from_s: float, to_s: float, limit: int) -> list[tuple[float, str, str]]:
        """The newest events between two times, UTC seconds, newest first: time, kind, text."""
        found = self._db.execute(
            "SELECT t, kind, text FROM events WHERE t BETWEEN ? AND ? ORDER BY t DESC LIMIT ?",
            (from_s, to_s, limit),
        )
        return found.fetchall()

    def alert_events(self, since_s: float, limit: int = 1000) -> list[dict[str, object]]:
        """The newest alert events, newest first."""
        names = ("t", "rule", "severity", "state", "value", "text")
        found = self._db.execute(
            f"SELECT {', '.join(names)} FROM alert_events WHERE t >= ? ORDER BY id DESC LIMIT ?",
            (since_s, limit),
        )
        return [dict(zip(names, row, strict=True)) for row in found]

    def series(self) -> dict[int, Series]:
        """Every series that the file knows, by its number there."""
        found = self._db.execute(
            "SELECT id, model, version, variant, route, is_service, outcome FROM series"
        )
        return {
            row[0]: Series(Label(row[1], row[2], row[3], row[4], bool(row[5])), row[6])
            for row in found
        }

    def read(
        self,
        frames: Frames,
        tier: Tier,
        since_s: float,
        until_s: float,
        model: str | None,
        whole_from_s: float = math.inf,
    ) -> float:
        """Add a tier's buckets that lie between since_s and until_s, both within the grid.

        model: None is all service traffic. whole_from_s: of buckets that begin from then on,
        only whole ones. Returns the end of the last bucket, or since_s.
        """
        if model is None:
            return self._read(frames, tier, [0], since_s, until_s, None, whole_from_s)
        known = self.series()
        outcomes = {
            number: OUTCOMES.index(series.outcome)
            for number, series in known.items()
            if series.label.model == model and series.label.is_service
        }
        numbers = list(outcomes)
        return self._read(frames, tier, numbers, since_s, until_s, outcomes, whole_from_s)

    def _read(
        self,
        frames: Frames,
        tier: Tier,
        numbers: Sequence[int],
        since_s: float,
        until_s: float,
        outcomes: dict[int, int] | None = None,
        whole_from_s: float = math.inf,
    ) -> float:
        """outcomes: what each series' requests count as, where they are no total."""
        since, until = math.ceil(since_s), math.floor(until_s) - tier.step_s
        found = [
            row
            for number in numbers
            for row in self._db.execute(
                "SELECT t, series, seconds, layout, sums, histogram, gauges FROM rows"
                " WHERE tier = ? AND series = ? AND t >= ? AND t <= ? ORDER BY t",
                (tier.step_s, number, since, until),
            )
            if row[0] < whole_from_s or row[2] > tier.step_s - 1
        ]
        if not found:
            return since_s
        starts = np.array([row[0] for row in found])
        places = frames.grid.places(starts + tier.step_s / 2)
        seconds = np.array([row[2] for row in found])
        # Several series of one time cover it once.
        _, firsts = np.unique(starts, return_index=True)
        frames.add_time(places[firsts], seconds[firsts])
        frames.histograms += unpack([row[5] for row in found], places, len(frames))
        self._add_sums(frames, found, places, outcomes)
        with_gauges = np.array([bool(row[6]) for row in found])
        for layout in {row[3] for row in found}:
            own = np.array([row[3] == layout for row in found]) & with_gauges
            if not own.any():
                continue
            packed = b"".join(row[6] for row, mine in zip(found, own, strict=True) if mine)
            means, maxima = self._gauges(packed, layout, int(own.sum()))
            frames.add_gauges(places[own], seconds[own], means, maxima)
        return float(starts.max() + tier.step_s)

    def _add_sums(
        self,
        frames: Frames,
        found: Sequence[tuple[int, int, float, int, bytes, bytes, bytes]],
        places: np.ndarray,
        outcomes: dict[int, int] | None,
    ) -> None:
        kinds = {(row[3], len(row[4])) for row in found}
        for layout, width in kinds:
            same = [at for at, row in enumerate(found) if (row[3], len(row[4])) == (layout, width)]
            packed = b"".join(found[at][4] for at in same)
            sums = np.frombuffer(packed, dtype="<i8").reshape(len(same), -1)
            names = self._names(layout)["totals"][: sums.shape[1]]
            columns = [(at, TOTAL_AT[name]) for at, name in enumerate(names) if name in TOTAL_AT]
            target = np.zeros((len(same), len(TOTALS)), dtype=np.int64)
            target[:, [to for _, to in columns]] = sums[:, [at for at, _ in columns]]
            if outcomes is not None:
                as_what = [len(SUMS) + outcomes[found[at][1]] for at in same]
                target[np.arange(len(same)), as_what] = target[:, TOTAL_AT["requests"]]
            np.add.at(frames.totals, places[same], target)

    def _gauges(self, packed: bytes, layout: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Means and maxima, each (count, len(GAUGES)), in today's order."""
        values = np.frombuffer(packed, dtype=np.float32).reshape(count, 2, -1)
        names = self._names(layout)["gauges"]
        found = np.full((count, 2, len(GAUGES)), np.nan)
        for at, name in enumerate(names):
            if name in GAUGES:
                found[:, :, GAUGES.index(name)] = values[:, :, at]
        return found[:, 0], found[:, 1]

    def _names(self, layout: int) -> dict[str, list[str]]:
        if layout not in self._layouts:
            row = self._db.execute("SELECT names FROM layouts WHERE id = ?", (layout,)).fetchone()
            self._layouts[layout] = json.loads(row[0])
        return self._layouts[layout]
