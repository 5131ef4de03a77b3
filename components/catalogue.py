"""What the console is told about each figure it shows.

The engine's metric catalogue is the source; app turns it into these plain entries, so that
components never import the engine. A figure without an entry keeps the console's own label
and goes without an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class CatalogueEntry(TypedDict):
    """One figure. name: a tile id or column of GET /performance/live."""

    name: str
    label: str
    unit: str
    help: str


CatalogueEntries = Sequence[CatalogueEntry]


def by_name(entries: CatalogueEntries) -> Mapping[str, CatalogueEntry]:
    """Entries by figure name; of two with one name the last counts."""
    return {entry["name"]: entry for entry in entries}
