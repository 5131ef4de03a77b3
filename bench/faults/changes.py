"""Models that are swapped, reloaded and flushed without pause, and new ones that are broken."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

from bench import hot_swap
from bench.faults.callers import Tally, crowd
from bench.faults.fault import Seen
from bench.faults.overload import numbered
from bench.faults.repository import in_turn, slow_question
from bench.faults.server import Place, Server, until

RELOADS, FLUSHES = 500, 1000
MOST_GROWTH_MB = 6.0
"""Twice what four of five runs grew by at most, 1.2 to 3.5 MB; 4 KB an action would break it. The
fifth, on a machine with far too much to do, grew by 7.4: what grows so must do it again."""
CACHED: dict[str, str] = {}


def hot_swaps(place: Place, times: int) -> Seen:
    """A model that answers its own version, swapped again and again; every fifth is broken."""
    seen = Seen()
    outcome = hot_swap.run(place.scratch / "swaps", times, 8)
    failed = Counter(int(words.split()[0]) for words in outcome.failures)
    right = sum(outcome.answers.values()) - outcome.mixed
    seen.tally = Tally(len(outcome.ms), right, outcome.mixed, 0, failed)
    seen.broken += outcome.problems()
    seen.recovered(max(outcome.swap_s, default=0.0))
    seen.notes.append(
        f"{outcome.broken} broken versions, each named; recovered: written to serving"
    )
    return seen


def flushes(place: Place, times: int) -> Seen:
    """Every tier of data flushed without pause, under callers that repeat themselves."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick", 50))
    count = 0
    with (
        place.server() as server,
        crowd(server.port, 12, ask, seen.tally, CACHED),
        crowd(server.port, 2, numbered, seen.tally, CACHED),
    ):
        end = time.monotonic() + times
        while time.monotonic() < end:
            tiers: tuple[dict[str, str], ...] = (
                {},
                {"tier": "results"},
                {"tier": "responses"},
                {"tier": "embeddings"},
            )
            status = server.status("/performance/cache/clear", tiers[count % 4])
            seen.expect(status == 200, f"a flush was answered with {status}")
            count += 1
        began_s = time.monotonic()
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
    seen.times = count
    return seen


def models_flushed(place: Place, times: int) -> Seen:
    """All models dropped from memory again and again, while they are asked: each load is cold."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server() as server, crowd(server.port, 12, ask, seen.tally):
        for _ in range(times):
            status = server.status("/performance/cache/clear", {"tier": "models"})
            seen.expect(status == 200, f"a flush was answered with {status}")
            seen.recovered(server.recovered_s(ask(0, 0), time.monotonic()))
            time.sleep(0.2)
    return seen


def reloads(place: Place, times: int) -> Seen:
    """Two models loaded anew without pause by two operators."""
    seen = Seen()
    done: Counter[int] = Counter()
    stop = threading.Event()
    with place.server() as server:

        def load(name: str) -> None:
            while not stop.is_set():
                done[server.status(f"/v2/repository/models/{name}/load", {}, 60)] += 1

        ask = in_turn(place.repository.questions("quick"))
        with crowd(server.port, 8, ask, seen.tally), crowd(server.port, 2, numbered, seen.tally):
            threads = [threading.Thread(target=load, args=(name,)) for name in ("quick", "slow")]
            for thread in threads:
                thread.start()
            time.sleep(times)
            stop.set()
            for thread in threads:
                thread.join(60)
            began_s = time.monotonic()
            seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
    seen.times = done.total()
    seen.expect(set(done) == {200}, f"loads were answered with {dict(done)}")
    return seen


def corrupt_model(place: Place, times: int) -> Seen:
    """New versions that are garbage, cut short, empty or no model; the one before goes on."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    flags = ("--reload-interval-s", "0.1")
    with place.server(*flags) as server, crowd(server.port, 4, ask, seen.tally):
        whole = (server.folder / "models/quick/1/model.skops").read_bytes()
        contents = (b"this is no model", whole[: len(whole) // 2], b"", b"PK\3\4" + bytes(4000))
        for number in range(times):
            version = str(number + 2)
            _put(server.folder / "models/quick" / version, contents[number % len(contents)])
            named = until(lambda version=version: _reason(server, version), 60)  # type: ignore[misc]
            seen.expect(named, f"version {version} is not named with its reason")
            question = place.repository.questions("quick", 1)[0]
            seen.recovered(server.recovered_s(question, time.monotonic()))
    return seen


def _put(folder: Path, content: bytes) -> None:
    hidden = folder.with_name(f".{folder.name}")
    hidden.mkdir()
    (hidden / "model.skops").write_bytes(content)
    hidden.rename(folder)


def _reason(server: Server, version: str) -> bool:
    index = server.get("/v2/repository/index", {})
    problems = server.get("/performance/status")["problems"]
    listed = any(one["version"] == version and one["reason"] for one in index)
    return listed or any(f"/{version}" in name for name in problems)


def flat_memory(place: Place, times: int) -> Seen:
    """500 reloads and 1,000 flushes; what the process holds does not grow. times: as many again."""
    seen = Seen(times=times * (RELOADS + FLUSHES))
    ask = in_turn(place.repository.questions("quick", 50))
    with place.server("--profile-hz", "0") as server:
        with crowd(server.port, 1, ask, seen.tally, CACHED) as going:
            _reload_and_flush(server, 100, 200)
            begun, held_mb = going.right, _held_mb(server)
            for _ in range(times):
                _reload_and_flush(server, RELOADS, FLUSHES)
            grown_mb = _held_mb(server) - held_mb
            if grown_mb >= MOST_GROWTH_MB:  # a leak, or the heap's moods: a leak goes on
                seen.notes.append(f"{grown_mb:+.1f} MB at first")
                held_mb = _held_mb(server)
                for _ in range(times):
                    _reload_and_flush(server, RELOADS, FLUSHES)
                grown_mb = _held_mb(server) - held_mb
            seen.expect(going.right > begun, "the caller stood still")
            began_s = time.monotonic()
        seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
        seen.notes.append(f"{grown_mb:+.1f} MB on {held_mb:.0f} MB")
        seen.expect(grown_mb < MOST_GROWTH_MB, f"memory grew by {grown_mb:.1f} MB")
    return seen


def _reload_and_flush(server: Server, loads: int, clears: int) -> None:
    for number in range(clears):
        server.status("/performance/cache/clear", {})
        if number * loads // clears != (number + 1) * loads // clears:
            server.status("/performance/cache/clear", {"tier": "models", "model": "quick"})
            server.status("/v2/repository/models/quick/load", {})


def _held_mb(server: Server) -> float:
    """Resident memory, after garbage and free pages went."""
    server.status("/performance/memory/clean", {})
    time.sleep(1)
    return float(server.about.memory_info().rss / 1e6)
