"""Threads of the engine that die, and parts of it that raise."""

from __future__ import annotations

import re
import time
from collections import Counter
from http.client import HTTPException

from bench.faults.callers import crowd
from bench.faults.fault import Seen
from bench.faults.overload import numbered
from bench.faults.repository import in_turn, slow_question
from bench.faults.server import Place, Server, until

THREADS = ("ticker", "sampler", "history", "slot-0", "profile-keeper", "audit", "sockets", "loop")
"""Those that wake by themselves or by the load; the longest sleep of one of them is 5 s."""
ENDS_RUNS = re.compile("runs of slow were ended")
"""What the log says where the exception met a slot's run under way: that ended, not the thread."""
ENDS_WORK = re.compile("Fatal error on transport|Error in|Exception in callback")
"""The same of the event loop, which is killed again then: its own end is what is tried."""
ATTEMPTS = 25
WAKES_S = 60.0
"""Longest until a thread runs Python again: an auditor may wait for its child's first answer."""
CALLERS = 7
"""Each may lose one request with an event loop that ends: what it had in hand."""
RULE = "engine_thread_down/critical"
PARTS = {
    **{"ticker": 3, "seconds": 3, "sampler": 30, "batcher": 5, "slot": 5, "history": 3, "audit": 2}
}
"""What is made to raise, and how often each time."""


def thread_dies(place: Place, times: int) -> Seen:
    """Each of THREADS gets an exception that nothing catches; it begins anew, an alert fires."""
    seen = Seen(times=times * len(THREADS))
    ask, kills = in_turn(place.repository.questions("quick")), Counter[str]()
    with (
        place.server("--audit-interval-s", "0.2") as server,
        crowd(server.port, 3, ask, seen.tally),
        crowd(server.port, 4, numbered, seen.tally),
    ):
        time.sleep(1)
        for _ in range(times):
            for name in THREADS:
                kills[name] += _kill(server, name, seen)
        alerts = server.get("/performance/status")["alerts_firing"]
        seen.expect(RULE in alerts, f"the alert does not fire: {alerts}")
        ticked_s = server.get("/performance/status")["uptime_s"]
        goes_on = until(lambda: _ticked_s(server) > ticked_s + 1, 10)
        seen.expect(goes_on, "seconds are not counted any more")
        seen.recovered(server.recovered_s(slow_question(-1.0), time.monotonic()))
    seen.may_lose = CALLERS * kills["loop"]
    return seen


def _kill(server: Server, name: str, seen: Seen) -> int:
    """Kill a thread until the thread itself has ended and was begun again; the attempts it took."""
    attempts, ended = 1, _kill_once(server, name, seen)
    while name == "loop" and not ended and attempts < ATTEMPTS:
        attempts, ended = attempts + 1, _kill_once(server, name, seen)
    seen.expect(ended or name == "slot-0", f"{name} did not end in {attempts} attempts")
    recovered_s = server.recovered_s(slow_question(-1.0), time.monotonic())
    seen.recovered(recovered_s)
    if ended:
        # Told by the server itself, whose event loop answers this: what ended works again.
        told = until(lambda: name in _threads_down(server), 10)
        seen.expect(told, f"nobody is told that {name} ended")
    return attempts


def _threads_down(server: Server) -> list[str]:
    """Those that have ended lately; a question that the event loop's end took along tells none."""
    try:
        told: list[str] = server.get("/performance/status", timeout_s=3)["threads_down"]
    except (OSError, HTTPException):
        return []
    return told


def _kill_once(server: Server, name: str, seen: Seen) -> bool:
    """Whether the thread itself ended, and not only what it had in hand."""
    begun_again = re.compile(f"{name} ended and is begun again")
    kept = ENDS_WORK if name == "loop" else ENDS_RUNS

    def counts() -> tuple[int, int]:
        log = server.log.read_text(errors="replace")
        return len(begun_again.findall(log)), len(kept.findall(log))

    before = counts()
    seen.expect(int(server.tell(f"kill {name}")), f"no thread {name} to kill")
    # C code under the event loop may swallow it without a word: then it is killed again.
    met = until(lambda: counts() != before, 3 if name == "loop" else WAKES_S)
    seen.expect(met or name == "loop", f"{name} met no exception")
    return counts()[0] > before[0]


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
