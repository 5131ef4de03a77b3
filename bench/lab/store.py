"""Runs on disk: one JSON file each, written whole or not at all, the oldest making room.

An id sorts by time: <UTC yyyymmddThhmmssZ>-<6 hex>.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput, PyrometerError
from engine.files import write_atomically

log = logging.getLogger(__name__)
MOST_RUNS = 500
KINDS = ("load", "ramp", "soak", "gate", "optimization")
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
Summaries = list[dict[str, Any]]
SUMMARY = (
    "id",
    "kind",
    "name",
    "started",
    "ended",
    "valid",
    "invalid_because",
    "cancelled",
    "requests",
    "errors",
    "requested_per_s",
    "achieved_per_s",
    "lag_percent",
    "latency_ms",
    "highest_within_slo_per_s",
)


class RunStore:
    """The runs of one folder. Several processes may write to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._summaries: dict[str, tuple[int, dict[str, Any]]] = {}

    def list(self) -> Summaries:
        """Summaries, newest first: SUMMARY's keys, and url and model of the spec.

        A file that cannot be read is left out and logged.
        """
        found = {}
        for path in self._paths():
            try:
                changed = path.stat().st_mtime_ns
                kept = self._summaries.get(path.stem)
                summary = kept[1] if kept and kept[0] == changed else _summary(self.read(path.stem))
            except (OSError, PyrometerError) as error:
                log.warning("run %s is left out: %s", path.name, error)
                continue
            found[path.stem] = (changed, summary)
        self._summaries = found
        return [found[id_][1] for id_ in sorted(found, reverse=True)]

    def read(self, run_id: str) -> dict[str, Any]:
        """A whole run. Raises InvalidInput where there is none, or it is damaged."""
        try:
            run = json.loads(self.path_of(run_id).read_bytes())
        except FileNotFoundError:
            raise InvalidInput(f"id is {run_id!r}: there is no such run") from None
        except ValueError:
            run = None
        if not isinstance(run, dict):
            raise InvalidInput(f"id is {run_id!r}: the file of this run is damaged")
        return run

    def write(self, run: Mapping[str, Any]) -> str:
        """Keep a run under its own id, or a new one; its id. The oldest over MOST_RUNS go.

        Raises InvalidInput for a kind that is none of KINDS; OSError.
        """
        if run.get("kind") not in KINDS:
            raise InvalidInput(f"kind is {run.get('kind')!r}; it must be one of {', '.join(KINDS)}")
        run_id = str(run.get("id") or new_id(float(run.get("started") or time.time())))
        path = self.path_of(run_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(_plain({**run, "id": run_id}), allow_nan=False)
        write_atomically(path, content.encode())
        for old in sorted(self._paths(), key=lambda one: one.stem)[:-MOST_RUNS]:
            old.unlink(missing_ok=True)
        return run_id

    def delete(self, run_id: str) -> None:
        """Forget a run. Raises InvalidInput where there is none."""
        try:
            self.path_of(run_id).unlink()
        except FileNotFoundError:
            raise InvalidInput(f"id is {run_id!r}: there is no such run") from None

    def path_of(self, run_id: str) -> Path:
        """Its file. Raises InvalidInput for what cannot be an id."""
        if not isinstance(run_id, str) or not ID.fullmatch(run_id):
            raise InvalidInput(f"id is {str(run_id)[:80]!r}; it must be like {EXAMPLE}")
        return self.folder / f"{run_id}.json"

    def _paths(self) -> tuple[Path, ...]:
        return tuple(path for path in self.folder.glob("*.json") if ID.fullmatch(path.stem))


EXAMPLE = "20260301T120000Z-0a1b2c"


def new_id(started: float) -> str:
    """An id for a run that began at `started`, UTC seconds."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(started))}-{secrets.token_hex(3)}"


def _summary(run: Mapping[str, Any]) -> dict[str, Any]:
    spec = run.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    return {name: run.get(name) for name in SUMMARY} | {
        "url": spec.get("url"),
        "model": spec.get("model"),
    }


def _plain(value: Any) -> Any:
    """The value with NaN and infinities as None: there is no such figure."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
