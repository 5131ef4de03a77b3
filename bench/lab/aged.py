"""`pyrometer`, whose hour of telemetry has all its memory from the start: for a soak.

    python -m bench.lab.aged serve ...

The ring of the last hour (engine/telemetry/ring.py) is fixed memory that the system hands out page
by page as the hour passes: 40 MB that look like a leak to anybody who watches the process for less
than an hour. Here every page is written to when the ring is made. Nothing else differs.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.telemetry.ring import Ring


def arrays_of(value: Any, depth: int = 2) -> Iterator[np.ndarray]:
    """The arrays that an object holds, and those that its parts hold."""
    for part in vars(value).values():
        if isinstance(part, np.ndarray):
            yield part
        elif depth > 1 and hasattr(part, "__dict__"):
            yield from arrays_of(part, depth - 1)


def touch(ring: Ring) -> int:
    """Write every page of a ring's arrays, values as they are; the bytes."""
    total = 0
    for array in arrays_of(ring):
        array[...] = array.copy()
        total += array.nbytes
    return total


def main() -> None:
    made = Ring.__init__

    def made_whole(ring: Ring) -> None:
        made(ring)
        touch(ring)

    setattr(Ring, "__init__", made_whole)  # noqa: B010
    runpy.run_module("app.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
