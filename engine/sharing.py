"""Results shared between servers, as runs use them: what is looked for, awaited and kept.

Only calls that go to CPU slots come here: what costs less than a trip is computed.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from engine.caching.memory import tensors_bytes
from engine.caching.payload import dump_run, load_run
from engine.caching.shared import SharedTier
from engine.caching.shared_types import Payload, SharedOptions
from engine.call import Call, Flight, Flights
from engine.config import Settings, named_providers
from engine.models.loaded import Run
from engine.models.plan_store import LIBRARIES, OPTIONAL_LIBRARIES
from engine.types import SHARED_HIT
from engine.version import VERSION
from engine.words import size_in_words

if TYPE_CHECKING:
    from engine.engine import Engine

log = logging.getLogger(__name__)
MOST_FORM = 64
MADE_BY_BYTES = 6


class Sharing:
    """Between calls and the tier. Whatever the tier raises, a call goes on without it.

    drop: forgets what this server has of a model's results, in memory and on disk. setup: what
    every model here is computed with, as bytes.
    """

    def __init__(self, tier: SharedTier, drop: Callable[[str], None], setup: bytes = b"") -> None:
        self.tier, self._drop, self._setup = tier, drop, setup

    def begin(self, call: Call) -> None:
        """Before anything is looked for or computed: the call's ticket."""
        if call.tier is not None and call.ticket is None:
            with _without(call):
                call.ticket = self.tier.ticket(call.model.name, made_by(call, self._setup))

    def find(self, call: Call) -> Run | None:
        """Its result from another server, awaited where that is about to have it."""
        ticket = call.ticket
        if ticket is None:
            return None
        try:
            if not ticket.asked:
                (found,) = self.find_all([call])
                if found is not None:
                    return found
            expected_s = expected_run_s(call)
            payload = self.tier.lead(ticket, call.key, expected_s, _expires(call))
            if payload is None:
                return None
            self.tier.give_up(ticket)
            return self._landed(call, payload)
        except Exception:
            log.exception("shared results of %s could not be asked", call.model.name)
            return None

    def find_all(self, calls: Sequence[Call]) -> list[Run | None]:
        """Results of calls of one kind, in one trip."""
        cached = [call for call in calls if call.tier is not None]
        if not cached:
            return [None] * len(calls)
        first = cached[0]
        self.begin(first)
        found: dict[Call, Run] = {}
        if first.ticket is None:
            return [None] * len(calls)
        try:
            keys = [call.key for call in cached]
            payloads = self.tier.find(first.ticket, keys, _expires(first))
            for call in cached[1:]:
                call.ticket = first.ticket.another()
            for call, payload in zip(cached, payloads, strict=True):
                run = None if payload is None else self._landed(call, payload)
                if run is not None:
                    found[call] = run
        except Exception:
            log.exception("shared results of %s could not be asked", first.model.name)
        return [found.get(call) for call in calls]

    def land(self, board: Flights, flights: list[Flight], began_ns: int) -> list[Flight]:
        """End flights of one kind whose answers another server has; returns the rest."""
        found = self.find_all([flight.members[0] for flight in flights])
        for flight, run in zip(flights, found, strict=True):
            if run is not None:
                board.land(flight, run, None, began_ns, 0, SHARED_HIT)
        return [flight for flight, run in zip(flights, found, strict=True) if run is None]

    def _landed(self, call: Call, payload: Payload) -> Run | None:
        """What was found as a run, in memory too; None where it is none of this model's."""
        try:
            outputs, form = load_run(payload.content)
        except ValueError:
            outputs, form = {}, ""
        # It goes into headers and labels.
        plain = form.isprintable() and form.isascii() and len(form) <= MOST_FORM
        if set(outputs) != set(call.outputs) or not plain:
            self.tier.counts.refused += 1
            return None
        run = Run(outputs, form)
        if call.tier is not None:
            size_bytes, declared_s = tensors_bytes(outputs), call.model.entry.declared.cache_ttl_s
            ttl_s = min(payload.ttl_s, declared_s) if declared_s else 0.0
            call.tier.put(call.key, run, size_bytes, call.model.name, ttl_s)
        self.settle(call)
        return run

    def keep(self, call: Call, run: Run) -> None:
        """Have a call's result written for others, unless something was flushed meanwhile."""
        ticket = call.ticket
        if ticket is None:
            return
        self.settle(call)
        with _without(call):
            make = partial(dump_run, run.outputs, run.form)
            ttl_s = call.model.entry.declared.cache_ttl_s
            self.tier.offer(ticket, call.key, make, tensors_bytes(run.outputs), ttl_s)

    def settle(self, call: Call) -> None:
        """What this call has put into memory and on disk goes, where a flush came meanwhile."""
        with _without(call):
            if call.ticket is not None and not self.tier.is_current(call.ticket):
                self._drop(call.model.name)

    def give_up(self, call: Call) -> None:
        """Its run has failed."""
        with _without(call):
            if call.ticket is not None:
                self.tier.give_up(call.ticket)


