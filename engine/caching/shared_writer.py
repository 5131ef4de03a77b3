"""What is written to a shared store, off the request path: a bounded queue and one thread.

Offers that wait together go in one trip. What finds the queue full, or the store away, is
dropped and counted: a cache is no promise.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from engine.caching.shared_circuit import Circuit
from engine.caching.shared_keys import sealed
from engine.caching.shared_links import CONNECT_S, Away, Command, Link, Links, OwnLink, Refusal
from engine.caching.shared_types import SharedCounts
from engine.supervised import Supervised

log = logging.getLogger(__name__)
MOST_TOGETHER = 64
TOGETHER_BYTES = 1 << 20
"""A trip with about so much ends: it must be there in CONNECT_S."""
QUEUED_BYTES = 32 << 20
"""Results that wait, as they are in memory."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A value to be written. claim: released with it; make_payload None only releases."""

    name: bytes
    make_payload: Callable[[], bytes] | None
    size_bytes: int
    life_ms: int
    claim: bytes = b""


class Writer:
    """problem: what the store said to the last write that it refused; None when all went well."""

    def __init__(self, links: Links, circuit: Circuit, counts: SharedCounts, limit: int) -> None:
        self.problem: str | None = None
        self._circuit, self._counts = circuit, counts
        self._queue: queue.Queue[Offer | None] = queue.Queue(limit)
        self._waiting_bytes, self._said = 0, False
        self._lock = threading.Lock()
        self._own = OwnLink(links)
        self.thread = Supervised("shared-writer", self._run)

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def offer(self, offer: Offer) -> None:
        """Have it written soon. Never waits."""
        with self._lock:
            fits = self._waiting_bytes + offer.size_bytes <= QUEUED_BYTES
            if fits and self._circuit.asks:
                try:
                    self._queue.put_nowait(offer)
                except queue.Full:
                    fits = False
                else:
                    self._waiting_bytes += offer.size_bytes
                    return
        self._counts.dropped += offer.make_payload is not None

    def release(self, claim: bytes) -> None:
        """Have a claim released without a value."""
        self.offer(Offer(b"", None, 0, 0, claim))

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            offers, size_bytes, ends = [first], first.size_bytes, False
            while len(offers) < MOST_TOGETHER and size_bytes < TOGETHER_BYTES and not ends:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ends = True
                else:
                    offers.append(following)
                    size_bytes += following.size_bytes
            with self._lock:
                self._waiting_bytes -= size_bytes
            self._write(offers)
            if ends:
                break
        self._own.let_go()

    def _write(self, offers: list[Offer]) -> None:
        commands: list[Command] = []
        values = 0
        for offer in offers:
            try:
                made = _commands(offer)
            except Exception:
                # An answer that cannot be made bytes of is not shared; the others are.
                if not self._said:
                    log.exception("a result could not be shared; said once")
                    self._said = True
                self._counts.dropped += 1
                made = [] if not offer.claim else [(b"DEL", offer.claim)]
                commands += made
                continue
            values += offer.make_payload is not None
            commands += made
        if not commands:
            return
        try:
            replies = self._open().ask(commands, CONNECT_S)
        except Away as away:
            self._counts.dropped += values
            self._own.let_go()
            self._circuit.failed(str(away))
            return
        refused = [reply for reply in replies if isinstance(reply, Refusal)]
        self.problem = str(refused[0]) if refused else None
        self._counts.dropped += min(values, len(refused))
        self._counts.written += max(0, values - len(refused))

    def _open(self) -> Link:
        """This thread's own connection. Raises Away."""
        if not self._circuit.asks:
            raise Away("the store is not asked")
        return self._own.open()

    def close(self, wait_s: float) -> None:
        """Write what waits, for at most wait_s."""
        try:
            self._queue.put(None, timeout=wait_s)
        except queue.Full:
            return
        self.thread.join(wait_s)


def _commands(offer: Offer) -> list[Command]:
    found: list[Command] = []
    if offer.make_payload is not None:
        value = sealed(offer.name, offer.make_payload())
        found.append((b"SET", offer.name, value, b"PX", offer.life_ms))
    if offer.claim:
        # Where it has ended and is another's by now, that one's result is computed twice.
        found.append((b"DEL", offer.claim))
    return found
