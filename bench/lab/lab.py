"""One run, from its spec to the record that is stored.

    run(spec) -> payload -> Sender -> tally -> record

`Cancel` ends a run early: what was measured is kept. Progress is told once a second; its rates
and percentiles are of that second, its requests and errors of the phase so far.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop

from bench.lab import arrivals
from bench.lab.clocks import now_ns
from bench.lab.outcome import Measured, record_of
from bench.lab.payloads import Payload, build
from bench.lab.sender import Plan, Sender
from bench.lab.spec import LabSpec
from bench.lab.tally import LEAST_POINT_S, Point, Tally, percentiles_of
from bench.lab.target import Target
from engine.errors import InvalidInput

SIGNALS = (signal.SIGTERM, signal.SIGINT)
T = TypeVar("T")
Progress = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Cancel:
    """Asked for by a signal; `ask` may be called from a signal handler of the loop."""

    asked: bool = False
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def ask(self) -> None:
        self.asked = True
        for listener in list(self.listeners):
            listener()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Within, SIGTERM and SIGINT ask, where this thread may handle signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, lambda *_: self.ask()) for number in SIGNALS}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # a parent may have held them back
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a uvloop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def due_times(spec: LabSpec, payload: Payload, until_s: float) -> Any:
    """The open loop's intended send times; None for a closed loop."""
    if spec.loop == "closed":
        return None
    if payload.times_s is not None:
        return arrivals.recorded(payload.times_s, spec.payload.speed or 1.0, until_s)
    assert spec.rate_per_s is not None
    if spec.arrivals == "poisson":
        return arrivals.poisson(spec.rate_per_s, until_s, spec.seed)
    return arrivals.constant(spec.rate_per_s, until_s)


def lasts_s(times_s: Sequence[float]) -> float:
    """How long a recording lasts: to its last request, and one mean gap more."""
    gap_s = times_s[-1] / (len(times_s) - 1) if len(times_s) > 1 else 0.0
    return times_s[-1] + (gap_s or 1.0)


async def measure(
    spec: LabSpec, payload: Payload, target: Target, on_progress: Progress, cancel: Cancel
) -> Measured:
    """Send as `spec` says, once. Raises PyrometerError where nobody answers."""
    until_s = spec.warmup_s + spec.seconds
    if payload.times_s is not None:
        until_s = min(until_s, lasts_s(payload.times_s) / (spec.payload.speed or 1.0))
        spec = dataclasses.replace(spec, seconds=max(0.0, until_s - spec.warmup_s))
        if not spec.seconds:
            raise InvalidInput(f"warmup_s is {spec.warmup_s:g}; the recording is over by then")
    plan = Plan(
        target=target,
        shots=payload.in_turn(),
        connections=spec.connections,
        timeout_s=spec.timeout_s,
        warmup_s=spec.warmup_s,
        until_s=until_s,
        due_s=due_times(spec, payload, until_s),
    )
    sender = Sender(plan)
    await sender.open()
    gc.freeze()
    cancel.listeners.append(sender.stop)
    cpu_before, wall_before = time.process_time(), time.perf_counter()
    ticking = asyncio.ensure_future(_tick(sender, spec, on_progress))
    try:
        if cancel.asked:
            sender.close()
        else:
            await sender.run()
    finally:
        ticking.cancel()
        cancel.listeners.remove(sender.stop)
        gc.unfreeze()
    wall_s = time.perf_counter() - wall_before
    busy = 100 * (time.process_time() - cpu_before) / max(wall_s, 1e-9)
    ended_s = max(0.0, (now_ns() - sender.measured_from_ns) / 1e9) if sender.start_ns else 0.0
    if sender.tally.due or sender.tally.requests:
        point = sender.tally.tick(ended_s)
        if point.end_s - point.begin_s > LEAST_POINT_S:
            on_progress(progress_of(point, sender.tally, spec, "run"))
    window_s = max(1e-9, until_s - spec.warmup_s)
    cut = sender.gave_up or cancel.asked
    return _measured(spec, sender, min(window_s, ended_s) if cut else window_s, busy, cancel.asked)


