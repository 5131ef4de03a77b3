"""Overload, deadlines, flushes and the end, under load: `make storms`.

One server, default settings but for batching, which would make the slow model fast; four
callers check a fast model's answers all the while.

    full       100 callers of a 200 ms model: 200 or 429, refusals within 50 ms
    deadlines  32 callers with 300 ms each: 200 or 504, nothing run that was given up
    flushes    every tier flushed without pause under 16 callers that repeat themselves
    end        SIGTERM under load: whatever was accepted is answered, exit status 0

Prints a table; the exit status is 1 when a bound is passed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.__main__ import until_ready
from bench.models import rows_of, write_repository
from bench.serving import serving
from bench.wrk import body_of

FAST = "/v2/models/breast_cancer/infer"
SLOW = "/v2/models/slow_c/infer"
REFUSALS_MS = 50.0
Ask = Callable[[int, int], tuple[bytes, Any]]


@dataclass
class Outcome:
    """What the callers of one storm saw. wrong: answers that are not the model's."""

    statuses: Counter[int] = field(default_factory=Counter)
    refusal_ms: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: int = 0

    def row(self, name: str) -> str:
        """A line of the table."""
        statuses = ", ".join(
            f"{count:,} x {status}" for status, count in sorted(self.statuses.items())
        )
        slowest = f"{np.percentile(self.refusal_ms, 99):.1f}" if self.refusal_ms else "-"
        return f"| {name} | {statuses} | {slowest} | {self.wrong} | {self.lost} |"


class Storm:
    """Callers of one server, each with a connection of its own, until told to stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def call(self, count: int, work: Callable[[http.client.HTTPConnection, int], None]) -> None:
        """Have `count` threads do some work again and again."""

        def repeat(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            while not self.stop.is_set():
                work(connection, number)
            connection.close()

        for number in range(count):
            thread = threading.Thread(target=repeat, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(90)

    def asker(
        self,
        outcome: Outcome,
        path: str,
        ask: Callable[[int, int], tuple[bytes, Any]],
        headers: Any,
    ) -> Callable[[http.client.HTTPConnection, int], None]:
        """Work that asks and checks. ask: (caller, step) -> (body, the right data)."""
        steps: Counter[int] = Counter()

        def work(connection: http.client.HTTPConnection, number: int) -> None:
            steps[number] += 1
            body, right = ask(number, steps[number])
            began = time.perf_counter()
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except OSError:
                with self._lock:
                    outcome.lost += not self.stop.is_set()
                connection.close()
                return
            took_ms = 1e3 * (time.perf_counter() - began)
            wrong = answer.status == 200 and json.loads(content)["outputs"][0]["data"] != right
            with self._lock:
                outcome.statuses[answer.status] += 1
                outcome.wrong += wrong
                if answer.status == 429:
                    outcome.refusal_ms.append(took_ms)

        return work


def slow_ask(number: int, step: int) -> tuple[bytes, Any]:
    value = number * 100_000 + step
    return body_of(np.array([[float(value)]]), "x"), [2.0 * value]


def fast_ask(bodies: list[bytes], right: list[Any]) -> Ask:
    def ask(number: int, step: int) -> tuple[bytes, Any]:
        place = (number * 31 + step) % len(bodies)
        return bodies[place], right[place]

    return ask


def answers(port: int, bodies: list[bytes]) -> list[Any]:
    """What the fast model says to each body, asked alone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    for body in bodies:
        connection.request("POST", FAST, body, {"Cache-Control": "no-cache"})
        found.append(json.loads(connection.getresponse().read())["outputs"][0]["data"])
    return found


def run(folder: Path, bundled: Path, seconds: float) -> list[tuple[str, Outcome]]:
    """Every storm in turn; the name and outcome of each."""
    write_repository(bundled, folder)
    bodies = [body_of(row.reshape(1, -1)) for row in rows_of(bundled)[:100]]
    found: list[tuple[str, Outcome]] = []
    no_cache = {"Cache-Control": "no-cache"}
    with serving(folder, "--batching", "off") as (port, process_id):
        until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
        ask = fast_ask(bodies, answers(port, bodies))

        def storm(name: str, work: Callable[[Storm, Outcome], None]) -> None:
            beside, outcome, going = Outcome(), Outcome(), Storm(port)
            going.call(4, going.asker(beside, FAST, ask, no_cache))
            work(going, outcome)
            time.sleep(seconds)
            if name == "end":
                process = psutil.Process(process_id)
                going.stop.set()  # what fails from now on was not accepted
                process.send_signal(signal.SIGTERM)
            going.end()
            found.extend([(name, outcome), (f"{name}: the fast model beside", beside)])

        def full(going: Storm, outcome: Outcome) -> None:
            going.call(100, going.asker(outcome, SLOW, slow_ask, no_cache))

        def deadlines(going: Storm, outcome: Outcome) -> None:
            headers = no_cache | {"X-Request-Timeout-Ms": "300"}
            going.call(32, going.asker(outcome, SLOW, slow_ask, headers))

        def flushes(going: Storm, outcome: Outcome) -> None:
            def flush(connection: http.client.HTTPConnection, number: int) -> None:
                connection.request("POST", "/performance/cache/clear", b"{}")
                connection.getresponse().read()

            going.call(16, going.asker(outcome, FAST, ask, {}))
            going.call(1, flush)

        def end(going: Storm, outcome: Outcome) -> None:
            going.call(16, going.asker(outcome, SLOW, slow_ask, no_cache))

        for name, work in (
            ("full", full),
            ("deadlines", deadlines),
            ("flushes", flushes),
            ("end", end),
        ):
            storm(name, work)
    return found


def problems(found: list[tuple[str, Outcome]]) -> list[str]:
    """Every bound that was passed."""
    allowed = {"full": {200, 429}, "deadlines": {200, 429, 504}}
    said = []
    for name, outcome in found:
        unexpected = outcome.statuses.keys() - allowed.get(name, {200})
        if unexpected or outcome.wrong or outcome.lost or not outcome.statuses:
            said.append(f"{name}: {outcome.statuses}, {outcome.wrong} wrong, {outcome.lost} lost")
        if outcome.refusal_ms and np.percentile(outcome.refusal_ms, 99) > REFUSALS_MS:
            said.append(f"{name}: refusals took over {REFUSALS_MS:g} ms")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.storms", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storms-") as folder:
        found = run(Path(folder), given.models, given.seconds)
    print("| storm | answers | refusals p99, ms | wrong | lost |\n|---|---|---:|---:|---:|")
    for name, outcome in found:
        print(outcome.row(name))
    for problem in problems(found):
        print(problem)
    return 1 if problems(found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
