"""SIGINT and SIGTERM are waited for, not handled."""

from __future__ import annotations

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hold_signals() -> None:
    """Keep the stop signals pending until somebody takes them with `sigwait`.

    Called before anything starts a thread (numpy's import does), so that every thread
    inherits the mask. A handler would not do: CPython notices a signal that comes just
    before an endless wait only when that wait ends, and a handler must not touch a lock
    that its own thread may hold.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
