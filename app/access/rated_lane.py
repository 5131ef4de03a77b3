"""A lane for callers with a rate: counted, then handed to the lane of all."""

from __future__ import annotations

from typing import Any

from app.access.proxies import counted_as
from app.exchange import Exchange, Request


class RatedLane:
    """One head's way to a lane. Its caller is the head's: a key, or the address behind it."""

    def __init__(self, lane: Any, gate: Any, exchange: Exchange) -> None:
        self._lane, self._rates = lane, gate.rates
        self._who = gate.counted(exchange) if exchange.caller.id else ""
        self._said = gate.proxies.address(exchange.request.headers, "")
        self.mark = lane.mark

    @property
    def is_over(self) -> bool:
        return bool(self._lane.is_over)

    def take(self, request: Request, client: Any) -> bool:
        """Answer, refuse with 429, or leave it to the usual path."""
        if self._lane.is_over:
            return False
        who = self._who or counted_as(self._said or client.peer)
        if self._rates.spent("infer", who) is not None:
            return False  # the usual path counts it too, and says so
        if not self._lane.take(request, client):
            return False
        self._rates.count("infer", who)
        return True
