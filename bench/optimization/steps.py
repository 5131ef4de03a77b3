"""The steps that every form goes through: cold starts, one connection, fifty connections."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.optimization.caller import NO_CACHE, Caller, timed
from bench.optimization.figures import SERVER, Figure, Figures
from bench.optimization.load import CONNECTIONS, NO_WRK, Peak, has_wrk, peak, write_bodies
from bench.optimization.progress import Progress
from bench.optimization.rows import Rows
from bench.optimization.servers import Places, Running, first_answer_ms, running


class OutOfTime(Exception):
    """The whole run's time is over; raised once, wherever it is."""


NO_TIME = "the run's time was over: give it more --seconds"
FAULTS = (OutOfTime, OSError, RuntimeError, subprocess.SubprocessError)
AT_FIFTY = (("throughput_per_s", "req/s"), ("p99_at_50_ms", "ms"), ("errors_at_50_percent", "%"))
ROWS = 200
"""Distinct rows sent in turn where no cache is asked."""


@dataclass(slots=True)
class Bench:
    """One run. scale: of every window's usual length. least_s: what must be left for a step.

    faults: why a form's server could not be measured.
    """

    places: Places
    rows: Mapping[str, Rows]
    figures: Figures
    progress: Progress
    scale: float
    least_s: float = 3.0
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, form: str, subject: str, words: str, *names: tuple[str, str]) -> Iterator[bool]:
        """A step that puts `names` (name, unit); without time, or at a fault, they say why not.

        Yields False where there is no time left for it.
        """
        self.progress.at(words)
        why = None
        try:
            has_time = self.progress.left_s > self.least_s
            why = None if has_time else NO_TIME
            yield has_time
        except OutOfTime:
            why = NO_TIME
        except FAULTS as fault:
            why = f"it failed: {str(fault)[:200]}"
            self.progress.errors += 1
        for name, unit in names:
            if not self.figures.has(form, subject, name):
                self.figures.missing(form, subject, name, unit, why or "not measured")

    @contextmanager
    def form(self) -> Iterator[None]:
        """All steps of one form: where its server does not start, the others are still measured."""
        try:
            yield
        except OutOfTime:
            return
        except FAULTS as fault:
            self.progress.errors += 1
            self.faults.append(str(fault)[:200])

    @contextmanager
    def serving(self, form: str) -> Iterator[Running]:
        """The server of a form's further steps. Raises OutOfTime where it would have none."""
        if self.progress.left_s < self.least_s:
            raise OutOfTime
        with running(self.places, form) as server:
            yield server

    def window_s(self, usual_s: float) -> float:
        """A window's length in this run."""
        return max(0.3, usual_s * self.scale)

    def times(self, usual: int) -> int:
        """How often something is repeated in this run."""
        return max(1, round(usual * self.scale))


def path_of(name: str) -> str:
    return f"/v2/models/{name}/infer"


def cold_starts(bench: Bench, form: str, name: str, usual: int) -> None:
    """Process start to the first answer of a model."""
    words = f"{form}: process start, {name}"
    with bench.step(form, name, words, ("cold_start_ms", "ms")) as has_time:
        if not has_time:
            return
        body, times = bench.rows[name].first(), []
        for _ in range(bench.times(usual)):
            with running(bench.places, form, name) as server:
                times.append(first_answer_ms(server, path_of(name), body))
            bench.progress.requests += 1
            if bench.progress.left_s < bench.least_s:
                break
        how = "a fresh process, from its start to its first 200, asked every 2 ms; median"
        bench.figures.median(form, name, "cold_start_ms", times, how, f"{len(times)} starts")


def one_connection(bench: Bench, form: str, name: str, server: Running) -> None:
    """Latency of requests in turn, no cache."""
    names = [(f"warm_p{share}_ms", "ms") for share in (50, 95, 99)]
    with bench.step(form, name, f"{form}: latency, {name}", *names) as has_time:
        if not has_time:
            return
        seconds = bench.window_s(1.5)
        bodies = bench.rows[name].distinct(ROWS)
        timed(server.port, path_of(name), bodies, 0.1, NO_CACHE)
        times = timed(server.port, path_of(name), bodies, seconds, NO_CACHE)
        bench.progress.requests += len(times)
        how = f"one connection, {len(bodies)} rows in turn, one a request, no-cache; client's clock"
        bench.figures.percentiles(form, name, times, how, f"{seconds:.1f} s")


def cold_model(bench: Bench, form: str, name: str, server: Running, usual: int) -> None:
    """The first answer of a model that was unloaded, in a server that is up."""
    with bench.step(form, name, f"{form}: cold model, {name}", ("cold_model_ms", "ms")) as has_time:
        if not has_time:
            return
        times, body = [], bench.rows[name].first()
        for _ in range(bench.times(usual)):
            server.call("POST", "/performance/cache/clear", {"tier": "models", "model": name})
            caller = Caller(server.port)
            answer = caller.post(path_of(name), body, NO_CACHE)
            caller.close()
            if answer.status != 200:
                raise RuntimeError(f"{name}: {answer.status}")
            if "x-cold-start: true" in answer.head:
                times.append(answer.took_ms)
        how = "evicted, then one request (X-Cold-Start: true): its load and its run; median"
        bench.figures.median(form, name, "cold_model_ms", times, how, f"{len(times)} loads")


def at_fifty(
    bench: Bench, form: str, name: str, server: Running, usual_s: float = 2.0
) -> Peak | None:
    """Throughput, p99 and errors at fifty connections; None where it was not measured."""
    names = AT_FIFTY
    found = None
    with bench.step(form, name, f"{form}: {CONNECTIONS} connections, {name}", *names) as has_time:
        if not has_time:
            return None
        if not has_wrk():
            raise RuntimeError(NO_WRK)
        seconds = max(1, round(usual_s * bench.scale))  # wrk takes whole ones
        script = write_bodies(bench.places.scratch / f"{name}.lua", bench.rows[name].distinct(ROWS))
        found = peak(server, path_of(name), script, seconds)
        bench.progress.requests += found.requests
        bench.progress.errors += found.failed
        how, window = f"wrk -t1 -c{CONNECTIONS}, no-cache, one row a request", f"{seconds:.1f} s"
        failed = 100 * found.failed / max(1, found.requests + found.failed)
        # wrk's percentiles of nothing are zero.
        p99_ms = found.p99_ms if found.requests else None
        rate = found.requests_per_s if found.requests else None
        values = (rate, p99_ms, failed if found.requests else None)
        for (figure, unit), value in zip(names, values, strict=True):
            why = None if value is not None else "no request was answered in the window"
            bench.figures.put(
                form, name, figure, Figure(value, unit, found.requests, how, window, why)
            )
    return found


def memory(bench: Bench, form: str, name: str, value: float | None, how: str) -> None:
    """A figure of resident memory, 10^6 bytes."""
    why = None if value is not None else "the system does not tell"
    bench.figures.put(form, SERVER, name, Figure(value, "MB", 1, how, "one reading", why))
