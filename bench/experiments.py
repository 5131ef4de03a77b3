"""Experiments over models of known behaviour: `python -m bench.experiments`.

Version 1 computes for some milliseconds, version 2 exactly 1.2 times as much on the same row,
version 3 as much as 1 and is wrong in 1 row of 100, version 4 answers everything otherwise
(bench/known_model.py). The models time themselves. Checked: a split and a shadow experiment find
the slow one, and what the models measured is in every interval; the guard rail stops the wrong
one; and of thousands of callers beside a shadow not one gets its answer, with all caches on and
off.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.known_model import (
    CPU,
    MODEL,
    ROUNDS,
    TRUE_RATIO,
    WALL,
    WRONG_SHARE,
    Behaviour,
    forget_times,
    known_versions,
    times_ms,
    write_models,
)
from bench.serving import Client, serving

THINK_S = 0.015
DEADLINE_S = 240.0
NO_CACHES = ("--result-cache", "off", "--response-cache", "off", "--spill", "off")
# The mean is that of logarithms, as always-valid intervals have it.
FIGURES: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda times_ms: float(np.exp(np.mean(np.log(times_ms)))),
    "p50": lambda times_ms: float(np.percentile(times_ms, 50)),
    "p95": lambda times_ms: float(np.percentile(times_ms, 95)),
    "p99": lambda times_ms: float(np.percentile(times_ms, 99)),
}
AS_MADE = 0.02
"""How far a model's own ratio may be from TRUE_RATIO: it is a loop of that length."""


def body_of(x: float) -> bytes:
    """An infer request of one row."""
    item = {"name": "x", "datatype": "FP64", "shape": [1, 1], "data": [x]}
    return json.dumps({"inputs": [item]}).encode()


@dataclass
class Seen:
    """What callers saw, by variant and by version that answered."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: dict[str, set[float]] = field(default_factory=lambda: defaultdict(set))
    failures: list[str] = field(default_factory=list)
    hits: int = 0

    def take(self, x: float, status: int, headers: Any, body: Any) -> None:
        if status != 200:
            self.failures.append(f"{status} {body}")
            return
        variant = headers.get("x-variant") or ""
        self.answers[variant, body["model_version"]] += 1
        self.rows[variant].add(x)
        self.hits += headers["x-cache-hit"] == "true"


@contextmanager
def callers(
    port: int, count: int, rows: Callable[[random.Random], float], think_s: float = 0.0
) -> Iterator[Seen]:
    """Callers that ask without end, each row of `rows`, while the block lasts.

    think_s: between an answer and the next question.
    """
    seen, over = Seen(), threading.Event()

    def ask(number: int) -> None:
        client, lot = Client(port), random.Random(1000 + number)
        path = f"/v2/models/{MODEL}/infer"
        while not over.wait(think_s):
            x = rows(lot)
            seen.take(x, *client.exchange("POST", path, body_of(x)))

    threads = [threading.Thread(target=ask, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def experiment(client: Client, **fields: Any) -> dict[str, Any]:
    """A running experiment. Raises RuntimeError with the server's words."""
    body = {"name": "known", "model": MODEL, "start": True} | fields
    status, made = client.call("POST", "/performance/experiments", body)
    if status != 201:
        raise RuntimeError(f"{status} {made}")
    return dict(made)


def look(client: Client, number: str) -> dict[str, Any]:
    return dict(client.call("GET", f"/performance/experiments/{number}")[1])


