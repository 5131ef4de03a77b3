"""A model version's place in the registry, and the lease that keeps it there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

from engine.models.loaded import LoadedModel
from engine.models.repository import ModelEntry


@dataclass(slots=True, eq=False)
class Slot:
    """One model version and what became of it; changed only under the registry's lock.

    bytes: what the loaded model is charged for. leases: requests running on it.
    last_used: ordinal of the newest lease. problem: why newer content of the same version
    does not serve, or why the version was passed over. replacing: a load of newer content
    under way. preloading: its load was nobody's request. no_room: the budget was full when it
    was to be preloaded. untrusted: it failed because its digest was not trusted.
    """

    entry: ModelEntry
    state: str = "cold"
    model: LoadedModel | None = None
    error: str | None = None
    problem: str | None = None
    loading: Future[LoadedModel] | None = None
    replacing: tuple[str, Future[LoadedModel]] | None = None
    preloading: bool = False
    no_room: bool = False
    load_ms: float | None = None
    bytes: int = 0
    leases: int = 0
    last_used: int = 0
    pinned: bool = False
    unloaded: bool = False
    untrusted: bool = False
    loads: int = 0


class Lease:
    """Holds a model in memory while it is entered.

    cold: the request waited for the load.
    """

    __slots__ = ("_give_back", "cold", "model", "slot")

    def __init__(
        self, slot: Slot, model: LoadedModel, cold: bool, give_back: Callable[[Slot], None]
    ) -> None:
        self.slot, self.model, self.cold = slot, model, cold
        self._give_back = give_back

    def __enter__(self) -> LoadedModel:
        return self.model

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """The model may be evicted again, as far as this lease is concerned."""
        self._give_back(self.slot)
