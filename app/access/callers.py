"""Who asks: a key, a session of the console, or nobody in particular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.access.scopes import SCOPES

Clock = Callable[[], float]
"""Seconds since the epoch, UTC."""


@dataclass(frozen=True, slots=True)
class Caller:
    """name: as people know it. by: "key", "session" or "nobody". id: of its key, or of a
    session without one. generation: of that key. session: its number. expires_s: UTC."""

    name: str
    by: str
    id: str
    scopes: frozenset[str]
    generation: str = ""
    session: str = ""
    expires_s: float | None = None

    @property
    def words(self) -> str:
        """As the audit log has it."""
        if self.by == "nobody":
            return self.name
        return f"{self.by} {self.name}" + (f" ({self.id})" if self.id else "")


ANYBODY = Caller("without a key", "nobody", "", frozenset(SCOPES))
"""Where nobody is asked who they are."""
UNKNOWN = Caller("unknown", "nobody", "", frozenset())
"""Where one is asked, and gave nothing that counts."""
