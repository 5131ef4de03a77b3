"""What the shared tier's parts hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """budget_ms: of one look-up in all. value_bytes: larger ones are not shared."""

    url: str
    budget_ms: float = 5.0
    connections: int = 8
    ttl_s: float = 86_400.0
    value_bytes: int = 1 << 20
    queue: int = 512
    state: Path | None = None


@dataclass(slots=True)
class SharedCounts:
    """Since start. misses: looked for and not there.

    refused: not what was written. timeouts, errors: look-ups that ended without an answer. busy:
    look-ups not made for want of a connection. rejected: too large. written, dropped: of what
    was offered. led, found, lapsed: runs that other servers could wait for; results that were
    waited for and came; those that did not come in time.
    """

    hits: int = 0
    misses: int = 0
    refused: int = 0
    timeouts: int = 0
    errors: int = 0
    busy: int = 0
    rejected: int = 0
    written: int = 0
    dropped: int = 0
    led: int = 0
    found: int = 0
    lapsed: int = 0


class Payload(NamedTuple):
    """A value that was found. ttl_s: how much longer it may be kept; 0 has no end."""

    content: bytes
    ttl_s: float


class Ticket:
    """What one run may read and keep; see the module.

    prefix: of its keys, b"" where nothing may be. mark: of the flushes known when it was taken.
    asked: it was looked for. claim: the key of its claim, b"" where there is none.
    """

    __slots__ = ("asked", "claim", "epochs", "group", "mark", "prefix")

    def __init__(
        self, group: str, prefix: bytes, epochs: tuple[int, int], mark: tuple[int, int]
    ) -> None:
        self.group, self.prefix, self.epochs, self.mark = group, prefix, epochs, mark
        self.asked, self.claim = False, b""

    def another(self) -> Ticket:
        """The same for another run of the same moment."""
        other = Ticket(self.group, self.prefix, self.epochs, self.mark)
        other.asked = self.asked
        return other
