"""Where a model runs: here, or on replicas elsewhere. Pure.

model.toml or settings say   ->  that, if it can be shipped
nothing that can be shipped  ->  local
a run is quick               ->  local
compute < WORTH x the trip   ->  local
else                         ->  ray
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.executors.remote import AUTO, LOCAL, RAY
from engine.files import write_atomically

WORTH = 3.0
"""A run must take so many times the trip: below, most of a remote answer's time is the way."""


FILE = "placements.json"


@dataclass(frozen=True, slots=True)
class Placement:
    """where: LOCAL or RAY. run_us, trip_us: by rows, as measured."""

    where: str
    reason: str
    run_us: Mapping[int, float] = field(default_factory=dict)
    trip_us: Mapping[int, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "reason": self.reason,
            "run_us": {str(rows): us for rows, us in self.run_us.items()},
            "trip_us": {str(rows): us for rows, us in self.trip_us.items()},
        }


def place(
    choice: str,
    chosen_by: str,
    obstacle: str | None,
    run_us: Mapping[int, float],
    trip_us: Mapping[int, float],
    inline_us: float,
) -> Placement:
    """The placement of one model.

    choice: AUTO, LOCAL or RAY; chosen_by: who said so, in words. obstacle: why it cannot be
    shipped. run_us: of its plan, trip_us: there and back with as many rows. inline_us: a run
    below it is quick.
    """

    def placed(where: str, reason: str) -> Placement:
        return Placement(where, reason, run_us, trip_us)

    if choice == LOCAL:
        return placed(LOCAL, f"{chosen_by} says local")
    if obstacle is not None:
        return placed(LOCAL, obstacle)
    if choice == RAY:
        return placed(RAY, f"{chosen_by} says ray")
    if not run_us:
        return placed(LOCAL, "its runs were not measured")
    rows = min(run_us)
    words = f"{rows} row{'' if rows == 1 else 's'} take{'s' if rows == 1 else ''} "
    words += f"{run_us[rows]:,.0f} us"
    if run_us[rows] < inline_us:
        return placed(LOCAL, f"{words}: quick, below inline_us {inline_us:,.0f} us")
    if rows not in trip_us:
        return placed(LOCAL, f"{words}; the trip was not measured")
    times = run_us[rows] / trip_us[rows]
    words += f", the trip {trip_us[rows]:,.0f} us: {times:.2g}x"
    if times < WORTH:
        return placed(LOCAL, f"{words}, worth it from {WORTH:g}x")
    return placed(RAY, f"{words}, worth it from {WORTH:g}x")


def write_words(folder: Path, words: Mapping[tuple[str, str], str]) -> None:
    """Keep where models run, in words, for whoever reads it without the server."""
    table = {f"{name} {version}": said for (name, version), said in words.items()}
    with contextlib.suppress(OSError):
        write_atomically(folder / FILE, json.dumps(table, indent=1).encode())


def read_words(folder: Path, name: str, version: str) -> str:
    """Where a model ran when a server last placed it, in words."""
    try:
        said = json.loads((folder / FILE).read_bytes())[f"{name} {version}"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{name} {version}: no server has placed it yet"
    return f"{name} {version} {said}"


def choice_of(declared: str, name: str, forced: frozenset[str]) -> tuple[str, str]:
    """What is wanted of a model, and who says so: the setting goes before model.toml."""
    if name in forced or "*" in forced:
        return RAY, "ray_models"
    return (declared, "model.toml") if declared != AUTO else (AUTO, "")
