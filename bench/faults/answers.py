"""Whose answer is whose: distinct inputs at once, equal digests, and arrays that are written to."""

from __future__ import annotations

import threading
import time

import numpy as np

from bench.faults.callers import Caller, Tally, crowd
from bench.faults.fault import Seen
from bench.faults.repository import Ask, Question, in_turn, question, slow_question
from bench.faults.server import Place, Server
from engine.config import Settings
from engine.engine import Engine
from engine.types import InferRequest

AT_ONCE = 200
CACHED: dict[str, str] = {}


def distinct_inputs(place: Place, times: int) -> Seen:
    """200 callers let go together, each with rows of its own, of four models; then again."""
    seen = Seen(times=times)
    repository = place.repository
    quick, forest = repository.questions("quick"), repository.questions("forest")
    with place.server() as server:
        for turn in range(times):
            asked: list[Question] = []
            for number in range(AT_ONCE):
                value = turn * 1000.0 + number
                kinds = (quick[number], forest[number], slow_question(value))
                asked.append((*kinds, slow_question(value, model="buffer"))[number % 4])
            for _ in range(2):  # the second time from caches
                _at_once(server, asked, seen.tally)
        began_s = time.monotonic()
        seen.recovered(server.recovered_s(quick[0], began_s))
        cached = {t["tier"]: t["hits"] for t in server.get("/performance/cache")["tiers"]}
        seen.notes.append(f"hits {cached.get('responses', 0)} of responses")
        seen.expect(cached.get("responses"), f"no cache took part: {cached}")
    return seen


def _at_once(server: Server, asked: list[Question], tally: Tally) -> None:
    gate = threading.Barrier(len(asked))
    tallies = [Tally() for _ in asked]

    def ask(number: int) -> None:
        caller = Caller(server.port, CACHED)
        gate.wait()
        for place in range(3):  # its own, then others'
            caller.ask(asked[(number + place) % len(asked)], tallies[number])
        caller.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    for one in tallies:
        tally.add(one)


def same_digests(place: Place, times: int) -> Seen:
    """BLAKE2b says the same of everything; the keys' checksum keeps the inputs apart."""
    seen = Seen()
    repository = place.repository
    both = repository.questions("quick", 100) + repository.questions("forest", 100)
    with place.server() as server:
        server.tell("collide")
        asks: list[Ask] = [in_turn(both), lambda number, step: slow_question(float(step % 40))]
        with crowd(server.port, 6, asks[0], seen.tally, CACHED):
            # Without a body that is known byte for byte, only the keys of results tell.
            with crowd(server.port, 4, asks[1], seen.tally, CACHED):
                time.sleep(times)
            began_s = time.monotonic()
            seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
        tiers = {t["tier"]: t["hits"] for t in server.get("/performance/cache")["tiers"]}
        seen.notes.append(f"{tiers.get('results', 0):,} hits of results")
        seen.expect(tiers.get("results"), f"the results' cache was never hit: {tiers}")
    return seen


def mutated_results(place: Place, times: int) -> Seen:
    """A model that writes into what it gave and was given, and callers that write into answers."""
    seen = Seen()
    rows = [np.array([[float(k), 0.0], [k + 0.5, 0.0]]) for k in range(20)]
    asked = [question("buffer", row, 2 * row[:, :1]) for row in rows]
    asked += [slow_question(float(k), model="buffer") for k in range(20)]
    with place.server() as server:
        with crowd(server.port, 6, in_turn(asked), seen.tally, CACHED):
            time.sleep(times)
            began_s = time.monotonic()
        seen.recovered(server.recovered_s(asked[0], began_s))
    _write_into_answers(place, seen)
    return seen


def _write_into_answers(place: Place, seen: Seen) -> None:
    """By the library: what is cached cannot be changed by whoever was given it."""
    folder = place.repository.copy(place.scratch / "library")
    settings = Settings(
        models=folder / "models", state=folder / "state", trust_file=folder / "trusted.sha256"
    )
    engine = Engine(settings)
    try:
        request = InferRequest("forest", {"input": place.repository.rows[:3]})
        before = {name: array.copy() for name, array in engine.infer(request).outputs.items()}
        for array in engine.infer(request).outputs.values():
            try:
                array[:] = -1.0
                seen.broken.append("an answer could be written to")
            except ValueError:
                pass
        after = engine.infer(request).outputs
        same = all(np.array_equal(before[name], after[name]) for name in before)
        seen.expect(same, "an answer changed after it was given")
    finally:
        engine.close()
