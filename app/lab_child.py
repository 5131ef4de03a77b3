"""The child process of a benchmark: `python -m bench.lab`, able to be stopped.

The server holds its stop signals back (app/signals.py), and a child inherits that: here they
are let through again before the load lab begins.
"""

from __future__ import annotations

import runpy
import signal

from app.signals import STOP_SIGNALS


def main() -> None:
    """Run the load lab with this process' own arguments."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    runpy.run_module("bench.lab", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