def _measured(
    spec: LabSpec, sender: Sender, seconds: float, busy: float, cancelled: bool
) -> Measured:
    tally, open_loop = sender.tally, spec.loop == "open"
    requested = lag = None
    if open_loop:
        lag = 100 * sender.lag
        requested = tally.due / max(seconds, 1e-9)
        achieved = requested * (1 - sender.lag)
    else:
        achieved = (tally.requests if cancelled else sender.finished_in_time) / max(seconds, 1e-9)
    return Measured(
        tally, seconds, requested, achieved, lag, busy, sender.gave_up, cancelled, open_loop
    )


async def _tick(sender: Sender, spec: LabSpec, on_progress: Progress) -> None:
    """Once a second of each phase: close the tally's second and tell of it."""
    began = now_ns()
    for at_s, phase in tick_times(spec.warmup_s):
        await asyncio.sleep(max(0.0, at_s - (now_ns() - began) / 1e9))
        sender.tick()
        warming = phase == "warmup"
        tally = sender.warm if warming else sender.tally
        from_ns = sender.start_ns if warming else sender.measured_from_ns
        point = tally.tick((now_ns() - from_ns) / 1e9)
        on_progress(progress_of(point, tally, spec, phase))


def tick_times(warmup_s: float) -> Iterator[tuple[float, str]]:
    """Seconds from the start and the phase that ends or goes on there: the warm-up's last too."""
    for second in itertools.count(1):
        if second >= warmup_s:
            break
        yield float(second), "warmup"
    if warmup_s:
        yield warmup_s, "warmup"
    for second in itertools.count(1):
        yield warmup_s + second, "run"


def progress_of(point: Point, tally: Tally, spec: LabSpec, phase: str) -> dict[str, Any]:
    """One line of progress, as the contract has it."""
    _, requested, achieved, _, p50, p95, p99 = point.row(spec.loop == "open")
    service_p99 = percentiles_of(tally.service.last, (0.99,))[0]
    server_p50, server_p99 = percentiles_of(tally.server.last, (0.5, 0.99))
    return {
        "type": "progress",
        "elapsed_s": round(point.end_s, 3),
        "seconds": spec.warmup_s if phase == "warmup" else spec.seconds,
        "phase": phase,
        "step": None,
        "steps": None,
        "requested_per_s": requested,
        "achieved_per_s": achieved,
        "requests": tally.requests,
        "errors": tally.errors,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "service_p99_ms": service_p99,
        "server_p50_ms": server_p50,
        "server_p99_ms": server_p99,
    }


def in_steps(on_progress: Progress, step: int, steps: int) -> Progress:
    """The same, with each line in phase "step" and saying which. steps: at most so many."""

    def tell(line: dict[str, Any]) -> None:
        on_progress({**line, "phase": "step", "step": step, "steps": steps})

    return tell


def run(spec: LabSpec, on_progress: Progress, cancel: Cancel) -> dict[str, Any]:
    """A run or a ramp, as its spec says: the record to store.

    Raises InvalidInput for a payload that cannot be sent, PyrometerError where nobody answers.
    """
    target = Target.of(spec.url)
    if spec.generator == "wrk":
        from bench.lab import by_wrk

        return by_wrk.run(spec, target, on_progress, cancel)
    payload = build(spec, target)
    started = time.time()

    async def work() -> dict[str, Any]:
        if spec.ramp is not None:
            from bench.lab import ramp

            return await ramp.climb(spec, payload, target, on_progress, cancel)
        measured = await measure(spec, payload, target, on_progress, cancel)
        return record_of(spec, "load", started, measured, payload)

    with cancel.by_signals():
        return in_loop(work())
