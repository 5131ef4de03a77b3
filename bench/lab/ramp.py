"""The highest rate within an SLO: rising steps, then bisection.

The first bad step ends the rise. Between it and the last good one the rate is halved until
the two are within RESOLUTION of each other, at most MOST_HALVINGS times. A step is good when it
kept its rate (lag of at most 1 %) and the SLO. Each step has connections and a tally of its
own; the first SETTLE of it is not counted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Generator
from typing import Any

from bench.lab.lab import Cancel, Progress, in_steps, measure
from bench.lab.outcome import Measured, record_of, slo_misses
from bench.lab.payloads import Payload
from bench.lab.spec import LabSpec
from bench.lab.tally import Tally
from bench.lab.target import Target

MOST_HALVINGS = 6
RESOLUTION = 0.02
SETTLE = 0.1
REST_S = 0.2
"""Between steps, so that what a bad one left in the server's queues is gone."""


def rising(spec: LabSpec) -> list[float]:
    """The rates of the rise, requests/s."""
    assert spec.ramp is not None
    first, last, steps = spec.ramp.from_per_s, spec.ramp.to_per_s, spec.ramp.steps
    return [first + (last - first) * step / (steps - 1) for step in range(steps)]


def halving(good: float, bad: float) -> Generator[float, bool, None]:
    """Rates to try between a good and a bad one; it is sent whether the last was good."""
    for _ in range(MOST_HALVINGS):
        if bad - good <= RESOLUTION * good:
            return
        middle = (good + bad) / 2
        was_good = yield middle
        good, bad = (middle, bad) if was_good else (good, middle)


async def climb(
    spec: LabSpec, payload: Payload, target: Target, on_progress: Progress, cancel: Cancel
) -> dict[str, Any]:
    """The whole ramp as a record. Raises PyrometerError where nobody answers."""
    climber = _Climber(spec, payload, target, on_progress, cancel)
    await climber.climb()
    return climber.record()


class _Climber:
    def __init__(
        self, spec: LabSpec, payload: Payload, target: Target, on_progress: Progress, cancel: Cancel
    ) -> None:
        self._spec, self._payload, self._target = spec, payload, target
        self._on_progress, self._cancel = on_progress, cancel
        self._started = time.time()
        self._rates = rising(spec)
        self._most = len(self._rates) + MOST_HALVINGS
        self._all = Tally()
        self._last: Measured | None = None
        self._seconds = 0.0
        self.steps: list[dict[str, Any]] = []

    async def climb(self) -> None:
        good, bad = None, None
        for rate in self._rates:
            if not await self._is_good(rate):
                bad = rate
                break
            good = rate
        if good is None or bad is None:
            return
        search = halving(good, bad)
        middle = next(search, None)
        while middle is not None and not self._cancel.asked:
            was_good = await self._is_good(middle)
            try:
                middle = search.send(was_good)
            except StopIteration:
                return

    async def _is_good(self, rate: float) -> bool:
        if self._cancel.asked:
            return False
        assert self._spec.ramp is not None
        step_s = self._spec.ramp.step_s
        warmup_s = SETTLE * step_s if self.steps else max(SETTLE * step_s, self._spec.warmup_s)
        # measured as an open loop of its own, without the ramp
        step = dataclasses.replace(
            self._spec, ramp=None, rate_per_s=rate, seconds=step_s, warmup_s=warmup_s
        )
        tell = in_steps(self._on_progress, len(self.steps) + 1, self._most)
        measured = await measure(step, self._payload, self._target, tell, self._cancel)
        self._last = measured
        if measured.cancelled:
            return False
        self.steps.append(_row(step, rate, measured))
        self._gather(measured)
        await asyncio.sleep(REST_S)
        return bool(self.steps[-1]["within_slo"])

    def _gather(self, measured: Measured) -> None:
        """Add a step to the whole; its points follow those before it."""
        part, whole = measured.tally, self._all
        for kind in ("latency", "service", "server", "late"):
            getattr(whole, kind).merge(getattr(part, kind))
        for name in ("requests", "errors", "expected_errors", "due"):
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        whole.statuses.update(part.statuses)
        whole.error_texts.update(part.error_texts)
        whole.append_points(part.points, self._seconds)
        self._seconds += measured.seconds

    def record(self) -> dict[str, Any]:
        spec, last = self._spec, self._last
        assert last is not None
        achieved = self._all.requests / max(self._seconds, 1e-9)
        whole = dataclasses.replace(
            last, tally=self._all, seconds=self._seconds, requested_per_s=None, gave_up=False
        )
        whole.achieved_per_s, whole.lag_percent = achieved, None
        whole.cancelled = self._cancel.asked
        record = record_of(spec, "ramp", self._started, whole, self._payload)
        within = [step["rate_per_s"] for step in self.steps if step["within_slo"]]
        if record["valid"] and not any(step["valid"] for step in self.steps):
            record["valid"] = False
            record["invalid_because"] = f"no step kept its rate: {self.steps[0]['why']}"
        return record | {
            "steps": self.steps,
            "highest_within_slo_per_s": max(within, default=None),
            "rose_to_the_end": bool(self.steps) and all(s["within_slo"] for s in self.steps),
        }


def _row(spec: LabSpec, rate: float, measured: Measured) -> dict[str, Any]:
    """One step as it is stored."""
    tally = measured.tally
    latency = tally.latency.figures()
    figures = {
        "requests": tally.requests,
        "errors": tally.errors,
        "latency_ms": latency,
        "achieved_per_s": measured.achieved_per_s,
    }
    invalid = measured.why_invalid
    whys = [invalid] if invalid else slo_misses(spec.slo, figures)
    return {
        "rate_per_s": round(rate, 2),
        "achieved_per_s": round(measured.achieved_per_s, 2),
        "p50_ms": latency["p50"],
        "p99_ms": latency["p99"],
        "error_percent": round(100 * tally.errors / max(1, tally.requests), 3),
        "within_slo": not whys,
        "valid": invalid is None,
        "why": "; ".join(whys) or None,
    }
