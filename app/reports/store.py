"""Stored reports: <state>/reports/<id>.json, at most MOST_REPORTS and MOST_BYTES of them.

An id sorts by time: <UTC yyyymmddThhmmssZ>-<6 hex>. The oldest make room. A report is data; HTML
and Markdown are made of it when they are asked for.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from engine.errors import PyrometerError
from engine.files import write_atomically

log = logging.getLogger(__name__)
MOST_REPORTS = 30
MOST_BYTES = 64 * 1024 * 1024
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


class UnknownReport(PyrometerError):
    """No such report is stored."""


class ReportStore:
    """The reports of one folder, which need not be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, dict[str, Any]]] = {}

    def write(self, report: Mapping[str, Any]) -> str:
        """Keep a report; returns its new id. Raises OSError."""
        made = float(report["made"])
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(made))}-{secrets.token_hex(3)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        content = orjson.dumps({**report, "id": name}, option=orjson.OPT_SERIALIZE_NUMPY)
        write_atomically(self.folder / f"{name}.json", content)
        self._make_room()
        return name

    def _make_room(self) -> None:
        """The oldest go beyond the bounds; the newest always stays."""
        total = 0
        for place, path in enumerate(self._paths()):
            total += path.stat().st_size
            if place and (place >= MOST_REPORTS or total > MOST_BYTES):
                path.unlink(missing_ok=True)

    def summaries(self) -> list[dict[str, Any]]:
        """What a list shows of each, the newest first; files that cannot be read are left out."""
        found: dict[str, tuple[int, dict[str, Any]]] = {}
        with self._lock:
            for path in self._paths():
                try:
                    changed = path.stat().st_mtime_ns
                    kept = self._known.get(path.stem)
                    same = kept is not None and kept[0] == changed
                    found[path.stem] = kept if same and kept else (changed, self._summary(path))
                except (OSError, PyrometerError) as error:
                    log.warning("report %s is left out: %s", path.name, error)
            self._known = found
            return [summary for _, summary in found.values()]

    def _summary(self, path: Path) -> dict[str, Any]:
        report = self.read(path.stem)
        window = report.get("window")
        return {
            "id": report["id"],
            "made": report["made"],
            "by": report["by"],
            "version": report["version"],
            "text": report["summary"]["text"],
            "met": report["summary"]["met"],
            "missed": report["summary"]["missed"],
            "no_data": report["summary"]["no_data"],
            "window": window["words"] if window else None,
            "bytes": path.stat().st_size,
        }

    def read(self, name: str) -> dict[str, Any]:
        """A whole report. Raises UnknownReport."""
        path = self._path(name)
        try:
            report = orjson.loads(path.read_bytes())
            if report["id"] != name or not isinstance(report["summary"], dict):
                raise ValueError("it is no report")
        except OSError:
            raise UnknownReport(
                f"no report {name} is stored; the newest {MOST_REPORTS} are kept"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise UnknownReport(f"report {name} cannot be read: {error}") from None
        return dict(report)

    def delete(self, name: str) -> None:
        """Forget a report. Raises UnknownReport."""
        try:
            self._path(name).unlink()
        except OSError:
            raise UnknownReport(f"no report {name} is stored") from None

    def _path(self, name: str) -> Path:
        if not ID.fullmatch(name):
            raise UnknownReport(f"no report {name[:80]!r} is stored")
        return self.folder / f"{name}.json"

    def _paths(self) -> list[Path]:
        """The newest first."""
        try:
            found = [path for path in self.folder.glob("*.json") if ID.fullmatch(path.stem)]
        except OSError:
            return []
        return sorted(found, key=lambda path: path.stem, reverse=True)
