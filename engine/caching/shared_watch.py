"""The watch over a shared store: one thread that sees flushes, tells them, and probes.

    each WATCH_S, or woken: owed flushes -> HINCRBY; HGETALL -> who flushed what -> told
    circuit open: connect, three trips within the budget, the same -> closed

Polled, not subscribed: a message that is lost with its connection would leave a stale cache
for good, so that the epochs must be read at every reconnect anyway; one small hash twice in
half a second costs the store less than a subscriber's buffer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from engine.caching.shared_circuit import Circuit
from engine.caching.shared_epochs import Epochs, group_of
from engine.caching.shared_keys import EPOCHS
from engine.caching.shared_links import CONNECT_S, Away, Link, Links, Refusal
from engine.supervised import Supervised

WATCH_S = 0.25
LEAST_PAUSE_S = 0.02
"""Between looks, however often it is woken."""
PROBE_TRIPS = 3
RAISE = (
    b"local n = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') "
    b"if n < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end"
)
"""Two servers that raise at once must not go beyond what either of them knows."""


class Watch:
    """flushed: told of each group that another server flushed, after its epoch is known here."""

    def __init__(
        self,
        links: Links,
        circuit: Circuit,
        epochs: Epochs,
        flushed: Callable[[str | None], None],
        budget_s: float,
    ) -> None:
        self._links, self._circuit, self._epochs = links, circuit, epochs
        self._flushed, self._budget_s = flushed, budget_s
        self._link: Link | None = None
        self._woken, self._stop = threading.Event(), False
        self._looked = threading.Condition()
        self.thread = Supervised("shared-watch", self._run)

    def start(self) -> None:
        self.thread.start()

    def wake(self) -> None:
        """Look now rather than when it is time."""
        self._woken.set()

    def close(self, wait_s: float) -> None:
        self._stop = True
        self._woken.set()
        self.thread.join(wait_s)

    def wait_told(self, field: str, serial: int, wait_s: float) -> bool:
        """Whether the store was told of a flush, within the time."""
        with self._looked:
            return self._looked.wait_for(
                lambda: self._epochs.owed.get(field, -1) < serial, timeout=wait_s
            )

    def _run(self) -> None:
        while not self._stop:
            self.look()
            with self._looked:
                self._looked.notify_all()
            began_s = time.monotonic()
            self._woken.wait(WATCH_S)
            time.sleep(max(0.0, began_s + LEAST_PAUSE_S - time.monotonic()))
            self._woken.clear()
        self._let_go()

    def look(self) -> None:
        """Once: probe where the circuit is open, tell, follow, open what connections lack."""
        try:
            if not self._circuit.asks:
                self._begin_anew()
            link = self._open()
            self._follow(link)
            self._tell(link)
            self._links.fill()
        except Away as away:
            self._let_go()
            if self._circuit.asks:
                self._circuit.failed(str(away))
            else:
                self._circuit.probed(str(away))
            return
        self._circuit.probed(None)

    def _begin_anew(self) -> None:
        """A probe: the store answers three times running within a look-up's budget."""
        self._circuit.begin_probe()
        self._links.drop()
        link = self._open()
        for _ in range(PROBE_TRIPS):
            _reply(link, (b"PING",), self._budget_s)

    def _open(self) -> Link:
        if self._link is None or not self._link.usable:
            self._let_go()
            self._link = self._links.connect()
        return self._link

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.close()
            self._links.give(self._link)
            self._link = None

    def _follow(self, link: Link) -> None:
        """See what others flushed, and repair a store that knows less than this server."""
        flat = _reply(link, (b"HGETALL", EPOCHS))
        stored = {}
        for field, epoch in zip(flat[::2], flat[1::2], strict=True):
            try:
                stored[field.decode()] = int(epoch)
            except ValueError:
                raise Away(f"{EPOCHS.decode()} holds what is no epoch") from None
        followed = self._epochs.follow(stored)
        for field, epoch in followed.behind.items():
            _reply(link, (b"EVAL", RAISE, 1, EPOCHS, field, epoch))
        for group in followed.flushed:
            self._flushed(group)

    def _tell(self, link: Link) -> None:
        """Tell the store of flushes that it was not told of."""
        for field, serial in tuple(self._epochs.owed.items()):
            known = self._epochs.known(field)
            epoch = _reply(link, (b"HINCRBY", EPOCHS, field, 1))
            if epoch <= known:
                epoch = _reply(link, (b"HINCRBY", EPOCHS, field, known + 1 - epoch))
            self._epochs.told(field, epoch, serial)
            if epoch > known + 1:
                self._flushed(group_of(field))


def _reply(link: Link, command: tuple[Any, ...], within_s: float = CONNECT_S) -> Any:
    """The store's reply to one command. Raises Away, for a refusal too."""
    (reply,) = link.ask([command], within_s)
    if isinstance(reply, Refusal):
        raise Away(str(reply))
    return reply
