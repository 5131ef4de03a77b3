"""A locked history file for a minute, under load: `make locked`.

Another process holds the file's exclusive lock while callers go on. Every second must have its
tick, the console must say "not recorded", and afterwards every bucket must be on disk. The exit
status is 1 where that is not so.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.__main__ import until_ready
from bench.models import rows_of, write_repository
from bench.serving import Client, serving
from bench.wrk import measure, write_script

LONGEST_TICK_S = 1.25


def held(path: Path, seconds: int) -> None:
    """Hold the file's lock for so long."""
    lock = sqlite3.connect(path, isolation_level=None, timeout=30)
    lock.execute("BEGIN EXCLUSIVE")
    for _ in tqdm(range(seconds), unit="s", desc="locked"):
        time.sleep(1)
    lock.execute("ROLLBACK")
    lock.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.locked_history", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="locked-") as scratch:
        folder = Path(scratch)
        write_repository(given.models, folder)
        script = write_script(folder / "rows.lua", rows_of(given.models))
        with serving(folder) as (port, _):
            until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
            client, path = Client(port), folder / "state/history.sqlite"
            while not path.exists() or not _history(client)["written"]:
                time.sleep(0.5)
            url = f"http://127.0.0.1:{port}/v2/models/breast_cancer/infer"
            before = measure(url, 4, script, 5)
            holder = threading.Thread(target=held, args=(path, given.seconds))
            holder.start()
            during = measure(url, 4, script, given.seconds - 5)
            said = _history(client)
            holder.join()
            ends = time.monotonic() + 30
            while not _history(client)["recording"] and time.monotonic() < ends:
                time.sleep(0.5)
            after = _history(client)
            points = client.call("GET", "/performance/live?since=0")[1]["points"]
    ticks = np.diff([point[0] for point in points])
    print(f"ticks: {len(ticks)}, longest {ticks.max():.3f} s; said: {said['problem']}")
    print(f"waiting at most {said['waiting']}, dropped {after['dropped']}, then {after['waiting']}")
    print(f"p99 before {before.p99_ms:.3f} ms, while locked {during.p99_ms:.3f} ms")
    print(f"failed requests: {before.failed + during.failed}")
    good = (
        ticks.max() <= LONGEST_TICK_S
        and not said["recording"]
        and after["recording"]
        and not after["dropped"]
        and not before.failed + during.failed
    )
    return 0 if good else 1


def _history(client: Client) -> dict[str, Any]:
    status: dict[str, Any] = client.call("GET", "/performance/status")[1]["history"]
    return status


if __name__ == "__main__":
    raise SystemExit(main())
