"""A cache tier that servers share, in Redis or Valkey: asked within a strict budget, or not at all.

    find(ticket, keys)  -> one trip: epochs and values -> checked -> payloads
    offer(ticket, key)  -> bounded queue -> one writer thread -> pipelined SETs
    flush(group)        -> owed -> the watch tells the store -> every server's watch sees it

A ticket is taken before a value is looked for or computed. It names the epochs of that moment:
what is computed under one is kept under those epochs, which nobody asks for after a flush.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from engine.caching.shared_circuit import Circuit
from engine.caching.shared_claims import Claims
from engine.caching.shared_epochs import ALL, Epochs, field_of
from engine.caching.shared_keys import EPOCHS, opened, prefix_of
from engine.caching.shared_links import Away, Command, Links, Refusal
from engine.caching.shared_types import Payload, SharedCounts, SharedOptions, Ticket
from engine.caching.shared_watch import Watch
from engine.caching.shared_writer import Offer, Writer
from engine.supervised import Supervised

TIMES_KEPT = 1024
FLUSH_WAIT_S = 0.5
"""Longest that a flush waits for the store to be told; then it is owed."""


class SharedTier:
    """One store, as one server uses it.

    flushed: told of groups that others flushed, None for everything, once each; in a thread of
    this tier. event: told in words when the store is not asked any more, and when it is again.
    Raises ConfigurationError where the URL or the package is not to be used.
    """

    def __init__(
        self,
        options: SharedOptions,
        flushed: Callable[[str | None], None],
        event: Callable[[str], None],
    ) -> None:
        self.options, self.counts = options, SharedCounts()
        self._event = event
        self.circuit = Circuit(told=self._told)
        self.epochs = Epochs(options.state)
        self.links = Links(options.url, options.connections)
        self.watch = Watch(self.links, self.circuit, self.epochs, flushed, options.budget_ms / 1e3)
        self.writer = Writer(self.links, self.circuit, self.counts, options.queue)
        self.claims = Claims(self._look, self.counts)
        self._took_ns: deque[int] = deque(maxlen=TIMES_KEPT)

    @property
    def threads(self) -> list[Supervised]:
        return [self.watch.thread, self.writer.thread]

    def start(self) -> None:
        self.watch.start()
        self.writer.thread.start()

    def close(self, wait_s: float) -> None:
        """Write what waits, for at most wait_s."""
        self.writer.close(wait_s)
        self.watch.close(wait_s)

    def _told(self, state: str, problem: str | None) -> None:
        if problem is None:
            self._event(f"shared results at {self.links.shown_url} are asked")
        else:
            self._event(f"shared results at {self.links.shown_url} are not asked: {problem}")
            self.watch.wake()

    # for runs

    def ticket(self, group: str, made_by: bytes = b"") -> Ticket:
        """For a run that begins now; with no prefix while the store is not to be asked.

        made_by: what computes it, as in shared_keys.py.
        """
        mark, epochs = self.epochs.mark(group), self.epochs.of(group)
        usable = self.circuit.asks and not self.epochs.owes(group)
        return Ticket(group, prefix_of(epochs, group, made_by) if usable else b"", epochs, mark)

    def is_current(self, ticket: Ticket) -> bool:
        """False once its model was flushed since the ticket was taken."""
        return ticket.mark == self.epochs.mark(ticket.group)

    def find(
        self, ticket: Ticket, keys: Sequence[bytes], expires: bool = False
    ) -> list[Payload | None]:
        """What is kept of these results, in one trip; None for each that is not there.

        expires: how long each may still be kept is asked too. Takes at most the budget.
        """
        ticket.asked = True
        if not ticket.prefix:
            return [None] * len(keys)
        names = [ticket.prefix + key.hex().encode() for key in keys]
        looked = self._look(ticket, names, expires)
        if looked is None:
            return [None] * len(keys)
        found, _ = looked
        hits = sum(payload is not None for payload in found)
        self.counts.hits += hits
        self.counts.misses += len(found) - hits
        return found

    def lead(
        self, ticket: Ticket, key: bytes, expected_s: float, expires: bool = False
    ) -> Payload | None:
        """Another server's result, awaited where it is about to have it; None: compute it here.

        expected_s: what the run takes by its plan. See shared_claims.py.
        """
        if not ticket.prefix:
            return None
        return self.claims.lead(ticket, ticket.prefix + key.hex().encode(), expected_s, expires)

    def _look(
        self, ticket: Ticket, names: Sequence[bytes], expires: bool, *before: Command
    ) -> tuple[list[Payload | None], list[Any]] | None:
        """Values by their keys, and replies to the commands `before`; None: nothing is known.

        A reply to one of `before` may be a Refusal: the values are as good without it.
        """
        fields = (b"HMGET", EPOCHS, ALL, field_of(ticket.group))
        ends = [(b"PTTL", name) for name in names] if expires else []
        replies = self._ask([fields, *before, (b"MGET", *names), *ends], len(before))
        if replies is None:
            return None
        if not _are(ticket.epochs, replies[0]):
            # Flushed, and this server's watch has not seen it yet.
            ticket.prefix = b""
            self.watch.wake()
            return None
        at = 1 + len(before)
        left_ms = replies[at + 1 :] or [None] * len(names)
        rows = zip(names, replies[at], left_ms, strict=True)
        return [self._opened(name, value, left) for name, value, left in rows], replies[1:at]

    def _opened(self, name: bytes, value: bytes | None, left_ms: int | None) -> Payload | None:
        """left_ms: as PTTL says it, None where that was not asked."""
        if value is None or (left_ms is not None and left_ms <= 0):
            # What has no end, or has ended since, is not kept for ever here.
            return None
        content = opened(name, value)
        if content is None:
            self.counts.refused += 1
            return None
        return Payload(content, (left_ms or 0) / 1e3)

    def _ask(self, commands: Sequence[Command], spared: int) -> list[Any] | None:
        """Replies within the budget, or None; the circuit is told which.

        spared: so many commands after the first may be refused.
        """
        if not self.circuit.asks:
            return None
        link = self.links.take()
        if link is None:
            self.counts.busy += 1
            if self.links.may_grow:
                self.watch.wake()
            return None
        began_ns = time.perf_counter_ns()
        try:
            replies = link.ask(commands, self.options.budget_ms / 1e3)
        except Away as away:
            self.counts.timeouts += away.late
            self.counts.errors += not away.late
            self.circuit.failed(str(away))
            return None
        finally:
            self.links.give(link)
            self._took_ns.append(time.perf_counter_ns() - began_ns)
        needed = (*replies[:1], *replies[1 + spared :])
        refusal = next((reply for reply in needed if isinstance(reply, Refusal)), None)
        if refusal is not None:
            self.counts.errors += 1
            self.circuit.failed(str(refusal))
            return None
        self.circuit.succeeded()
        return replies

    def offer(
        self,
        ticket: Ticket,
        key: bytes,
        make_payload: Callable[[], bytes],
        size_bytes: int,
        ttl_s: float = 0.0,
    ) -> None:
        """Have a result written soon, under the ticket's epochs. Never waits.

        size_bytes: about what it has in memory. ttl_s: of its model; 0 for the setting's alone.
        """
        if not ticket.prefix or not self.is_current(ticket):
            self.give_up(ticket)
            return
        if size_bytes > self.options.value_bytes:
            self.counts.rejected += 1
            self.give_up(ticket)
            return
        name = ticket.prefix + key.hex().encode()
        life_s = min(ttl_s, self.options.ttl_s) if ttl_s else self.options.ttl_s
        offer = Offer(name, make_payload, size_bytes, max(1, int(life_s * 1e3)), ticket.claim)
        self.writer.offer(offer)

    def give_up(self, ticket: Ticket) -> None:
        """The run has ended without a result that is shared: nobody is to wait for it."""
        if ticket.claim:
            self.writer.release(ticket.claim)
            ticket.claim = b""

    # for operators

    def flush(self, group: str | None) -> bool:
        """Flush a model's results or all, for every server; False when that is owed.

        From now on this server reads and keeps nothing that was computed before.
        """
        field = self.epochs.field_for(group)
        serial = self.epochs.owe(field)
        self.watch.wake()
        if not self.circuit.asks:
            return False
        return self.watch.wait_told(field, serial, FLUSH_WAIT_S)

    def figures(self) -> dict[str, Any]:
        """State, counts and times, as the pages show them."""
        took = sorted(self._took_ns)
        links = self.links
        return {
            "url": links.shown_url,
            "state": self.circuit.state,
            "since": self.circuit.since_s,
            "problem": self.circuit.problem,
            "opened": self.circuit.opened,
            **asdict(self.counts),
            "p50_ms": _at(took, 0.5),
            "p99_ms": _at(took, 0.99),
            "connections": links.open,
            "connections_used": links.used,
            "connections_limit": links.limit,
            "queued": self.writer.queued,
            "queue_limit": self.options.queue,
            "epoch": self.epochs.total,
            "owed": len(self.epochs.owed),
            "budget_ms": self.options.budget_ms,
        }


def _are(epochs: tuple[int, int], stored: Sequence[bytes | None]) -> bool:
    """Whether the store has these epochs; what is no number is none of them."""
    return all(
        (b"%d" % epoch if epoch else None) == value or (not epoch and value == b"0")
        for epoch, value in zip(epochs, stored, strict=True)
    )


def _at(took_ns: Sequence[int], share: float) -> float | None:
    """A percentile of the last look-ups, ms."""
    if not took_ns:
        return None
    return took_ns[min(len(took_ns) - 1, int(share * len(took_ns)))] / 1e6
