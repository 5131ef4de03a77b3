"""A stand-in for `python -m bench.lab`: speaks its lines and sends nothing.

The specification's name says what it does; see DOINGS.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

RUN_ID = "20260102T030405Z-0123ab"
stopped = threading.Event()


def say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def progress(elapsed_s: float, phase: str = "run", **more: Any) -> None:
    figures = {"requested_per_s": 100.0, "achieved_per_s": 99.0, "p50_ms": 1.0}
    say(
        type="progress",
        elapsed_s=elapsed_s,
        seconds=3.0,
        phase=phase,
        **figures,
        **{"p95_ms": 2.0, "p99_ms": 3.0, "errors": 0, **more},
    )


def finish(store: Path) -> int:
    path = store / f"{RUN_ID}.json"
    whole = {"achieved_per_s": 98.0, "latency_ms": {"p50": 1.0, "p99": 244.0}}
    ended = {"valid": True, "cancelled": stopped.is_set()}
    path.write_text(json.dumps({"id": RUN_ID, **ended, **whole}))
    say(type="result", id=RUN_ID, path=str(path))
    return 0


def steady(store: Path) -> int:
    progress(1.0, "warmup")
    progress(1.0, errors=1)
    progress(2.0, errors=3)
    return finish(store)


def climb(store: Path) -> int:
    for step in (1, 2):
        for second in (1.0, 2.0):
            progress(second, "step", step=step, steps=2, errors=step)
    return finish(store)


def many(store: Path) -> int:
    for second in range(1000):
        progress(float(second))
    return wait(store)


def wait(store: Path) -> int:
    progress(1.0)
    stopped.wait(60)
    return finish(store)


def deaf(store: Path) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress(1.0)
    threading.Event().wait(60)
    return 0


def refuse(store: Path) -> int:
    say(type="error", error="rate_per_s is 0; it must be more")
    return 2


def crash(store: Path) -> int:
    print("[1, 2]\nnot json at all", file=sys.stderr, flush=True)
    os._exit(3)


DOINGS = {one.__name__: one for one in (steady, climb, many, wait, deaf, refuse, crash)}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--progress", required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    name = json.loads(given.spec.read_text())["name"]
    return DOINGS[name](given.store)


if __name__ == "__main__":
    raise SystemExit(main())
