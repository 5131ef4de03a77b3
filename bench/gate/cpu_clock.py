"""The CPU clock of another process, in nanoseconds."""

from __future__ import annotations

import time

from engine.errors import PyrometerError

_WHOLE_PROCESS = 2
"""The kernel's CPUCLOCK_SCHED: user and system time of all threads, those that ended too."""


def cpu_ns(process_id: int) -> int:
    """CPU time a process has used so far, ns. Raises PyrometerError where it cannot be read.

    What clock_getcpuclockid(3) would return; Python only has the call for threads.
    """
    try:
        return time.clock_gettime_ns((~process_id << 3) | _WHOLE_PROCESS)
    except OSError as error:
        raise PyrometerError(
            f"the CPU clock of process {process_id} cannot be read ({error.strerror}): "
            "it has ended, or this is not Linux"
        ) from None
