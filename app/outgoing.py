"""Connections that this process opens to others: kept, bounded, counted, and shown.

kind      peers, webhook, apprise, otlp, redis
to        whom, without anything that is secret
used      requests under way now, at most `limit`; more wait, `waits` times so far
open      connections kept open, where that is known
asked, failed   since the start
waiting, waiting_limit   what stands in a queue before it, where there is one
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

CHUNK = 65_536
USER_AGENT = "pyrometer"


class OutgoingError(ConnectionError):
    """No answer came, or not within its bounds; says why, without address or key."""


class Answer(NamedTuple):
    """Status and whole body."""

    status: int
    content: bytes


def row(kind: str, to: str, used: int, limit: int, **further: Any) -> dict[str, Any]:
    """One line of what is shown of outgoing connections."""
    told: dict[str, Any] = {"kind": kind, "to": to, "used": used, "limit": limit, "waits": 0}
    told |= {"open": None, "asked": 0, "failed": 0, "waiting": None, "waiting_limit": None}
    return told | {"problem": None, "text": ""} | further


class Outgoing:
    """An HTTP client that keeps at most one connection a host, and asks at most `limit` at once.

    hosts: whose connections are kept; of further ones the longest unused is closed.
    timeout_s: for a connection and for each wait; a whole answer, its head too, has twice that.
    """

    def __init__(self, kind: str, to: str, limit: int, hosts: int, timeout_s: float) -> None:
        self.kind, self.to, self.limit, self.timeout_s = kind, to, limit, timeout_s
        self.used = self.waits = self.asked = self.failed = 0
        self.problem: str | None = None
        self._hosts = hosts
        self._pools: Any = None
        self._places = threading.BoundedSemaphore(limit)
        self._lock = threading.Lock()

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        most_bytes: int = CHUNK,
    ) -> Answer:
        """One question and its whole answer; redirects are not followed. Raises OutgoingError."""
        if not self._places.acquire(blocking=False):
            with self._lock:
                self.waits += 1
            if not self._places.acquire(timeout=self.timeout_s):
                raise self.failure(f"{self.limit} requests were under way for {self.timeout_s:g} s")
        with self._lock:
            self.used += 1
            self.asked += 1
        try:
            answer = self._ask(method, url, headers, body, most_bytes)
        except OutgoingError as error:
            raise self.failure(str(error)) from None
        finally:
            with self._lock:
                self.used -= 1
            self._places.release()
        return answer

    def failure(self, why: str) -> OutgoingError:
        """Count a failure; returns the error to raise."""
        with self._lock:
            self.failed += 1
            self.problem = why
        return OutgoingError(why)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        most_bytes: int,
    ) -> Answer:
        import urllib3  # not at start: most servers ask nobody

        until_s = time.monotonic() + 2 * self.timeout_s
        sent = {"user-agent": USER_AGENT, "accept-encoding": "identity"} | dict(headers)
        try:
            response = self._open().request(
                *(method, url),
                body=body,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise OutgoingError(self._words(error, until_s)) from None
        try:
            content = bytearray()
            while part := response.read1(CHUNK, decode_content=False):
                content += part
                if len(content) > most_bytes:
                    raise OutgoingError(f"the answer is over {most_bytes} bytes")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            response.close()
            if isinstance(error, OutgoingError):
                raise
            raise OutgoingError(self._words(error, until_s)) from None
        response.release_conn()
        return Answer(int(response.status), bytes(content))

    def _open(self) -> Any:
        from app.timed_http import pools_within  # not at start, as urllib3

        with self._lock:
            if self._pools is None:
                self._pools = pools_within(2 * self.timeout_s, self.timeout_s, self._hosts)
            return self._pools

    def _words(self, error: Exception, until_s: float) -> str:
        from urllib3 import exceptions

        if isinstance(error, exceptions.ReadTimeoutError) and time.monotonic() > until_s:
            return f"the answer took over {2 * self.timeout_s:g} s"
        late = f"within {self.timeout_s:g} s"
        for kind, words in (
            (exceptions.NameResolutionError, "its name has no address"),
            (exceptions.NewConnectionError, "no connection: refused, or no way there"),
            (exceptions.ConnectTimeoutError, f"no connection {late}"),
            (exceptions.ReadTimeoutError, f"no answer {late}"),
            (exceptions.SSLError, "its certificate is not accepted, or it speaks no TLS"),
            (exceptions.ProtocolError, "the connection ended before the answer did"),
        ):
            if isinstance(error, kind):
                return words
        return f"no answer: {type(error).__name__}"

    def figures(self, **further: Any) -> dict[str, Any]:
        """One row, as it is shown."""
        with self._lock:
            counts = {"waits": self.waits, "asked": self.asked, "failed": self.failed}
            told = row(self.kind, self.to, self.used, self.limit, **counts, problem=self.problem)
            pools = self._pools
        told["open"] = 0 if pools is None else _open_in(pools)
        return told | further

    def close(self) -> None:
        with self._lock:
            if self._pools is not None:
                self._pools.clear()


def _open_in(pools: Any) -> int:
    """Connections that wait for their next question and that the other side has not closed."""
    hosts = pools.pools.keys()  # a set: the container itself cannot be gone through
    kept = [pools.pools.get(host) for host in hosts]
    idle = [one for pool in kept if pool is not None for one in tuple(pool.pool.queue)]
    return sum(one is not None and one.is_connected for one in idle)
