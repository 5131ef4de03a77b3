"""A socket whose answers are bounded as a whole: in time and in bytes.

The package's reader bounds each piece that it receives. A store that sends a piece now and then,
or one that never ends, would hold a look-up up for as long as it likes.
"""

from __future__ import annotations

import time
from typing import Any

LOGIN_S = 1.0
"""Connecting and logging in, as a whole."""
MOST_ANSWER_BYTES = 64 << 20
LATE_PIECES = 16
LATE_S = 1e-4
"""So many pieces, each there within this, are read after the end: what has come already is read
where the time was lost in this process."""


class BoundedSocket:
    """Stands in for a socket. For one thread at a time."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.begin(time.monotonic() + LOGIN_S)

    def begin(self, end_s: float, most_bytes: int = MOST_ANSWER_BYTES) -> None:
        """A question: its answers are to be there by end_s, of the monotonic clock."""
        self._end_s, self._left_bytes, self._late = end_s, most_bytes, LATE_PIECES

    def _bound(self) -> None:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            self._late -= 1
            if self._late < 0:
                raise TimeoutError("its answer is not there in time")
            left_s = LATE_S
        self._inner.settimeout(left_s)

    def _took(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise ConnectionError("its answer is too large")

    def recv(self, size_bytes: int, *flags: int) -> bytes:
        """As a socket's. Raises TimeoutError and ConnectionError beyond the bounds."""
        self._bound()
        piece: bytes = self._inner.recv(size_bytes, *flags)
        self._took(len(piece))
        return piece

    def recv_into(self, buffer: Any, *sizes: int) -> int:
        """As `recv`."""
        self._bound()
        size_bytes: int = self._inner.recv_into(buffer, *sizes)
        self._took(size_bytes)
        return size_bytes

    def sendall(self, content: Any, *flags: int) -> None:
        """As a socket's. Raises TimeoutError."""
        self._bound()
        self._inner.sendall(content, *flags)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def bounded(kind: Any) -> Any:
    """The package's class of a connection, its socket bounded and known as `bounds`."""

    def connect(self: Any) -> BoundedSocket:
        self.bounds = BoundedSocket(kind._connect(self))
        return self.bounds  # type: ignore[no-any-return]

    return type(kind.__name__, (kind,), {"_connect": connect})
