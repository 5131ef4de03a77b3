"""One budget for the whole process: what is left beside code and models, the caches share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.caching.memory import MemoryTier


class MemoryBudget:
    """Lowers the limits of cache tiers while their budgets together do not fit.

    models_bytes: what loaded models are charged for.
    """

    def __init__(
        self, budget_bytes: int, tiers: Sequence[MemoryTier], models_bytes: Callable[[], int]
    ) -> None:
        self.budget_bytes = budget_bytes
        self._tiers = tuple(tiers)
        self._models_bytes = models_bytes

    def balance(self, resident_bytes: int) -> None:
        """Set every tier's limit by the process' resident memory now.

        Whatever is neither model nor cached value is taken to stay.
        """
        models, cached = self._models_bytes(), sum(tier.bytes for tier in self._tiers)
        base = max(0, resident_bytes - models - cached)
        room = max(0, self.budget_bytes - base - models)
        wanted = sum(tier.budget_bytes for tier in self._tiers)
        share = min(1.0, room / wanted) if wanted else 1.0
        for tier in self._tiers:
            limit = int(tier.budget_bytes * share)
            if limit != tier.limit_bytes:
                tier.limit(limit)
