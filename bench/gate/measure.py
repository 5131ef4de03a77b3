"""The interleaved run: rounds of fresh servers, blocks of time, quads of windows.

    round   every server started anew, warmed, on one core together with the sender
      cycle   each case in turn, in random order
        block   BLOCK_S of one case
          quad    A B B A or B A A B, by lot, the same requests in each of the four windows

Only the side that is asked works; the CPU clocks of the others are not read meanwhile.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.gate.cases import CACHED, INSTRUMENTATION, Case
from bench.gate.samples import Samples
from bench.gate.sender import Sender, Window, body_in, header_in
from bench.gate.server import Side, started
from engine.errors import PyrometerError

BASELINE, CANDIDATE, BARE = "baseline", "candidate", "uninstrumented"
WINDOW_CPU_US, BLOCK_S, WARM_S = 4_000.0, 0.5, 0.25
MOST_ROUNDS, SETUP_SHARE = 5, 0.25
START_S, WARM_CASE_S = 2.5, 0.6
"""What a round's start takes, about, and warming one case of it; only to choose the rounds."""
COMPARED = 50
MOST_COUNT = 100_000
LEAST_HIT_PERCENT = 99.0
Progress = Callable[[str, Samples], None]


@dataclass(frozen=True, slots=True)
class Job:
    """sides: by name, BASELINE only where its tree is there. requests: by case.

    end_s: when to be done, by the monotonic clock. rounds: fresh starts.
    """

    sides: Mapping[str, Side]
    cases: Sequence[Case]
    requests: Mapping[str, Sequence[bytes]]
    models: Path
    end_s: float
    rounds: int
    seed: int


def rounds_in(seconds: float, cases: int) -> int:
    """How often to start the servers anew within so long, a quarter of it spent on that."""
    setup_s = START_S + WARM_CASE_S * cases
    return max(1, min(MOST_ROUNDS, int(seconds * SETUP_SHARE / setup_s)))


def measured(job: Job, progress: Progress) -> dict[str, Samples]:
    """Every case's samples. Raises PyrometerError where a server fails or answers wrongly."""
    lots = random.Random(job.seed)
    found = {case.name: Samples() for case in job.cases}
    for number in range(job.rounds):
        now = time.monotonic()
        end_s = now + (job.end_s - now) / (job.rounds - number)
        with ExitStack() as stack:
            servers = start_all(job.sides, job.models, stack)
            stack.enter_context(on_one_core([process_id for process_id, _ in servers.values()]))
            _round(job, servers, found, end_s, lots, progress)
    for case in job.cases:
        _check_hits(case, found[case.name])
    return found


def start_all(
    sides: Mapping[str, Side], models: Path, stack: ExitStack
) -> dict[str, tuple[int, int]]:
    """Start every side's server at once; (process id, port) by name, ended with the stack."""

    def start(side: Side) -> tuple[AbstractContextManager[object], tuple[int, int]]:
        context = started(side, models)
        return context, context.__enter__()

    pool = stack.enter_context(ThreadPoolExecutor(len(sides)))
    tasks = {name: pool.submit(start, side) for name, side in sides.items()}
    wait(tasks.values())
    for task in tasks.values():
        if task.exception() is None:
            stack.push(task.result()[0])
    return {name: task.result()[1] for name, task in tasks.items()}


@contextmanager
def on_one_core(process_ids: Sequence[int]) -> Iterator[None]:
    """This process and those servers on the core that has least to do."""
    allowed = os.sched_getaffinity(0)
    busy = psutil.cpu_percent(interval=0.2, percpu=True)
    idlest = min(allowed, key=lambda core: busy[core] if core < len(busy) else 100.0)
    for process_id in process_ids:
        for thread in Path(f"/proc/{process_id}/task").iterdir():
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(thread.name), {idlest})
    os.sched_setaffinity(0, {idlest})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def names_of(case: Case, sides: Mapping[str, Side]) -> tuple[str, ...]:
    """The sides a case compares, before and after; one where there is nothing to run beside."""
    if case.compares == INSTRUMENTATION:
        return (BARE, CANDIDATE)
    return (BASELINE, CANDIDATE) if BASELINE in sides else (CANDIDATE,)


