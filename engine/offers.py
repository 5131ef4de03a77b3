"""What a model's variants may be, and why not: asked before an experiment is made and started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.batching.policy import policy_of, quick_rows
from engine.config import Settings
from engine.errors import InvalidInput, UnknownModel
from engine.experiments.definition import Definition, Variant
from engine.models.loaded import LoadedModel
from engine.models.plan import Candidate, Plan
from engine.models.slots import Slot
from engine.models.treatment import Treatment

if TYPE_CHECKING:
    from engine.engine import Engine


def treatment_of(variant: Variant, settings: Settings) -> Treatment:
    """A variant in the words of engine.models."""
    rows = {None: None, "on": settings.batch_max_rows, "off": 1}[variant.batching]
    caches = {None: None, "on": True, "off": False}[variant.caches]
    return Treatment(variant.backend or "", rows, variant.max_wait_us, caches)


def refuse_variants(engine: Engine, definition: Definition) -> None:
    """Raises InvalidInput naming the field of a variant that cannot be; UnknownModel."""
    for where, variant in _placed(definition):
        try:
            slot = engine.registry.slot(definition.model, variant.version)
        except UnknownModel:
            engine.registry.slot(definition.model)
            raise InvalidInput(
                f"{where}.version: {definition.model} has no version {variant.version!r}"
            ) from None
        if variant.caches == "on" and engine.results is None:
            raise InvalidInput(f"{where}.caches: the result cache is off on this server")
        model = slot.model
        if model is None:
            continue  # it is looked at when it is open
        if variant.backend is not None:
            _refuse_backend(f"{where}.backend", variant, model)
        if variant.batching == "on":
            problem = _no_batching(model.plan, variant.backend, engine.settings)
            if problem is not None:
                raise InvalidInput(f"{where}.batching: {problem}")


def refuse_models(definition: Definition, models: Sequence[LoadedModel]) -> None:
    """The same of open variants. Raises InvalidInput naming the field."""
    first = models[0].signature
    for (where, variant), model in zip(_placed(definition), models, strict=True):
        if model.signature.inputs != first.inputs or model.signature.outputs != first.outputs:
            raise InvalidInput(
                f"{where}.version: version {model.version} takes or gives other tensors than "
                f"control's version {models[0].version}"
            )
        if variant.backend is not None and model.form != variant.backend:
            _refuse_backend(f"{where}.backend", variant, model)
        if variant.batching == "on" and (model.quick_rows or not model.batching.batches):
            raise InvalidInput(
                f"{where}.batching: joining rows of version {model.version} as {model.form} "
                "does not pay, so nothing would be joined"
            )


def _placed(definition: Definition) -> list[tuple[str, Variant]]:
    places = ["control", *(f"candidates[{at}]" for at in range(len(definition.variants) - 1))]
    return list(zip(places, definition.variants, strict=True))


def _refuse_backend(where: str, variant: Variant, model: LoadedModel) -> None:
    forms = {candidate.form: candidate for candidate in model.plan.candidates}
    found = forms.get(variant.backend or "")
    if found is None:
        raise InvalidInput(
            f"{where}: version {variant.version} has no form {str(variant.backend)[:40]!r}; "
            f"it has {', '.join(forms)}"
        )
    if found.verdict == "out":
        raise InvalidInput(f"{where}: {found.form} is out: {found.reason}")


def _no_batching(plan: Plan, form: str | None, settings: Settings) -> str | None:
    """Why batching "on" would do nothing; None where it would, or where nothing was measured."""
    times_us = dict(plan.candidate(form).run_us) if form is not None else plan.served_us
    if not times_us:
        return None
    name = form or plan.chosen
    if quick_rows(times_us, settings.inline_us):
        return f"{name} takes {times_us[1]:.3g} µs a row: it is run at once, alone"
    if not policy_of(times_us, settings.batch_max_rows, 0.0).batches:
        return f"the plan measured that joining rows does not pay as {name}"
    return None


def offers_of(engine: Engine, model: str, in_place: Variant) -> dict[str, Any]:
    """Versions of a model with their forms and settings. Raises UnknownModel."""
    engine.registry.slot(model)
    slots = [slot for slot in engine.registry.slots() if slot.entry.name == model]
    return {
        "model": model,
        "serving": in_place.version,
        "serving_text": in_place.text,
        "versions": [_version(engine, slot) for slot in slots],
    }


def _version(engine: Engine, slot: Slot) -> dict[str, Any]:
    settings, model = engine.settings, slot.model
    found: dict[str, Any] = {
        "version": slot.entry.version,
        "state": slot.state,
        "serving": engine.registry.serves(slot),
        "backends": [],
        "batching": {"now": "off", "possible": False, "reason": "it is not loaded"},
        "caches": _caches(engine, slot),
        "problem": slot.error or (None if model is not None else "it is not loaded; warm it up"),
    }
    if model is None:
        return found
    why = _no_batching(model.plan, None, settings)
    batches = model.batching.batches and not model.quick_rows
    batching = {"now": "on" if batches else "off", "possible": why is None, "reason": why or ""}
    return found | {"backends": [_form(c) for c in model.plan.candidates], "batching": batching}


def _form(candidate: Candidate) -> dict[str, Any]:
    return {
        "form": candidate.form,
        "verdict": candidate.verdict,
        "run_us": candidate.run_us.get(1),
        "possible": candidate.verdict != "out",
        "reason": candidate.reason,
    }


def _caches(engine: Engine, slot: Slot) -> dict[str, Any]:
    is_there = engine.results is not None
    now = is_there and slot.entry.declared.cache_results
    reason = "" if is_there else "the result cache is off on this server"
    return {"now": "on" if now else "off", "possible": is_there, "reason": reason}
