"""Threads of the engine that die, and parts of it that raise."""

from __future__ import annotations

import re
import time

from bench.faults.callers import crowd
from bench.faults.fault import Seen
from bench.faults.overload import numbered
from bench.faults.repository import in_turn, slow_question
from bench.faults.server import Place, Server, until

THREADS = ("ticker", "sampler", "history", "slot-0", "profile-keeper", "audit", "sockets", "http")
"""Those that wake by themselves or by the load; the longest sleep of one of them is 5 s."""
OTHERWISE = {"slot-0": "runs of slow were ended", "http": "Fatal error on transport|Error in"}
"""What the log says where the exception met work under way: that ended, and not the thread."""
NEVER = "(?!)"
RULE = "engine_thread_down/critical"
PARTS = {
    **{"ticker": 3, "seconds": 3, "sampler": 30, "batcher": 5, "slot": 5, "history": 3, "audit": 2}
}
"""What is made to raise, and how often each time."""


def thread_dies(place: Place, times: int) -> Seen:
    """Each of THREADS gets an exception that nothing catches; its work goes on, an alert fires."""
    seen = Seen(times=times * len(THREADS))
    ask = in_turn(place.repository.questions("quick"))
    with place.server("--audit-interval-s", "0.2") as server:
        with crowd(server.port, 3, ask, seen.tally), crowd(server.port, 4, numbered, seen.tally):
            time.sleep(1)
            for _ in range(times):
                for name in THREADS:
                    _kill(server, name, seen)
            alerts = server.get("/performance/status")["alerts_firing"]
            seen.expect(RULE in alerts, f"the alert does not fire: {alerts}")
            ticked_s = server.get("/performance/status")["uptime_s"]
            goes_on = until(lambda: _ticked_s(server) > ticked_s + 1, 10)
            seen.expect(goes_on, "seconds are not counted any more")
            began_s = time.monotonic()
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
    seen.may_lose = 8 * times  # requests whose own callback was ended with the event loop
    return seen


def _kill(server: Server, name: str, seen: Seen) -> None:
    goes_on = re.compile(f"{name} ended and is begun again|{OTHERWISE.get(name, NEVER)}")
    before = len(goes_on.findall(server.log.read_text()))
    found = int(server.tell(f"kill {name}"))
    seen.expect(found, f"no thread {name} to kill")
    died = until(lambda: len(goes_on.findall(server.log.read_text())) > before, 20)
    seen.expect(died, f"{name} did not die and go on")
    seen.recovered(server.recovered_s(slow_question(-1.0), time.monotonic()))


def _ticked_s(server: Server) -> float:
    """When the newest second was counted, since the start."""
    return float(server.get("/performance/status")["uptime_s"])


def part_raises(place: Place, times: int) -> Seen:
    """Ticker, batches, sampler, history and audits raise, under load; nobody else notices."""
    seen = Seen(times=times * sum(PARTS.values()))
    ask = in_turn(place.repository.questions("quick"))
    flags = ("--audit-interval-s", "0.2", "--cpu-slots", "1")
    with place.server(*flags) as server:
        with crowd(server.port, 3, ask, seen.tally), crowd(server.port, 8, numbered, seen.tally):
            time.sleep(1)
            before_s = _ticked_s(server)
            for _ in range(times):
                for part, count in PARTS.items():
                    server.tell(f"raise {part} {count}")
                time.sleep(8)
            began_s = time.monotonic()
            seen.expect(
                _ticked_s(server) >= before_s + 4 * times, "seconds are not counted any more"
            )
            running = server.get("/performance/system")["profiler"]["running"]
            seen.expect(running, "the sampler looks no more")
            recording = until(lambda: server.get("/performance/status")["history"]["recording"], 15)
            seen.expect(recording, "history is not recorded any more")
            seen.expect(server.process.poll() is None, "the server has ended")
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
    return seen
