"""What an engine must know of experiments before there is one: nothing of theirs is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.models.treatment import Treatment
from engine.supervised import Supervised

if TYPE_CHECKING:
    from engine.trial import Trial


@dataclass(slots=True)
class Led:
    """Which calls are led elsewhere.

    running: the experiment of a model, replaced whole. on_start: told the model whose calls are
    led from now on. treatments: how promoted versions are served, by name and version.
    promoted: the version that serves a model, where one is promoted.
    """

    running: Mapping[str, Trial] = field(default_factory=dict)
    on_start: list[Callable[[str], None]] = field(default_factory=list)
    treatments: dict[tuple[str, str], Treatment] = field(default_factory=dict)
    promoted: dict[str, str] = field(default_factory=dict)

    def threads(self) -> list[Supervised]:
        """Those of experiments that compare beside their callers."""
        shadows = (trial.shadow.thread for trial in self.running.values())
        return [thread for thread in shadows if thread is not None]
