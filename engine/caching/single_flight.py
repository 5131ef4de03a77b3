"""One computation for identical concurrent requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """The first caller of a key computes; those who come meanwhile share its outcome."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Future[T]] = {}
        self._lock = threading.Lock()

    def run(self, key: bytes, compute: Callable[[], T]) -> tuple[T, bool]:
        """(outcome, led): led is True for the caller that computed.

        Raises what `compute` raised, in the leader and in every follower.
        """
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if not leads:
            return flight.result(), False
        try:
            outcome = compute()
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(outcome)
            return outcome, True
        finally:
            with self._lock:
                del self._flights[key]
