"""The watch over a shared store: one thread that sees flushes, tells them, and probes.

    each WATCH_S, or woken: owed flushes -> HINCRBY; HGETALL -> who flushed what -> told
    circuit open: connect, three trips within the budget, the same -> closed

Polled, not subscribed: a message that is lost with its connection would leave a stale cache
for good, so that the epochs must be read at every reconnect anyway; one small hash twice in
half a second costs the store less than a subscriber's buffer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from engine.caching.shared_circuit import Circuit
from engine.caching.shared_epochs import Epochs, group_of, is_epoch, stored_epochs
from engine.caching.shared_keys import EPOCHS
from engine.caching.shared_links import CONNECT_S, Away, Link, Links, OwnLink, Refusal
from engine.supervised import Supervised

log = logging.getLogger(__name__)
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
        self._own = OwnLink(links)
        self._pending: dict[str | None, bool] = {}
        """Flushes by others that are not done yet, and whether their failure was said."""
        self._said = False
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
        self._own.let_go()

    def look(self) -> None:
        """Once: probe where the circuit is open, tell, follow, open what connections lack."""
        self._pass_on()
        try:
            if not self._circuit.asks:
                self._begin_anew()
            link = self._own.open()
            self._follow(link)
            self._tell(link)
            self._links.fill()
        except Away as away:
            self._own.let_go()
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
        link = self._own.open()
        for _ in range(PROBE_TRIPS):
            _reply(link, (b"PING",), self._budget_s)

    def _follow(self, link: Link) -> None:
        """See what others flushed, and repair a store that knows less than this server."""
        try:
            stored = stored_epochs(_reply(link, (b"HGETALL", EPOCHS)))
        except ValueError:
            raise Away(f"{EPOCHS.decode()} holds what is no epoch") from None
        followed = self._epochs.follow(stored)
        self._pending |= dict.fromkeys(followed.flushed, False)
        self._pass_on()
        for field, epoch in followed.behind.items():
            (reply,) = link.ask([(b"EVAL", RAISE, 1, EPOCHS, field, epoch)], CONNECT_S)
            if isinstance(reply, Refusal) and not self._said:
                # Nothing older is found meanwhile: look-ups check the store's epochs.
                log.warning("the store does not raise its epochs: %s; said once", reply)
                self._said = True

    def _pass_on(self) -> None:
        """Flushes by others, each until it was done: the store's word of it comes only once."""
        for group, said in tuple(self._pending.items()):
            try:
                self._flushed(group)
            except Exception:
                if not said:
                    log.exception("a flush by another server failed and is tried again")
                self._pending[group] = True
            else:
                del self._pending[group]

    def _tell(self, link: Link) -> None:
        """Tell the store of flushes that it was not told of."""
        for field, serial in tuple(self._epochs.owed.items()):
            known = self._epochs.known(field)
            epoch = _raised(link, field, 1)
            if epoch <= known:
                epoch = _raised(link, field, known + 1 - epoch)
            self._epochs.told(field, epoch, serial)
            if epoch > known + 1:
                self._pending[group_of(field)] = False
                self._pass_on()


def _raised(link: Link, field: str, by: int) -> int:
    """A field's epoch after it was raised. Raises Away, for what is no epoch too."""
    epoch: int = _reply(link, (b"HINCRBY", EPOCHS, field, by))
    if not is_epoch(epoch):
        raise Away(f"{EPOCHS.decode()} holds what is no epoch")
    return epoch


def _reply(link: Link, command: tuple[Any, ...], within_s: float = CONNECT_S) -> Any:
    """The store's reply to one command. Raises Away, for a refusal too."""
    (reply,) = link.ask([command], within_s)
    if isinstance(reply, Refusal):
        raise Away(str(reply))
    return reply
