"""A Ray that goes away and comes back, and replicas that are killed, under load."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from typing import Any

import psutil

from bench.faults.callers import Crowd, crowd
from bench.faults.fault import Seen
from bench.faults.repository import in_turn
from bench.faults.server import Place, Server, until

MODEL = "forest"
FLAGS = ("--executor", "ray", "--ray-models", MODEL, "--ray-min-replicas", "2")
STARTS_S = 120.0
CALLERS = 4
ANSWERS = 20
"""So many answers of replicas are an answer of replicas."""


def _ray(server: Server) -> dict[str, Any]:
    figures: dict[str, Any] = server.get("/performance/system")["ray"]
    return figures


def _replicas(server: Server) -> set[str]:
    """Ids of the model's replicas that run."""
    placed = [d for d in _ray(server)["deployments"] if d["model"] == MODEL]
    return {r["id"] for d in placed for r in d["replicas"] if r["state"] == "RUNNING"}


def _settled(server: Server, seen: Seen) -> None:
    there = until(lambda: len(_replicas(server)) == 2, STARTS_S)
    seen.expect(there, "two replicas")


def _begun_by(process_id: int, words: str) -> list[psutil.Process]:
    """Processes under one whose command line has these words."""
    found = []
    for process in psutil.Process(process_id).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if words in " ".join(process.cmdline()):
                found.append(process)
    return found


def ray_away(place: Place, times: int) -> Seen:
    """All of Ray killed: the server answers itself; Ray back: its replicas answer again."""
    seen = Seen()
    with place.server(*FLAGS) as server:
        _settled(server, seen)
        ask = in_turn(place.repository.questions(MODEL))
        with crowd(server.port, CALLERS, ask, seen.tally) as callers:
            for _ in range(times):
                began_s = time.monotonic()
                for process in _begun_by(server.process.pid, "gcs_server"):
                    process.kill()
                for process in _begun_by(server.process.pid, "raylet/raylet"):
                    process.kill()
                noticed = until(lambda: _ray(server)["state"] != "up", 30)
                seen.expect(noticed, "that Ray is away is noticed")
                more = callers.right + ANSWERS
                seen.expect(until(partial(_is_past, callers, more), 10), "answers here")
                _settled(server, seen)
                _answered(server, seen)
                seen.recovered(time.monotonic() - began_s)
        seen.notes.append(f"{_ray(server)['fallbacks']} batches answered in Ray's stead")
    seen.notes.append("recovered: to replicas answering again")
    return seen


def _is_past(callers: Crowd, right: int) -> bool:
    return callers.right > right


def _answered(server: Server, seen: Seen) -> None:
    """Wait until replicas answer requests."""
    sent = int(_ray(server)["sent"])
    answers = until(lambda: _ray(server)["sent"] > sent + ANSWERS, STARTS_S)
    seen.expect(answers, "replicas answer")


def replica_killed(place: Place, times: int) -> Seen:
    """kill -KILL of a replica: the other one, or the server, answers what it had in hand."""
    seen = Seen()
    with place.server(*FLAGS) as server:
        _settled(server, seen)
        ask = in_turn(place.repository.questions(MODEL))
        with crowd(server.port, CALLERS, ask, seen.tally):
            for _ in range(times):
                _answered(server, seen)
                before, began_s = _replicas(server), time.monotonic()
                victim = _begun_by(server.process.pid, f"{MODEL}-")[0]
                os.kill(victim.pid, signal.SIGKILL)
                there = until(partial(_renewed, server, before), STARTS_S)
                seen.expect(there, "another replica takes its place")
                seen.recovered(time.monotonic() - began_s)
        figures = _ray(server)
        seen.notes.append(f"{figures['retries']} tries more, {figures['fallbacks']} answered here")
    return seen


def _renewed(server: Server, before: set[str]) -> bool:
    there = _replicas(server)
    return len(there) == 2 and bool(there - before)
