"""What answers whoever names no version: put in place without a gap, kept, undone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.batching.policy import Lanes
from engine.experiments.book import Book, Promotion
from engine.experiments.definition import Variant
from engine.experiments.experiment import Experiment
from engine.models.treatment import AS_IS
from engine.offers import treatment_of

if TYPE_CHECKING:
    from engine.engine import Engine


class Promotions:
    """Of one engine; whoever changes them holds a lock of their own."""

    def __init__(self, engine: Engine, lanes: Lanes, book: Book) -> None:
        self._engine, self._lanes, self._book = engine, lanes, book
        self._treatments = engine.led.treatments
        for model, promotion in book.promotions.items():
            self._treat(model, promotion.variant)
            engine.led.promoted[model] = promotion.variant.version

    def in_place(self, model: str) -> Variant:
        """What whoever names no version gets now. Raises UnknownModel."""
        promotion = self._book.promotions.get(model)
        version = self._engine.registry.slot(model).entry.version
        if promotion is not None and promotion.variant.version == version:
            return promotion.variant
        return Variant("control", version)

    def put(self, experiment: Experiment, variant: Variant) -> None:
        """Serve this from now on; nothing is done where it serves already.

        Raises ModelLoading, ModelFailed or OverBudget.
        """
        model = experiment.definition.model
        now = self.in_place(model)
        if replace(now, name=variant.name, weight=variant.weight) == variant:
            return
        before = self._book.promotions.get(model)
        promotion = Promotion(
            model,
            variant,
            experiment.id,
            experiment.definition.name,
            time.time(),
            None if before is None else before.variant,
        )
        self._serve(model, variant)
        self._book.promote(promotion, model)

    def restore(self, promotion: Promotion) -> str:
        """Let what served before a promotion serve again; returns it in words. Raises as `put`."""
        model, before = promotion.model, promotion.before
        self._serve(model, before)
        if before is not None:
            self._book.promote(replace(promotion, variant=before, before=None), model)
            return before.text
        self._book.promote(None, model)
        return f"version {self._engine.registry.slot(model).entry.version}"

    def _serve(self, model: str, variant: Variant | None) -> None:
        """Warm first, then swapped. None: what model.toml says, as planned."""
        registry, wait_s = self._engine.registry, self._engine.settings.load_wait_s
        version = registry.declared_version(model) if variant is None else variant.version
        with registry.lease(model, version, wait_s):
            self._treat(model, variant)
            for slot in registry.slots():
                if slot.entry.name == model and slot.model is not None:
                    treatment = self._treatments.get(slot.entry.key, AS_IS)
                    wanted = treatment.digest_of(bytes.fromhex(slot.model.entry.digest))
                    if slot.model.digest != wanted:
                        fresh = slot.model.beside(treatment, self._lanes, "")
                        registry.put_in_place(slot, fresh)
            registry.promote(model, None if variant is None else version)

    def _treat(self, model: str, variant: Variant | None) -> None:
        for key in [key for key in self._treatments if key[0] == model]:
            del self._treatments[key]
        if variant is not None and not variant.is_plain:
            treatment = treatment_of(variant, self._engine.settings)
            self._treatments[model, variant.version] = treatment
