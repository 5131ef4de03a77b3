"""One run across servers: whoever begins a long one claims it, the others wait for its result.

    SET claim NX PX   mine -> compute, publish, release
                      another's -> look again and again, at most twice the expected run

A claim ends by itself after twice the expected run: a server that dies holds nobody up longer.
Whoever waits tries the claim with every look, so that the next one takes over at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from engine.caching.shared_keys import claim_of
from engine.caching.shared_types import Payload, SharedCounts, Ticket

LEAST_RUN_S = 0.02
"""Shorter runs are computed twice: waiting for them costs about as much."""
RUNS_WAITED = 2.0
MOST_WAIT_S = 2.0
LEAST_LOOK_S, MOST_LOOK_S = 0.002, 0.025
TAKEN = b"OK"
Look = Callable[..., tuple[list[Payload | None], list[Any]] | None]


class Claims:
    """look: of SharedTier, within its budget. counts: led, found and lapsed are counted here."""

    def __init__(
        self,
        look: Look,
        counts: SharedCounts,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._look, self._counts = look, counts
        self._monotonic, self._sleep = monotonic, sleep
        self._mine = os.urandom(8)

    def lead(self, ticket: Ticket, name: bytes, expected_s: float, expires: bool) -> Payload | None:
        """The value under this key once another server has it; None: compute it here.

        ticket.claim is set where others may now wait for this one. Returns within twice the
        expected run, MOST_WAIT_S at most, and a budget.
        """
        if expected_s < LEAST_RUN_S:
            return None
        wait_s = min(RUNS_WAITED * expected_s, MOST_WAIT_S)
        look_s = min(MOST_LOOK_S, max(LEAST_LOOK_S, expected_s / 10))
        claim = claim_of(name)
        take = (b"SET", claim, self._mine, b"NX", b"PX", int(wait_s * 1e3))
        end_s = self._monotonic() + wait_s
        while True:
            looked = self._look(ticket, [name], expires, take)
            if looked is None:
                return None
            (payload,), (taken,) = looked
            if payload is not None:
                self._counts.found += 1
                ticket.claim = claim if taken == TAKEN else b""
                return payload
            if taken == TAKEN:
                self._counts.led += 1
                ticket.claim = claim
            if taken is not None:
                # Refused, where not taken: a store that takes no claim has nobody to wait for.
                return None
            if self._monotonic() + look_s > end_s:
                self._counts.lapsed += 1
                return None
            self._sleep(look_s)