@contextmanager
def _without(call: Call) -> Iterator[None]:
    """A call goes on without what fails here."""
    try:
        yield
    except Exception:
        log.exception("results of %s could not be shared", call.model.name)


def setup_of(settings: Settings) -> bytes:
    """What computes every model of a server: versions, parity tolerance, execution providers."""
    versions = [f"pyrometer {VERSION}"]
    for name in (*LIBRARIES, *OPTIONAL_LIBRARIES):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    named = named_providers(settings.onnx_providers)
    return "\n".join([*versions, repr(settings.parity_tolerance), repr(named)]).encode()


def made_by(call: Call, setup: bytes) -> bytes:
    """A short digest of what computes a call's answer, for its key; as hexadecimal digits.

    Of a model's forms only those count that are not exact: which exact one is the fastest each
    machine finds for itself, and they agree within the tolerance, which `setup` names.
    """
    digest = blake2b(setup, digest_size=MADE_BY_BYTES)
    for model in (call.model, call.encoder):
        if model is not None:
            plan = model.plan
            forms = [(rows, form) for rows, form in plan.ranges if not plan.candidate(form).exact]
            digest.update(repr(forms).encode())
    return digest.hexdigest().encode()


def expected_run_s(call: Call) -> float:
    """What the call's run takes by its plan or its warm-up; 0 where neither has measured it."""
    times_us = call.model.times_us
    if not times_us:
        return 0.0
    sizes = sorted(times_us)
    return float(np.interp(call.rows, sizes, [times_us[size] for size in sizes])) / 1e6


def _expires(call: Call) -> bool:
    return bool(call.model.entry.declared.cache_ttl_s)


def share_results(engine: Engine) -> SharedTier:
    """The tier of an engine whose settings name a store, wired to its runs and its monitoring.

    Raises ConfigurationError.
    """
    settings, results, disk = engine.settings, engine.results, engine.results_disk

    def drop(model: str) -> None:
        for tier in (disk, results):
            if tier is not None:
                tier.clear(model)

    def flushed(model: str | None) -> None:
        items, freed_bytes = engine.clear_data(None, model)
        what = f" of {model}" if model else ""
        engine.ticker.event(
            "flush",
            f"flushed{what} by another server: {items} items, {size_in_words(freed_bytes)} freed",
        )

    options = SharedOptions(
        settings.redis_url,
        settings.redis_budget_ms,
        settings.redis_connections,
        settings.redis_ttl_s,
        settings.redis_value_bytes,
        settings.redis_queue,
        settings.state / "cache" / "epochs.json",
    )
    tier = SharedTier(options, flushed, lambda text: engine.ticker.event("shared", text))
    engine.runs.sharing = Sharing(tier, drop, setup_of(settings))
    engine.monitoring.watched.append(lambda: tier.threads)
    engine.monitoring.gauges.append(lambda: {"shared_away": float(not tier.circuit.asks)})
    return tier
