"""A tree that is made slower on purpose: a busy loop for each request, by model, on both paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.errors import PyrometerError

LANE, USUAL = "app/infer_lane.py", "app/api/v2.py"
TURNS = "BUSY_TURNS"
LOOP = f"for _ in repeat(None, {TURNS}.get({{name}}, 0)):\n{{indent}}    pass\n{{indent}}"
"""Not of a range: its numbers over 256 are made anew each, so that later turns would cost more."""
PLACES = (
    (LANE, "started_s = perf_counter()\n        content = request.body", "self._name", 8),
    (USUAL, 'record = begin_record(exchange, "/v2/models/{model}/infer", name)', "name", 4),
)
"""Where the loop goes in: before these words, which each file has once."""


def slow_down(tree: Path, turns: Mapping[str, int]) -> None:
    """Have every inference request of a model turn so often. A tree can be changed again.

    Raises PyrometerError where the tree's infer path looks otherwise than this knows.
    """
    for file, words, name, spaces in PLACES:
        path = tree / file
        kept = path.with_suffix(".py.kept")
        if not kept.exists():
            kept.write_text(path.read_text())
        text = kept.read_text()
        if text.count(words) != 1:
            raise PyrometerError(f"{file} has {words.splitlines()[0]!r} not once, as expected")
        loop = LOOP.format(name=name, indent=" " * spaces)
        table = f"\nfrom itertools import repeat\n\n{TURNS} = {dict(turns)!r}\n"
        path.write_text(text.replace(words, loop + words) + table)
