"""Figures as people write them, in events and answers."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """A count with its noun, which takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_in_words(size_bytes: float) -> str:
    """Bytes in the unit that fits: 812 B, 3.2 kB, 14.1 MB."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= least:
            return f"{size_bytes / least:.1f} {unit}"
    return f"{size_bytes:.0f} B"
