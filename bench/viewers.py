"""What viewers of the console cost inference: `make viewers`.

Rounds of windows of load at 50 connections, in an order drawn anew each: without viewers, with 100
that poll the live route once a second as open tabs do (bench/open_tabs.py), with 100 that poll
another, idle server on the same machine, and without again (A/A). How many of the polls were
answered, and how late they were asked, is judged too. Then their cost alone: the server's CPU with
and without them while nothing else is asked, in looks of 10 s that alternate.

Two things of the machine would be taken for viewers' doing. Clients that come to share a processor
with the event loop hold it up: they keep to one processor, the last, while servers may use all. And
a halted processor of a virtual machine is woken by a call of the hypervisor: idle processors are
kept awake. The same windows with processors that may halt stand below, beside each other; they are
not judged.

Medians are judged. Where the interval of the p99's ratio reaches beyond the bound, so is the direct
cost: what one poll takes of the event loop's thread, since the requests of that turn wait for so
long.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from bench.loads import ratio_interval
from bench.models import rows_of, write_repository
from bench.open_tabs import REST_S, Period, Watch, tabs
from bench.processors import kept_awake, pinned, polled_s
from bench.serving import Client, serving, thread_ns, wait_settled
from bench.wrk import Window, measure, write_script

VIEWERS, CONNECTIONS = 100, 50
LEAST_RATE, MOST_P99, MOST_US, MOST_BYTES = 0.95, 1.10, 300.0, 2048
LOOKS = 5
LEAST_POLLS, MOST_LATE_MS = 0.95, 50.0
"""Of a viewer's one a second: with fewer answered, or later ones, the load was not what is said."""
KEEP_ALIVE = ("--keep-alive-s", "3600")
"""Viewers rest between windows, for longer than a server's connections may."""


class Mode(NamedTuple):
    """A kind of window. of: whose viewers ask in it. awake: idle processors are kept so."""

    name: str
    of: str = "nobody"
    awake: bool = True


NONE, HERE = Mode("none"), Mode("viewers", "here")
ELSEWHERE, AGAIN = Mode("viewers of another server", "elsewhere"), Mode("none, again (A/A)")
HALTED = Mode("none; processors halt", awake=False)
HALTED_HERE = Mode("viewers; processors halt", "here", awake=False)
HALTED_ELSEWHERE = Mode("another server's; processors halt", "elsewhere", awake=False)
BESIDE = {
    **dict.fromkeys((NONE, HERE, ELSEWHERE, AGAIN, HALTED), NONE),
    **dict.fromkeys((HALTED_HERE, HALTED_ELSEWHERE), HALTED),
}
"""Every mode, and what it is held against."""


@contextmanager
def nobody() -> Iterator[list[Period]]:
    """Nobody asks in the block, after as long a rest."""
    time.sleep(REST_S)
    yield []


def spent_us(pid: int) -> float:
    """CPU of a process until now."""
    return sum(thread_ns(pid).values()) / 1e3


class Cost(NamedTuple):
    """CPU of one viewer-second, us: the whole server's, and that of its event loop's thread."""

    all_us: float
    loop_us: float


def cost_alone(pid: int, watch: Watch, seconds: float) -> list[Cost]:
    """What viewers cost a server that nobody else asks, beside what it takes idle; each look's.

    The thread that has worked most until now is the event loop's: the load has gone before.
    """
    begun_ns = thread_ns(pid)
    loop = max(begun_ns, key=begun_ns.__getitem__)

    def look(during: Watch) -> tuple[np.ndarray, list[Period]]:
        with during() as said:
            before = np.array([spent_us(pid), thread_ns(pid)[loop] / 1e3])
            time.sleep(seconds)
            after = np.array([spent_us(pid), thread_ns(pid)[loop] / 1e3])
        return after - before, said

    found = []
    for _ in tqdm(range(LOOKS), unit="look"):
        idle_us, _ = look(nobody)
        asked_us, (period,) = look(watch)
        polls = period.polls / period.seconds * seconds
        found.append(Cost(*((asked_us - idle_us) / polls).tolist()))
    return found


class Seen(NamedTuple):
    """A window; the server's CPU of a request in it, us; what idle processors polled, s/s."""

    window: Window
    cpu_us: float
    polled: float

    @property
    def rate(self) -> float:
        return self.window.requests_per_s

    @property
    def p99_ms(self) -> float:
        return self.window.p99_ms


@dataclass
class Found:
    """Windows and viewers' periods by mode, and what viewers cost alone."""

    seen: dict[Mode, list[Seen]] = field(default_factory=lambda: {mode: [] for mode in BESIDE})
    periods: dict[Mode, list[Period]] = field(
        default_factory=lambda: {mode: [] for mode in BESIDE if mode.of != "nobody"}
    )
    costs: list[Cost] = field(default_factory=list)

    def ratio(self, mode: Mode, base: Mode, of: str) -> tuple[float, float, float]:
        """Median of the paired ratios of a figure of Seen, and its 95 % interval."""
        return ratio_interval(self.figures(mode, of), self.figures(base, of))

    def figures(self, mode: Mode, of: str) -> list[float]:
        return [getattr(one, of) for one in self.seen[mode]]