def _round(
    job: Job,
    servers: Mapping[str, tuple[int, int]],
    found: Mapping[str, Samples],
    end_s: float,
    lots: random.Random,
    progress: Progress,
) -> None:
    with ExitStack() as stack:
        senders: dict[str, list[Sender]] = {}
        for case in job.cases:
            senders[case.name] = [
                Sender(*servers[name], case.connections) for name in names_of(case, job.sides)
            ]
            for sender in senders[case.name]:
                stack.callback(sender.close)
            _warm(case, senders[case.name], job, found[case.name])
            found[case.name].begin_round()
        took_s = 0.0
        while True:
            began_s = time.monotonic()
            for case in lots.sample(job.cases, len(job.cases)):
                samples = found[case.name]
                requests = job.requests[case.name]
                _block(senders[case.name], requests, samples, lots)
                progress(case.name, samples)
            took_s = time.monotonic() - began_s
            if time.monotonic() + took_s > end_s:
                break
        for case in job.cases:
            _count_hits(case, senders[case.name], job, found[case.name])


def _warm(case: Case, senders: Sequence[Sender], job: Job, samples: Samples) -> None:
    """Open lanes and fill caches; at first also see who answers what, and size the windows."""
    requests = job.requests[case.name]
    passes = 4 if case.kind == CACHED else 1
    answers = []
    for name, sender in zip(names_of(case, job.sides), senders, strict=True):
        sender.window(requests, passes * len(requests), 0)
        answers.append(sender.answers(requests[:COMPARED]))
        forms = {header_in(answer, "x-backend") for answer in answers[-1]}
        samples.forms[name] = ", ".join(sorted(forms))
        end_s = time.monotonic() + WARM_S
        while time.monotonic() < end_s:
            window = sender.window(requests, 200, 0)
        samples.count = samples.count or _count(window, sender.connections)
        sender.sent = sender.hits = 0
    if len(answers) == 2 and not samples.compared:
        bodies = [[body_in(answer) for answer in one] for one in answers]
        samples.compared = len(bodies[0])
        samples.differing = sum(a != b for a, b in zip(*bodies, strict=True))


def _count(window: Window, connections: int) -> int:
    """Requests of a window that costs the server WINDOW_CPU_US, in whole turns, two or more.

    By CPU time: on a busy machine the same window takes longer, and must not become smaller.
    """
    turns = max(2, round(WINDOW_CPU_US / window.cpu_us / connections))
    return min(turns * connections, MOST_COUNT)


def _block(
    senders: Sequence[Sender], requests: Sequence[bytes], samples: Samples, lots: random.Random
) -> None:
    quads: list[tuple[list[Window], list[Window]]] = []
    end_s = time.monotonic() + BLOCK_S
    after = senders[-1]
    while not quads or time.monotonic() < end_s:
        first = lots.randrange(len(requests))
        order = [after, after]
        if len(senders) == 2:
            order = [senders[0], after, after, senders[0]]
            if lots.random() < 0.5:
                order = [after, senders[0], senders[0], after]
        windows = [(sender, sender.window(requests, samples.count, first)) for sender in order]
        quads.append(
            (
                [window for sender, window in windows if sender is not after],
                [window for sender, window in windows if sender is after],
            )
        )
        samples.requests += samples.count * len(order)
    samples.add_block(quads, lots.getrandbits(64))


def _count_hits(case: Case, senders: Sequence[Sender], job: Job, samples: Samples) -> None:
    for name, sender in zip(names_of(case, job.sides), senders, strict=True):
        percent = 100 * sender.hits / max(1, sender.sent)
        worst = min if case.kind == CACHED else max
        samples.hit_percent[name] = worst(samples.hit_percent.get(name, percent), percent)


def _check_hits(case: Case, samples: Samples) -> None:
    """A case that is not what its name says proves nothing. Raises PyrometerError."""
    for name, percent in samples.hit_percent.items():
        if case.kind == CACHED and percent < LEAST_HIT_PERCENT:
            raise PyrometerError(f"{case.name}: {name} answered {percent:.1f} % from its cache")
        if case.kind != CACHED and percent:
            raise PyrometerError(f"{case.name}: {name} answered {percent:.1f} % from a cache")
