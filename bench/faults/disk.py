"""Disks that are full or read-only, files that are locked, damaged or cut short."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.faults.callers import Tally, crowd
from bench.faults.fault import Seen
from bench.faults.overload import numbered
from bench.faults.repository import in_turn, slow_question
from bench.faults.server import Place, Server, until
from engine.config import Settings
from engine.models.plan_store import PlanStore
from engine.models.repository import ModelEntry, read_repository

TMPFS_MB = 48
FULL_S = 4.0
EVERY_BYTE_UP_TO = 8192
"""Bytes of a file that is cut at every byte: each cut reads all of its plan."""
CACHED: dict[str, str] = {}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Put a folder on a tmpfs of its own; False where the system refuses to mount one."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def disk_full(place: Place, times: int) -> Seen:
    """The state's disk is full for seconds, under load; what is recorded waits in memory."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server(starts=False) as server, small_disk(server.state) as mounted:
        seen.injected = f"a tmpfs of {TMPFS_MB} MB, filled" if mounted else "RLIMIT_FSIZE 0"
        server.start()
        with (
            crowd(server.port, 3, ask, seen.tally),
            crowd(server.port, 3, numbered, seen.tally, CACHED),
        ):
            until(lambda: _history(server)["written"] > 0, 30)
            for _ in range(times):
                ballast = _fill(server, mounted)
                said = until(lambda: not _history(server)["recording"], 20)
                seen.expect(said, "the console does not say that history is not recorded")
                time.sleep(FULL_S)
                seen.expect(_acts(server), "an action failed for want of disk")
                _empty(server, ballast)
                freed_s = time.monotonic()
                seen.expect(until(lambda: _history(server)["recording"], 30), "history stays off")
                seen.recovered(time.monotonic() - freed_s)
        history = _history(server)
        seen.expect(not history["dropped"], f"{history['dropped']} buckets of history were lost")
        _expect_alive(server, seen)
        server.stop()
    return seen


def _fill(server: Server, mounted: bool) -> Path:
    """Leave no byte on the disk."""
    ballast = server.state / "ballast"
    if not mounted:
        server.tell("limit FSIZE 0")
        return ballast
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for piece in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(piece))
    return ballast


def _empty(server: Server, ballast: Path) -> None:
    if ballast.exists():
        ballast.unlink()
    else:
        server.tell("free FSIZE")


def _acts(server: Server) -> bool:
    """Whether actions, which the audit log on that disk is told of, go on."""
    return server.status("/performance/cache/clear", {}) == 200


