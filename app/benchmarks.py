"""At most one benchmark at a time, run by the load lab in a child process.

    start(spec) -> child -> its lines, read in a thread -> progress and points
                              \\-> the end: a stored run, or why there is none

The server does no sending: the child does, and stores its run. It ends with the server; one
that goes on after its time is ended too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from app.stored_runs import StoredRuns, UnknownRun, summary_of
from engine.errors import Busy, without_folders

Lend = Callable[[], contextlib.AbstractContextManager[str]]


def no_key() -> contextlib.AbstractContextManager[str]:
    return contextlib.nullcontext("")


log = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent
LAB = (sys.executable, "-m", "app.lab_child")
MOST_POINTS = 600
MOST_LINE = 65_536
MOST_WORDS = 300
KILL_AFTER_S = 5.0
"""How long a child has to store what it measured after it was told to stop."""
OVERTIME_S = 60.0
"""How long a child may go on past the time that its specification takes."""
HALVINGS, STEP_REST, STEP_REST_S = 6, 1.1, 0.2
"""A ramp halves so often at most, after its steps; each settles for a tenth, and rests."""
COLUMNS = ("t", "requested_per_s", "achieved_per_s", "errors", "p50_ms", "p95_ms", "p99_ms")
"""Of a point: as of a stored run's series, so that one chart draws both."""
_FROM_PROGRESS = ("elapsed_s", *COLUMNS[1:])

Tell = Callable[[str, str], None]


class _Run:
    """One child and what it has said."""

    def __init__(self, spec: dict[str, Any], started: float) -> None:
        self.spec, self.started = spec, started
        self.lend: Lend = no_key
        self.progress: dict[str, Any] | None = None
        self.points: deque[list[Any]] = deque(maxlen=MOST_POINTS)
        self.seq = 0
        self._begin_s = 0.0
        self.result: dict[str, Any] | None = None
        self.error = ""
        self.said: deque[str] = deque(maxlen=5)
        self.cancelling = self.overran = False
        self.child: subprocess.Popen[bytes] | None = None
        self.ended = threading.Event()

    def hear(self, line: bytes) -> None:
        """Take one line of the child's."""
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            words = line.decode("utf-8", "replace").strip()
            if words:
                self.said.append(words[:MOST_WORDS])
        elif told.get("type") == "progress":
            self._progressed({key: value for key, value in told.items() if key != "type"})
        elif told.get("type") == "result":
            self.result = told
        elif told.get("type") == "error":
            self.error = str(told.get("error"))[:MOST_WORDS]

    def _progressed(self, told: dict[str, Any]) -> None:
        """A point's time goes on over the steps of a ramp; the warm-up has none."""
        before, self.progress = self.progress or {}, told
        if told.get("phase") == "warmup":
            return
        errors, earlier = (one.get("errors") or 0 for one in (told, before))
        if any(told.get(part) != before.get(part) for part in ("phase", "step")):
            self._begin_s = self.points[-1][0] if self.points else 0.0
            earlier = 0
        point = {
            **told,
            "elapsed_s": self._begin_s + (told.get("elapsed_s") or 0),
            "errors": max(0, errors - earlier),
        }
        self.points.append([point.get(name) for name in _FROM_PROGRESS])
        self.seq += 1

    def signal(self, number: signal.Signals) -> None:
        """To the child; SIGKILL to all that it started."""
        child = self.child
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(child.pid, number)
            else:
                child.send_signal(number)


