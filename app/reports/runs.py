"""The stored runs that a report draws from: <state>/runs/<id>.json, whoever measured them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from app.stored_runs import ID, MOST_RUNS, run_files

log = logging.getLogger(__name__)
MOST_BYTES = 20_000_000
_KIND = re.compile(rb'"kind"\s*:\s*"([a-z]{1,20})"')
_HEAD_BYTES = 2048


def newest(folder: Path, kind: str) -> dict[str, Any] | None:
    """The newest valid run of a kind; the newest of all where none is valid."""
    other = None
    for run in of_kind(folder, kind):
        if run.get("valid"):
            return run
        other = other or run
    return other


def of_kind(folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Runs of a kind, the newest first."""
    for path in run_files(folder)[:MOST_RUNS]:
        if _kind_of(path) == kind:
            run = _read(path)
            if run is not None:
                yield run


def read(folder: Path, run_id: str) -> dict[str, Any] | None:
    """One run; None where there is none."""
    return _read(folder / f"{run_id}.json") if ID.fullmatch(run_id) else None


def _kind_of(path: Path) -> str | None:
    """A run's kind from the first bytes of its file, so that others need not be parsed."""
    try:
        with path.open("rb") as file:
            found = _KIND.search(file.read(_HEAD_BYTES))
    except OSError:
        return None
    return found[1].decode() if found else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is over {MOST_BYTES} bytes")
        run = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        log.warning("run %s cannot be read: %s", path.name, error)
        return None
    return run if isinstance(run, dict) and run.get("id") == path.stem else None