def wait_end(client: Client, number: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """The experiment once it has ended by itself and its figures are there."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = look(client, number)
        if found["state"] != "running" and found["results"]["computed"]:
            return found
        time.sleep(0.5)
    raise RuntimeError(f"the experiment had not ended after {deadline_s:g} s: {found['progress']}")


def slow_and_wrong(
    folder: Path,
    mode: str,
    analysis: dict[str, Any],
    wait: Callable[[Client, str], dict[str, Any]],
    rounds: float = ROUNDS,
) -> tuple[dict[str, Any], Seen]:
    """One experiment with the slow and the wrong candidate, until `wait` returns it."""
    if not (folder / "models").exists():
        write_models(folder, known_versions(rounds))
    forget_times(folder)
    with serving(folder) as (port, _):
        client = Client(port)
        made = experiment(
            client,
            mode=mode,
            control={"version": "1", "caches": "off"},
            candidates=[
                {"name": "slow", "version": "2", "caches": "off"},
                {"name": "wrong", "version": "3", "caches": "off"},
            ],
            analysis=analysis,
            measure="cpu" if mode == "shadow" else "inference",
            fraction=1.0,
        )
        with callers(port, 3, lambda lot: lot.random(), THINK_S) as seen:
            found = wait(client, made["id"])
    return found, seen


def wait_found(client: Client, number: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """The experiment, which is looked at all the time, once both candidates are found."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = look(client, number)
        verdicts = {row["verdict"] for row in found["results"]["comparisons"]}
        if "slower" in verdicts and found["variants"][2]["stopped"]:
            return found
        time.sleep(0.5)
    raise RuntimeError(f"not both were found within {deadline_s:g} s: {found['results']}")


def own_ratios(folder: Path, found: dict[str, Any], seen: Seen) -> dict[str, float]:
    """Figures of the slow one beside control's, as the models timed the same runs."""
    of_control, of_slow = times_ms(folder, "1"), times_ms(folder, "2")
    if found["mode"] == "split":  # each row was measured where its caller's variant answered it
        control, slow = seen.rows["control"] & set(of_control), seen.rows["slow"] & set(of_slow)
    else:
        control = slow = seen.rows["control"] & set(of_control) & set(of_slow)
    at = CPU if found["measure"] == "cpu" else WALL
    before, after = (
        np.array([times[x][at] for x in rows])
        for times, rows in ((of_control, control), (of_slow, slow))
    )
    return {name: figure(after) / figure(before) for name, figure in FIGURES.items()}


def problems_of(found: dict[str, Any], own: dict[str, float]) -> list[str]:
    """What an experiment with the slow and the wrong candidate should have found and did not.

    own: see `own_ratios`.
    """
    problems = []
    rows = [row for row in found["results"]["comparisons"] if row["candidate"] == "slow"]
    if not any(row["verdict"] == "slower" for row in rows):
        problems.append("the slow one was not found slower")
    problems += [
        f"{row['figure']}: {row['ratio_low']:.3f} to {row['ratio_high']:.3f}, "
        f"the models say {own[row['figure']]:.3f}"
        for row in rows
        if not row["ratio_low"] <= own[row["figure"]] <= row["ratio_high"]
    ]
    if abs(own["p50"] - TRUE_RATIO) > AS_MADE:
        problems.append(f"the slow model took {own['p50']:.3f} of control, not {TRUE_RATIO}")
    stopped = {variant["name"]: variant["stopped"] for variant in found["variants"]}
    if stopped["slow"] is not None:
        problems.append(f"the slow one was stopped: {stopped['slow']['reason']}")
    if stopped["wrong"] is None or stopped["wrong"]["by"] != "disagreement":
        problems.append(f"the wrong one was not stopped: {stopped['wrong']}")
    wrong = next(a for a in found["results"]["agreement"] if a["candidate"] == "wrong")
    if not wrong["low_percent"] <= 100 * WRONG_SHARE <= wrong["high_percent"]:
        problems.append(f"wrong rows: {wrong['low_percent']:.3g} to {wrong['high_percent']:.3g} %")
    return problems


def shadow_leaks(folder: Path, requests: int, *flags: str) -> tuple[dict[str, Any], Seen]:
    """Callers beside a shadow whose every answer differs; their rows repeat, so caches hit."""
    if not (folder / "models").exists():
        write_models(folder, {"1": Behaviour(), "4": Behaviour(first=0.9)})
    with serving(folder, *flags) as (port, _):
        client = Client(port)
        made = experiment(
            client,
            mode="shadow",
            control={"version": "1"},
            candidates=[{"name": "other", "version": "4"}],
            guards={"disagreement": None},
            analysis={"kind": "always-valid"},
        )
        with callers(port, 4, lambda lot: lot.randrange(200) / 256) as seen:
            end = time.monotonic() + DEADLINE_S
            while sum(seen.answers.values()) < requests and time.monotonic() < end:
                time.sleep(0.1)
        found = look(client, made["id"])
        client.call("POST", f"/performance/experiments/{made['id']}/stop", {})
    return found, seen


def leaks_of(found: dict[str, Any], seen: Seen, requests: int) -> list[str]:
    """What is wrong with a run of `shadow_leaks`."""
    problems = [f"a caller got {answer}" for answer in seen.answers if answer != ("control", "1")]
    problems += [f"{len(seen.failures)} failed: {seen.failures[0]}"] if seen.failures else []
    if sum(seen.answers.values()) < requests:
        problems.append(f"only {sum(seen.answers.values())} answers")
    (agreement,) = found["results"]["agreement"]
    if not agreement["requests"] or agreement["rows_differing"] != agreement["rows"]:
        problems.append(f"the shadow did not answer otherwise: {agreement}")
    return problems


def _print(found: dict[str, Any]) -> None:
    results = found["results"]
    print(f"{found['mode']}: {found['state']} after {found['running_s']:.0f} s; {found['reason']}")
    print(f"  {results['method']}")
    for variant, row in zip(found["variants"], results["variants"], strict=True):
        stopped = variant["stopped"]
        told = f"; stopped: {stopped['reason']}" if stopped else ""
        print(f"  {row['name']:8} {row['sampled']:6} measured, p50 {row['p50_ms']:.3f} ms{told}")
    for row in results["comparisons"]:
        p = "" if row["p"] is None else f", p {row['p']:.4f}, Holm {row['p_holm']:.4f}"
        print(
            f"  {row['candidate']:8} {row['figure']} ratio {row['ratio']:.3f} "
            f"({row['ratio_low']:.3f} to {row['ratio_high']:.3f}){p}: {row['verdict']}"
        )
    for row in results["agreement"]:
        print(
            f"  {row['candidate']:8} {row['rows_differing']} of {row['rows']} rows differ "
            f"({row['low_percent']:.3f} to {row['high_percent']:.3f} %)"
        )
    if results["split"] is not None:
        print(f"  split {results['split']['text']}: p {results['split']['p']}")
    print(f"  compared {results['shadow']['compared']}, {results['shadow']['text']}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.experiments", description=__doc__)
    parser.add_argument("--requests", type=int, default=3000, help="planned, of each variant")
    parser.add_argument("--callers", type=int, default=20_000, help="requests beside a shadow")
    given = parser.parse_args()
    problems = []
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="experiments-") as folder:
        for mode in ("split", "shadow"):
            print(f"true ratio {TRUE_RATIO}, wrong in {100 * WRONG_SHARE:g} % of rows", flush=True)
            analysis = {"kind": "planned", "requests": given.requests}
            found, seen = slow_and_wrong(Path(folder) / "timed", mode, analysis, wait_end)
            _print(found)
            own = own_ratios(Path(folder) / "timed", found, seen)
            print("  the models themselves:", ", ".join(f"{k} {v:.3f}" for k, v in own.items()))
            problems += [f"{mode}: {problem}" for problem in problems_of(found, own)]
            problems += [f"{mode}: {failure}" for failure in seen.failures[:1]]
        for flags in ((), NO_CACHES):
            found, seen = shadow_leaks(Path(folder) / "leaks", given.callers, *flags)
            words = "off" if flags else "on"
            counts = ", ".join(f"{n} by {v} (version {m})" for (v, m), n in seen.answers.items())
            print(f"caches {words}: {counts}; {seen.hits} cache hits", flush=True)
            shadow = found["results"]["shadow"]
            print(f"  shadow compared {shadow['compared']} answers, {shadow['dropped']} dropped")
            problems += leaks_of(found, seen, given.callers)
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