def measured(models: Path, folder: Path, rounds: int, seconds: float) -> Found:
    """All windows, then the viewers' cost alone. Raises RuntimeError where a request fails."""
    found, draw = Found(), random.Random(2)
    write_repository(models, folder)
    script = write_script(folder / "rows.lua", rows_of(models))
    other = folder / "other"
    write_repository(models, other)
    with ExitStack() as stack:
        port, pid = stack.enter_context(serving(folder, *KEEP_ALIVE))
        other_port, _ = stack.enter_context(serving(other, *KEEP_ALIVE))
        wait_settled(Client(other_port), 4)
        wait_settled(Client(port), 4)
        stack.enter_context(pinned([max(os.sched_getaffinity(0))]))
        watches: dict[str, Watch] = {"nobody": nobody}
        watches["here"] = stack.enter_context(tabs(port, VIEWERS))
        watches["elsewhere"] = stack.enter_context(tabs(other_port, VIEWERS))
        url = f"http://127.0.0.1:{port}/v2/models/breast_cancer/infer"
        measure(url, CONNECTIONS, script, 3)
        for _ in tqdm(range(rounds), unit="round"):
            for mode in draw.sample(list(BESIDE), len(BESIDE)):
                with kept_awake() if mode.awake else nullcontext(), watches[mode.of]() as said:
                    before_us, before_s = spent_us(pid), polled_s()
                    window = measure(url, CONNECTIONS, script, seconds)
                    took_us, polled = spent_us(pid) - before_us, polled_s() - before_s
                if window.failed:
                    raise RuntimeError(f"{mode.name}: {window.failed} requests failed")
                found.seen[mode].append(Seen(window, took_us / window.requests, polled / seconds))
                if mode in found.periods:
                    found.periods[mode] += said
        with kept_awake():
            found.costs = cost_alone(pid, watches["here"], 10.0)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.viewers", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each window")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="viewers-") as scratch:
        found = measured(given.models, Path(scratch), given.rounds, given.seconds)
    show(found)
    return judge(found)


def show(found: Found) -> None:
    """Print the table and the looks."""
    print(
        "| viewers | requests/s | ratio, 95 % | p99, ms | ratio, 95 % | CPU a request, us "
        "| ratio, 95 % | beside |"
    )
    print("|---|---:|---|---:|---|---:|---|---|")
    for mode, base in BESIDE.items():
        cells = [mode.name]
        for of, form in (("rate", ",.0f"), ("p99_ms", ".2f"), ("cpu_us", ".2f")):
            cells.append(format(np.median(found.figures(mode, of)), form))
            cells.append("{:.3f} ({:.3f} to {:.3f})".format(*found.ratio(mode, base, of)))
        print(f"| {' | '.join(cells)} | {base.name} |")
    print("\np99 beside that with another server's viewers:")
    for mode, base in ((HERE, ELSEWHERE), (HALTED_HERE, HALTED_ELSEWHERE)):
        own = found.ratio(mode, base, "p99_ms")
        print("{}: {:.3f} ({:.3f} to {:.3f})".format(mode.name, *own))
    for place, name in enumerate(("the server", "its event loop")):
        looks = [cost[place] for cost in found.costs]
        listed = ", ".join(f"{one:.0f}" for one in looks)
        print(f"a viewer-second costs {name} {np.median(looks):.0f} us of CPU (looks: {listed})")


def judge(found: Found) -> int:
    """Print what holds; 0 where all does."""
    cost_us, loop_us = np.median(found.costs, axis=0).tolist()
    rate, p99 = (found.ratio(HERE, NONE, of) for of in ("rate", "p99_ms"))
    size = float(np.mean([one.mean_bytes for one in found.periods[HERE]]))
    holds = {
        f"throughput: {rate[0]:.3f} of it, at least {LEAST_RATE}": rate[0] >= LEAST_RATE,
        f"p99: {p99[0]:.3f} of it, at most {MOST_P99}": p99[0] <= MOST_P99,
        f"a viewer-second: {cost_us:.0f} us, at most {MOST_US:.0f}": cost_us <= MOST_US,
        f"an answer: {size:.0f} bytes, less than {MOST_BYTES}": size < MOST_BYTES,
    }
    if p99[2] > MOST_P99:
        longer = loop_us / 1e3 / float(np.median(found.figures(NONE, "p99_ms")))
        what = (
            f"its interval is wider: a poll makes a turn longer by {longer:.1%} of it, as bounded"
        )
        holds[what] = longer <= MOST_P99 - 1
    awake, halted = (float(np.median(found.figures(mode, "polled"))) for mode in (NONE, HALTED))
    what = f"idle processors kept awake polled {awake:.2f} s a second, others {halted:.2f}"
    holds[what] = awake > 2 * halted
    for mode, periods in found.periods.items():
        polls, _, late_ms, seconds = np.array(periods).T
        share, late = polls.sum() / (VIEWERS * seconds.sum()), np.percentile(late_ms, 95)
        what = f"{mode.name}: {share:.1%} of a poll a second answered, at least {LEAST_POLLS:.0%}"
        holds[what] = share >= LEAST_POLLS
        what = f"{mode.name}: asked {late:.1f} ms late, at most {MOST_LATE_MS:.0f}"
        holds[what] = late <= MOST_LATE_MS
    print()
    for what, does in holds.items():
        print(f"{'yes' if does else 'NO'}: {what}")
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