class Benchmarks:
    """Starts, watches and cancels benchmarks of one server; knows the stored ones.

    tell: notes an event. lab: the command of the child, without its arguments.
    """

    def __init__(self, store: Path, tell: Tell, lab: Sequence[str] = LAB) -> None:
        self.runs = StoredRuns(store)
        self._tell, self._lab = tell, tuple(lab)
        self._lock = threading.Lock()
        self._current: _Run | None = None
        self._last: dict[str, Any] | None = None
        self._closed = False

    def start(self, spec: dict[str, Any], lend: Lend = no_key) -> dict[str, Any]:
        """Begin a run; lend: a key for the child while it runs. Raises Busy while one runs."""
        run = _Run(spec, time.time())
        run.lend = lend
        with self._lock:
            if self._current is not None:
                name = words_of(self._current.spec)
                raise Busy(f"a benchmark runs already: {name[:120]}; cancel it or wait for its end")
            if self._closed:
                raise Busy("the server is stopping")
            self._current = run
        self._tell("benchmark", f"started {words_of(spec)}")
        watch = threading.Thread(target=self._watch, args=(run,), name="benchmark", daemon=True)
        try:
            watch.start()
        except RuntimeError as error:
            with self._lock:
                self._current = None
            self._tell("benchmark", f"failed {spec['name'] or spec['model']}: {error}")
            raise Busy(f"the system has no thread for a benchmark: {error}") from None
        return {"started": run.started, "seconds": seconds_of(spec), "spec": spec}

    def cancel(self) -> None:
        """Have the child store what it has and end. Raises UnknownRun where none runs."""
        with self._lock:
            run = self._current
        if run is None:
            raise UnknownRun("no benchmark is running")
        run.cancelling = True
        run.signal(signal.SIGTERM)
        _later(KILL_AFTER_S, run)

    def current(self, since: int = 0) -> dict[str, Any] | None:
        """What runs now, with the points after the first `since`; None where nothing does."""
        with self._lock:
            run = self._current
        if run is None:
            return None
        seq, points = run.seq, list(run.points)
        new = max(0, seq - since) if since <= seq else seq
        return {
            "started": run.started,
            "seconds": seconds_of(run.spec),
            "spec": run.spec,
            "cancelling": run.cancelling,
            "progress": run.progress,
            "seq": seq,
            "columns": COLUMNS,
            "points": points[-new:] if new else [],
        }

    @property
    def last(self) -> dict[str, Any] | None:
        """How the last run that was started here ended: its id, or an error in words."""
        return self._last

    def close(self, wait_s: float = 2.0) -> None:
        """Start no more; the child is told to stop, then ended."""
        with self._lock:
            self._closed, run = True, self._current
        if run is None:
            return
        run.cancelling = True
        run.signal(signal.SIGTERM)
        if not run.ended.wait(wait_s):
            run.signal(signal.SIGKILL)
            run.ended.wait(wait_s)

    def _watch(self, run: _Run) -> None:
        status = -1
        try:
            status = self._follow(run)
        except Exception as error:
            log.warning("a benchmark failed", exc_info=error)
            words = without_folders(str(error))
            run.error = f"the load lab could not be run: {words}"[:MOST_WORDS]
        last = {
            "started": run.started,
            "ended": time.time(),
            "spec": run.spec,
            "run": None if run.result is None else str(run.result.get("id")),
            "cancelled": run.cancelling,
            "error": self._problem(run, status),
        }
        with self._lock:
            self._last, self._current = last, None
        run.ended.set()
        self._tell("benchmark", _ending(run, last, self._stored(run)))

    def _follow(self, run: _Run) -> int:
        """Run the child to its end, and read what it says; returns its status."""
        folder = self.runs.folder
        folder.mkdir(parents=True, exist_ok=True)
        with run.lend() as key, tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(orjson.dumps(run.spec))
            file.flush()
            further = ("--spec", file.name, "--store", str(folder.resolve()), "--progress", "json")
            child = subprocess.Popen(
                [*self._lab, *further],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"BENCH_API_KEY": key} if key else None,
            )
            run.child = child
            if run.cancelling:  # before there was a child to tell
                run.signal(signal.SIGTERM)
            limit = _later(seconds_of(run.spec) + OVERTIME_S, run, overran=True)
            assert child.stdout is not None
            with child.stdout:
                while line := child.stdout.readline(MOST_LINE):
                    run.hear(line)
            status = child.wait()
            limit.cancel()
        return status

    def _stored(self, run: _Run) -> dict[str, Any]:
        """What the run itself says, over all its requests; empty where it cannot be read."""
        told = run.result or {}
        return summary_of(self.runs.folder / f"{told.get('id')}.json") or {}

    def _problem(self, run: _Run, status: int) -> str | None:
        if run.result is not None:
            return None
        if run.overran:
            return f"it went on {OVERTIME_S:g} s past its time and was ended"
        if run.error:
            return run.error
        if run.cancelling:
            return "cancelled before anything was measured"
        said = run.said[-1] if run.said else "no reason given"
        return f"the load lab ended with status {status}: {without_folders(said)}"


def _later(delay_s: float, run: _Run, overran: bool = False) -> threading.Timer:
    """Kill the run's child then, where it still runs."""

    def end() -> None:
        if not run.ended.is_set():
            run.overran = run.overran or overran
            run.signal(signal.SIGKILL)

    timer = threading.Timer(delay_s, end)
    timer.daemon = True
    timer.start()
    return timer


def seconds_of(spec: dict[str, Any]) -> float:
    """How long a run takes at most, its warm-up included."""
    ramp = spec["ramp"]
    step_s = STEP_REST * ramp["step_s"] + STEP_REST_S if ramp else 0.0
    length_s = (ramp["steps"] + HALVINGS) * step_s if ramp else spec["seconds"]
    return float(spec["warmup_s"] + length_s)


def words_of(spec: dict[str, Any]) -> str:
    """A specification in a few words."""
    ramp, rate = spec["ramp"], spec["rate_per_s"]
    if ramp:
        asked = f"ramp from {ramp['from_per_s']:,g} to {ramp['to_per_s']:,g} requests/s"
    elif spec["loop"] == "open" and rate:
        asked = f"{rate:,g} requests/s, {spec['arrivals']} arrivals"
    elif spec["loop"] == "open":
        asked = "recorded traffic"
    else:
        asked = f"closed loop of {spec['connections']} connections"
    name = f"{spec['name']}: " if spec["name"] else ""
    return f"{name}{spec['model']}, {asked}, about {seconds_of(spec):g} s"


def _ending(run: _Run, last: dict[str, Any], stored: dict[str, Any]) -> str:
    """stored: the run's own figures; those of its last second say nothing of the whole."""
    name = run.spec["name"] or run.spec["model"]
    if last["error"] is not None:
        return f"failed {name}: {last['error']}"
    p99, achieved, valid = (stored.get(key) for key in ("p99_ms", "achieved_per_s", "valid"))
    parts = [] if p99 is None else [f"p99 {p99:,.3g} ms" if p99 < 1000 else f"p99 {p99:,.0f} ms"]
    parts += [] if achieved is None else [f"{achieved:,.0f} requests/s achieved"]
    if valid is not None:
        why = stored.get("invalid_because") or "no reason given"
        parts.append("valid" if valid else f"invalid: {why}")
    how = "cancelled" if run.cancelling else "finished"
    figures = f": {', '.join(parts)}" if parts else ""
    return f"{how} {name}{figures}; run {last['run']}"
