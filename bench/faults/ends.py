"""The server's end: asked for once, asked for twice, and without being asked."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import time

from bench.faults.callers import Crowd
from bench.faults.fault import Seen
from bench.faults.overload import numbered
from bench.faults.repository import in_turn, slow_question
from bench.faults.server import Place, Server

STEP_S = 10
"""Of a row of history."""
WRITTEN_S = 2.5
"""After its end a row waits for the next tick and for the writer."""
AT_ONCE_S = 1.0
SHORTEST_LIFE_S, LONGEST_LIFE_S = 1.0, 26.0


def sigterm(place: Place, times: int) -> Seen:
    """Under load: whatever was accepted is answered, and it ends with status 0."""
    seen = Seen()
    with place.server("--batching", "off", starts=False) as server:
        for _ in range(times):
            server.start()
            going = Crowd(server.port)
            going.call(6, in_turn(place.repository.questions("quick")))
            going.call(8, numbered)
            time.sleep(1.0)
            going.accepting.clear()  # what is sent from now on may find nobody
            time.sleep(0.02)
            began_s = time.monotonic()
            server.signal(signal.SIGTERM)
            status = server.ended()
            seen.recovered(time.monotonic() - began_s)
            seen.expect(status == 0, f"exit status {status}")
            seen.tally.add(going.end())
    seen.notes.append("recovered: signal to exit")
    return seen


def sigterm_twice(place: Place, times: int) -> Seen:
    """A drain that would take seconds; the second signal ends it at once. It starts clean."""
    seen = Seen()
    flags = ("--batching", "off", "--cpu-slots", "1")
    with place.server(*flags, starts=False) as server:
        for _ in range(times):
            server.start()
            going = Crowd(server.port)
            going.call(60, numbered)  # a queue of 3.6 s
            time.sleep(1.0)
            server.signal(signal.SIGTERM)
            time.sleep(0.3)
            seen.expect(server.process.poll() is None, "there was nothing to drain")
            going.accepting.clear()
            began_s = time.monotonic()
            server.signal(signal.SIGTERM)
            try:
                server.ended(20)
            except subprocess.TimeoutExpired:
                server.process.kill()
            took_s = time.monotonic() - began_s
            seen.expect(took_s < AT_ONCE_S, f"the second SIGTERM took {took_s:.1f} s")
            seen.recovered(took_s)
            seen.tally.add(going.end())
            seen.may_lose += 60  # those that waited: nobody is to answer them
    seen.notes.append("recovered: second signal to exit")
    return seen


def kill_9(place: Place, times: int) -> Seen:
    """At random times under load; it starts clean and lacks at most the last row of history."""
    seen = Seen()
    dice = random.Random(times)
    callers = 6
    with place.server(starts=False) as server:
        server.start()
        going = Crowd(server.port, timeout_s=20)
        going.call(callers - 2, in_turn(place.repository.questions("quick")), {}, 0.002)
        going.call(2, numbered)
        for number in range(times):
            born_s = time.time()
            # Lives of all lengths, the longest of which is one of the first three.
            spread = LONGEST_LIFE_S if number % 3 == 1 else LONGEST_LIFE_S / 3
            time.sleep(max(dice.uniform(SHORTEST_LIFE_S, spread), 22.0 if number == 1 else 0.0))
            going.accepting.clear()
            server.process.kill()
            died_s = time.time()
            server.ended()
            began_s = time.monotonic()
            server.start(wait_ready=False)
            going.accepting.set()
            seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
            missing = _missing(server, born_s, died_s)
            seen.expect(not missing, f"life {number}: rows of history are missing: {missing}")
            seen.expect(server.get("/performance/status")["history"]["recording"], "no history")
        seen.tally.add(going.end())
        seen.may_lose = callers * times  # one of each caller was under way
        seen.notes.append("recovered: from start to the first right answer")
        set_aside = list(server.state.glob("*.damaged-*"))
        seen.expect(not set_aside, f"history was damaged: {set_aside}")
        making = list((server.state / "plans").glob("making-*"))
        seen.expect(not making, f"left over: {making}")
    return seen


def _missing(server: Server, born_s: float, died_s: float) -> list[int]:
    """Rows that a life saw the end of, WRITTEN_S before its own, and that are not on file."""
    first = int(born_s // STEP_S + 1) * STEP_S
    wanted = {t for t in range(first, int(died_s), STEP_S) if t + STEP_S + WRITTEN_S <= died_s}
    with contextlib.closing(sqlite3.connect(server.state / "history.sqlite")) as file:
        query = "SELECT t FROM rows WHERE tier = ? AND series = 0 AND seconds > ?"
        found = {row[0] for row in file.execute(query, (STEP_S, STEP_S - 1.5))}
    return sorted(wanted - found)
