"""`pyrometer`, as if an hour without a request lay behind it: for a soak.

    python -m bench.lab.aged serve ...

What telemetry keeps of the last hour (engine/telemetry/ring.py, 40 MB) is fixed memory that the
system hands out page by page as the hour passes, and whatever looks back at an hour copies more of
it each time. To anybody who watches the process for less than an hour that looks like a leak. Here
the ring begins full of seconds in which nothing happened, with every page written to, and so do
the points that viewers are sent. Nothing else differs.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson

from engine.telemetry.ring import SECONDS, Ring
from engine.telemetry.snapshot import POINTS, points_of
from engine.telemetry.tally import empty_tally
from engine.telemetry.ticker import Ticker


def arrays_of(value: Any, depth: int = 2) -> Iterator[np.ndarray]:
    """The arrays that an object holds, and those that its parts hold."""
    for part in vars(value).values():
        if isinstance(part, np.ndarray):
            yield part
        elif depth > 1 and hasattr(part, "__dict__"):
            yield from arrays_of(part, depth - 1)


def age(ring: Ring, monotonic_s: float) -> None:
    """Fill the ring with the seconds before `monotonic_s`; write every page of it."""
    for array in arrays_of(ring):
        array[...] = array.copy()
    tally, is_service = empty_tally(), np.zeros(0, dtype=bool)
    for before in range(SECONDS, 0, -1):
        ring.append(monotonic_s - before, 1.0, {}, tally, is_service)


def aged(made: Callable[..., None]) -> Callable[..., None]:
    """The ticker's `__init__`, followed by an hour."""

    def make(ticker: Ticker, *arguments: Any, **named: Any) -> None:
        made(ticker, *arguments, **named)
        age(ticker.ring, ticker._last_tick)
        points = points_of(ticker.ring.stretch(POINTS), ticker.wall_offset_s)
        ticker._points.extend(orjson.dumps(point) for point in points)

    return make


def main() -> None:
    setattr(Ticker, "__init__", aged(Ticker.__init__))  # noqa: B010
    runpy.run_module("app.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
