"""The audit log: who did what to which model, when, and how it ended.

<state>/audit.jsonl      a line an action, appended before its answer is sent; mode 0600
<state>/audit.1.jsonl    the one before, once it had MOST_BYTES; OLDER_FILES of them are kept
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from app.access.callers import Clock

log = logging.getLogger("pyrometer.audit")
FILE = "audit.jsonl"
MOST_BYTES = 8 * 1024 * 1024
OLDER_FILES = 4
KEPT_IN_MEMORY = 500
NAMED = (
    *("model", "models", "version", "tier", "pinned", "id", "rule", "alert", "name", "run"),
    *("author", "seconds", "hz", "url", "experiment", "variant"),
)
"""Fields of an action's body that say what it was done to."""
MOST_VALUE = 200
MOST_BODY = 65_536


class AuditLog:
    """The newest actions in memory, all of them on disk until the files' bound."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        most_bytes: int = MOST_BYTES,
        writes: bool = True,
    ) -> None:
        self._path, self._clock, self._most_bytes = folder / FILE, clock, most_bytes
        self._lock = threading.Lock()
        self._newest: deque[dict[str, Any]] | None = None
        self._writes = writes
        self._descriptor = -1
        self._bytes = 0
        self.unwritten = 0

    def note(
        self,
        who: str,
        address: str,
        what: str,
        target: Mapping[str, Any],
        status: int,
        request_id: str = "",
    ) -> None:
        """Write one action. A disk that is full costs the line on disk, never the action."""
        entry = {
            "time": round(self._clock(), 3),
            "who": who,
            "address": address,
            "what": what,
            "target": dict(target),
            "status": status,
            "request": request_id,
        }
        with self._lock:
            self._held().append(entry)
            if not self._writes:
                return
            try:
                self._append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            except OSError as error:
                self.unwritten += 1
                self._close()
                log.error("an action is not in the audit log on disk: %s", error)

    def newest(self, most: int) -> list[dict[str, Any]]:
        """The newest first."""
        with self._lock:
            held = self._held()
            return [held[-place] for place in range(1, min(most, len(held)) + 1)]

    def close(self) -> None:
        with self._lock:
            self._close()

    def _held(self) -> deque[dict[str, Any]]:
        if self._newest is None:
            self._newest = deque(_tail(self._path), maxlen=KEPT_IN_MEMORY)
        return self._newest

    def _append(self, line: bytes) -> None:
        if self._descriptor < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            self._bytes = os.fstat(self._descriptor).st_size
        if self._bytes and self._bytes + len(line) > self._most_bytes:
            self._rotate()
            return self._append(line)
        written = os.write(self._descriptor, line)
        self._bytes += written
        if written < len(line):
            raise OSError(f"{written} of {len(line)} bytes were written")
        return None

    def _rotate(self) -> None:
        self._close()
        for place in range(OLDER_FILES - 1, 0, -1):
            older = self._older(place)
            if older.exists():
                older.replace(self._older(place + 1))
        self._path.replace(self._older(1))

    def _older(self, place: int) -> Path:
        return self._path.with_name(f"audit.{place}.jsonl")

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _tail(path: Path) -> list[dict[str, Any]]:
    """The newest lines of a file; what is no line of ours is left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - KEPT_IN_MEMORY * 1024))
            lines = file.read().splitlines()[-KEPT_IN_MEMORY:]
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(entry, dict) and "what" in entry:
            found.append(entry)
    return found


def target_of(path_args: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """What an action is done to: the names in its path, and a few fields of its body."""
    target: dict[str, Any] = {name: value[:MOST_VALUE] for name, value in path_args.items()}
    if not body or len(body) > MOST_BODY:
        return target
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return target
    if not isinstance(fields, dict):
        return target
    for name in NAMED:
        value = fields.get(name)
        if isinstance(value, str):
            target[name] = value[:MOST_VALUE]
        elif isinstance(value, bool | int | float):
            target[name] = value
        elif isinstance(value, list):
            target[name] = ", ".join(one for one in value if isinstance(one, str))[:MOST_VALUE]
    return target
