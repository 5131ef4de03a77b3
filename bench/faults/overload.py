"""More work than there is room for, deadlines, and rows that poison a batch."""

from __future__ import annotations

import time

from bench.faults.callers import FRESH, crowd
from bench.faults.fault import Seen
from bench.faults.repository import POISON, Question, in_turn, slow_question
from bench.faults.server import Place, Server

DEADLINE_MS = 150
PIECE_S = 1.0


def numbered(number: int, step: int) -> Question:
    """A row that nobody else asks."""
    return slow_question(number * 10_000.0 + step)


def queue_full(place: Place, times: int) -> Seen:
    """40 callers of a model that has room for 8; others do not feel it. times: seconds."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    flags = ("--batching", "off", "--cpu-slots", "1", "--model-queue", "8")
    with place.server(*flags) as server, crowd(server.port, 4, ask, seen.tally):
        with crowd(server.port, 40, numbered, seen.tally):
            time.sleep(times * PIECE_S)
            began_s = time.monotonic()
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
    seen.expect(seen.tally.failed[429], "the queue was never full")
    return seen


def deadline(place: Place, times: int) -> Seen:
    """16 callers that wait 150 ms each for runs of 60 ms. times: seconds."""
    seen = Seen()
    flags = ("--batching", "off", "--cpu-slots", "1")
    headers = {**FRESH, "X-Request-Timeout-Ms": str(DEADLINE_MS)}
    with place.server(*flags) as server:
        with crowd(server.port, 16, numbered, seen.tally, headers):
            time.sleep(times * PIECE_S)
            began_s = time.monotonic()
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
        _expect_idle(server, seen)
    seen.expect(seen.tally.failed[504], "no deadline has passed")
    return seen


def poison(place: Place, times: int) -> Seen:
    """Every eighth row of waiting callers is one that the model refuses. times: seconds."""

    def ask(number: int, step: int) -> Question:
        poisoned = (number + step) % 8 == 0
        return slow_question(number * 10_000.0 + step, poison=poisoned)

    seen = Seen()
    with place.server("--cpu-slots", "1") as server:
        with crowd(server.port, 16, ask, seen.tally):
            time.sleep(times * PIECE_S)
            began_s = time.monotonic()
        counts = server.get("/performance/system")["engine"]["scheduler"]
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
        _expect_idle(server, seen)
    seen.notes.append(f"rows with {POISON:g} answered 400, runs of up to {counts['largest_batch']}")
    seen.expect(counts["largest_batch"] > 1, "no batch was ever made")
    return seen


def _expect_idle(server: Server, seen: Seen) -> None:
    waits = server.get("/performance/system")["engine"]["scheduler"]
    seen.expect(waits["queued"] + waits["running"] == 0, f"still at work: {waits}")
