"""Nothing left to give: file descriptors, threads, processes; and a clock that jumps."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.faults.callers import crowd
from bench.faults.clients import sockets
from bench.faults.fault import Seen
from bench.faults.overload import numbered
from bench.faults.repository import in_turn, slow_question
from bench.faults.sabotage import NOBODY
from bench.faults.server import Place, Server, until

JUMPS_S = (3_600.0, -86_400.0, 400 * 86_400.0, 0.0)


def out_of_files(place: Place, times: int) -> Seen:
    """No descriptor beyond those open, and 200 clients that want one; callers go on."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server() as server, crowd(server.port, 3, ask, seen.tally) as going:
        with crowd(server.port, 2, numbered, seen.tally):
            time.sleep(0.5)
            for _ in range(times):
                server.tell("limit NOFILE 3")
                before = going.right
                with sockets(server, 200, b""):
                    time.sleep(2)
                seen.expect(going.right > before + 100, "callers did not go on without descriptors")
                server.tell("free NOFILE")
                seen.recovered(server.recovered_s(slow_question(-1.0), time.monotonic()))
        _expect_alive(server, seen)
        models = server.get("/performance/models")["models"]
        seen.expect(all(m["state"] == "warm" for m in models), "a model is not warm any more")
    return seen


def no_threads(place: Place, times: int) -> Seen:
    """The system starts no thread and no process; what needs one says 429 or 503."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server("--cpu-slots", "2") as server:
        until(lambda: server.status("/") == 200, 30)
        _give(server.folder, NOBODY)
        with crowd(server.port, 3, ask, seen.tally):
            for number in range(times):
                server.tell("limit NPROC 1")
                with crowd(server.port, 4, numbered, seen.tally):
                    time.sleep(1)
                    _add_version(server, number + 2)
                    loaded = server.status("/v2/repository/models/quick/load", {}, 60)
                    seen.notes.append(f"a load meanwhile: {loaded}")
                    seen.expect(loaded in (200, 429, 503), f"a load without threads: {loaded}")
                    time.sleep(1)
                server.tell("free NPROC")
                _give(server.folder, os.getuid())
                seen.recovered(server.recovered_s(slow_question(-1.0), time.monotonic()))
            _expect_alive(server, seen)
            serves = until(lambda: server.status("/v2/repository/models/quick/load", {}) == 200, 60)
            seen.expect(serves, "the version of meanwhile cannot be loaded afterwards")
    return seen


def _add_version(server: Server, version: int) -> None:
    """The same model once more, under a new number: its plan must be made."""
    source = server.folder / "models/quick/1/model.skops"
    to = server.folder / "models/quick" / str(version)
    hidden = to.with_name(f".{version}")
    hidden.mkdir()
    (hidden / "model.skops").write_bytes(source.read_bytes())
    _give(hidden, NOBODY)
    hidden.rename(to)


def _give(folder: Path, user: int) -> None:
    """Root is not held to the limit: the server becomes another user, who needs its files."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)


def clock_jumps(place: Place, times: int) -> Seen:
    """The wall clock is set an hour ahead, a day back, a year ahead, and right again."""
    seen = Seen(times=times * len(JUMPS_S))
    ask = in_turn(place.repository.questions("quick"))
    with place.server() as server, crowd(server.port, 3, ask, seen.tally, {}):
        with crowd(server.port, 2, numbered, seen.tally, {}):
            time.sleep(2)
            told = 0
            for _ in range(times):
                for off_s in JUMPS_S:
                    server.tell(f"clock {off_s}")
                    time.sleep(2.5)
                    seen.recovered(server.recovered_s(slow_question(-1.0), time.monotonic()))
            told = server.log.read_text().count("the machine's clock was set")
            seen.expect(told >= times * len(JUMPS_S), f"only {told} jumps were noticed")
            history = server.get("/performance/status")["history"]
            seen.expect(history["recording"], f"history: {history['problem']}")
        _expect_alive(server, seen)
    return seen


def _expect_alive(server: Server, seen: Seen) -> None:
    died = server.get("/performance/status")["threads_down"]
    seen.expect(not died, f"threads died: {died}")