def _history(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/performance/status")["history"]
    return found


def _expect_alive(server: Server, seen: Seen) -> None:
    died = server.get("/performance/status")["threads_down"]
    seen.expect(not died, f"threads died: {died}")


def read_only(place: Place, times: int) -> Seen:
    """The state cannot be written when the server starts, and can later on."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    for _ in range(times):
        with place.server(starts=False) as server, small_disk(server.state) as mounted:
            seen.injected = "a tmpfs, remounted read-only" if mounted else "mode 0500"
            _seal(server.state, mounted, True)
            server.start()
            with (
                crowd(server.port, 3, ask, seen.tally),
                crowd(server.port, 2, numbered, seen.tally),
            ):
                seen.expect(
                    until(lambda: not _history(server)["recording"], 20), "history is silent"
                )
                seen.expect(_acts(server), "an action failed on a read-only state")
                _seal(server.state, mounted, False)
                freed_s = time.monotonic()
                seen.expect(until(lambda: _history(server)["recording"], 30), "history stays off")
                seen.recovered(time.monotonic() - freed_s)
            _expect_alive(server, seen)
            server.stop()
    return seen


def _seal(folder: Path, mounted: bool, seals: bool) -> None:
    if mounted:
        mode = "ro" if seals else "rw"
        command = ["mount", "-o", f"remount,bind,{mode}", str(folder)]
        subprocess.run(command, check=True)
    else:
        for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
            path.chmod(0o500 if seals else 0o700)


def history_locked(place: Place, times: int) -> Seen:
    """Another process holds the file's exclusive lock. times: seconds."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server() as server, crowd(server.port, 3, ask, seen.tally):
        until(lambda: _history(server)["written"] > 0, 30)
        lock = sqlite3.connect(server.state / "history.sqlite", isolation_level=None, timeout=30)
        lock.execute("BEGIN EXCLUSIVE")
        time.sleep(times)
        said = _history(server)
        lock.execute("ROLLBACK")
        lock.close()
        freed_s = time.monotonic()
        seen.expect(not said["recording"], "the console does not say that history is not recorded")
        seen.expect(until(lambda: _history(server)["recording"], 30), "history stays off")
        seen.recovered(time.monotonic() - freed_s)
        seen.expect(not _history(server)["dropped"], "buckets of history were lost")
        _expect_alive(server, seen)
    return seen


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _scribble(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(min(60_000, max(1, path.stat().st_size - 100))))


def _replace(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1000)


def _empty_file(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: tuple[Callable[[Path], None], ...] = (_cut, _scribble, _replace, _empty_file)


def history_corrupt(place: Place, times: int) -> Seen:
    """The file and its log are cut, scribbled over or replaced; the disk caches' too."""
    seen = Seen()
    ask = in_turn(place.repository.questions("quick"))
    with place.server() as server, crowd(server.port, 3, ask, seen.tally) as going:
        for damage in itertools.islice(itertools.cycle(DAMAGES), times):
            until(lambda: _history(server)["written"] > 0, 30)
            going.accepting.clear()
            time.sleep(0.02)
            server.stop()
            for path in (server.state / "history.sqlite", *server.state.glob("cache/*/cache.db")):
                damage(path)
            began_s = time.monotonic()
            server.start()
            going.accepting.set()
            seen.recovered(server.recovered_s(slow_question(-1.0), began_s))
            written = until(lambda: _history(server)["written"] > 0, 30)
            seen.expect(written, f"nothing is recorded after {damage.__name__}")
        _expect_alive(server, seen)
        aside = len([p for p in server.state.glob("history.sqlite.damaged-*") if p.suffix != ".x"])
        seen.notes.append(f"{aside} damaged files kept aside")
    return seen


def cache_truncated(place: Place, times: int) -> Seen:
    """Every file of every plan cut at every byte, none taken for whole; then served from.

    times: how many of the cuts are tried with a server that starts upon them.
    """
    seen = Seen()
    folder = place.repository.copy(place.scratch / "cut")
    settings = Settings(
        models=folder / "models", state=folder / "state", trust_file=folder / "trusted.sha256"
    )
    store = PlanStore.of(settings)
    entries = read_repository(settings.models).entries
    cuts = accepted = 0
    for entry in entries:
        for path in sorted(store.folder(entry).iterdir()):
            tried, taken = _cut_everywhere(path, partial(_is_whole, store, entry))
            cuts, accepted = cuts + tried, accepted + taken
    seen.notes.append(f"{cuts:,} cuts")
    seen.expect(not accepted, f"{accepted} cut files were taken for whole")
    for number in range(times):
        _serve_cut(place, seen, number)
    seen.times = cuts + times
    return seen


def _is_whole(store: PlanStore, entry: ModelEntry) -> bool:
    return store.read(entry) is not None


def _cut_everywhere(path: Path, is_taken: Callable[[], bool]) -> tuple[int, int]:
    """Cuts tried, and those after which the plan still counted as whole and used the file."""
    whole = path.read_bytes()
    if not is_taken():
        return 0, 0
    os.truncate(path, 0)
    if is_taken():  # a form that no range serves: it is looked at when it is opened
        path.write_bytes(whole)
        return 0, 0
    taken, sizes = 0, _sizes(len(whole))
    path.write_bytes(whole)
    for size in sizes:  # each time shorter
        os.truncate(path, size)
        taken += is_taken()
    path.write_bytes(whole)
    return len(sizes), taken


def _sizes(whole: int) -> list[int]:
    """Every length below the whole, falling; of large files every one near the ends, and others."""
    if whole <= EVERY_BYTE_UP_TO:
        return list(range(whole - 1, -1, -1))
    ends = {*range(500), *range(whole - 500, whole)}
    return sorted(ends | {*range(0, whole, whole // 1000)}, reverse=True)


def _serve_cut(place: Place, seen: Seen, number: int) -> None:
    """A server that finds its plans cut makes them anew."""
    with place.server("--preload", "quick", starts=False) as server:
        for path in (server.state / "plans").glob("*/*"):
            os.truncate(path, path.stat().st_size * (number + 1) // 10)
        began_s = time.monotonic()
        server.start()
        question = place.repository.questions("quick", 1)[0]
        seen.recovered(server.recovered_s(question, began_s))
        tally = Tally()
        with crowd(server.port, 2, in_turn(place.repository.questions("quick")), tally):
            time.sleep(0.5)
        seen.tally.add(tally)
