"""`pyrometer`, as if an hour without a request lay behind it: for a soak.

    python -m bench.lab.aged serve ...

Whatever looks back at an hour reads more of it as the first hour passes, and the points that
viewers are sent become more until there are ten minutes of them. To anybody who watches the process
for less than an hour that looks like a leak. Here the ring begins full of seconds in which nothing
happened, and so do the points. Nothing else differs.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.telemetry.ring import SECONDS, Ring
from engine.telemetry.snapshot import POINTS, points_of
from engine.telemetry.tally import empty_tally
from engine.telemetry.ticker import Ticker, kept_point


def age(ring: Ring, monotonic_s: float) -> None:
    """Fill the ring with the seconds before `monotonic_s`."""
    tally, is_service = empty_tally(), np.zeros(0, dtype=bool)
    for before in range(SECONDS, 0, -1):
        ring.append(monotonic_s - before, 1.0, {}, tally, is_service)


def aged(made: Callable[..., None]) -> Callable[..., None]:
    """The ticker's `__init__`, followed by an hour."""

    def make(ticker: Ticker, *arguments: Any, **named: Any) -> None:
        made(ticker, *arguments, **named)
        age(ticker.ring, ticker._last_tick)
        points = points_of(ticker.ring.stretch(POINTS), ticker.wall_offset_s)
        ticker._points.extend(map(kept_point, points))

    return make


def main() -> None:
    setattr(Ticker, "__init__", aged(Ticker.__init__))  # noqa: B010
    runpy.run_module("app.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
