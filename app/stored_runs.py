"""The stored runs of the load lab, read as the files that they are: FOLDER/<id>.json.

    Summary     what a list of runs shows, of each file
    read(id)    a whole file's bytes

A file is read again only where its size or time has changed.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from engine.errors import PyrometerError

MOST_RUNS = 500
MOST_BYTES = 8 * 1024 * 1024
"""A larger file is no run of ours."""
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
PLAIN = (
    *("id", "kind", "name", "started", "ended", "commit", "valid", "invalid_because"),
    *("cancelled", "requests", "errors", "requested_per_s", "achieved_per_s"),
    "highest_within_slo_per_s",
)
SPEC = (
    "url",
    "model",
    "version",
    "loop",
    "arrivals",
    "rate_per_s",
    "connections",
    "seconds",
    "ramp",
)
PERCENTILES = ("p50", "p95", "p99")


class UnknownRun(PyrometerError):
    """No such run is stored, or none is under way."""


class StoredRuns:
    """Reads and deletes the runs in a folder; the folder need not be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], dict[str, Any] | None]] = {}

    def revision(self) -> str:
        """Another text whenever a run was stored or deleted."""
        try:
            return str(self.folder.stat().st_mtime_ns)
        except OSError:
            return "0"

    def summaries(self) -> tuple[list[dict[str, Any]], int]:
        """At most MOST_RUNS, newest first; and how many files could not be read."""
        found = run_files(self.folder)[:MOST_RUNS]
        with self._lock:
            known, self._known = self._known, {}
            for path in found:
                with suppress(OSError):
                    about = path.stat()
                    key = (about.st_mtime_ns, about.st_size)
                    held = known.get(path.stem)
                    same = held is not None and held[0] == key
                    self._known[path.stem] = held if same and held else (key, summary_of(path))
            told = [summary for _, summary in self._known.values() if summary is not None]
        return told, len(found) - len(told)

    def read(self, run: str) -> bytes:
        """A stored run as JSON. Raises UnknownRun."""
        path = self._path(run)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UnknownRun(f"run {run} is over {MOST_BYTES} bytes and is not read")
            content = path.read_bytes()
            orjson.loads(content)
        except OSError:
            raise UnknownRun(f"no run {run} is stored; the newest {MOST_RUNS} are kept") from None
        except orjson.JSONDecodeError as error:
            raise UnknownRun(f"run {run} cannot be read: {error}") from None
        return content

    def delete(self, run: str) -> None:
        """Forget a run. Raises UnknownRun."""
        try:
            self._path(run).unlink()
        except OSError:
            raise UnknownRun(f"no run {run} is stored") from None

    def _path(self, run: str) -> Path:
        if not ID.fullmatch(run):
            raise UnknownRun(f"no run {run[:80]!r} is stored")
        return self.folder / f"{run}.json"


def run_files(folder: Path) -> list[Path]:
    """The files of a folder that are named as runs are, the newest first."""
    try:
        found = [one for one in folder.glob("*.json") if ID.fullmatch(one.stem)]
    except OSError:
        return []
    return sorted(found, key=lambda path: path.stem, reverse=True)


def summary_of(path: Path) -> dict[str, Any] | None:
    """What a list shows of a stored run; None where the file is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        run = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(run, dict) or run.get("id") != path.stem:
        return None
    spec = _object(run.get("spec"))
    latency = _object(run.get("latency_ms"))
    slo, payload = _object(spec.get("slo")), _object(spec.get("payload"))
    return (
        {name: run.get(name) for name in PLAIN}
        | {name: spec.get(name) for name in SPEC}
        | {f"{name}_ms": latency.get(name) for name in PERCENTILES}
        | {"slo": slo, "rows": payload.get("rows"), "source": payload.get("source")}
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
