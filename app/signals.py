"""SIGINT and SIGTERM: the first is waited for, not handled; the second ends the process."""

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


def release_signals() -> None:
    """Let the next stop signal do what it does by default: end the process at once.

    The kernel does it, whatever the interpreter is busy with. Called by the main thread.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
