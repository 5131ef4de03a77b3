"""A tab of the console left open: `make soak-tab MINUTES=30`.

A real browser shows the Live page while callers keep the server busy. Its heap after a forced
collection is read every few seconds; in the middle the server is killed, is away for a while, and
comes back at the same address: the page must say that it is stale and recover by itself. The
slope of the last readings (Theil-Sen) tells whether it still grows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes
from tqdm import tqdm

from bench.__main__ import ROOT, until_ready
from bench.models import rows_of
from bench.wrk import body_of

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-precise-memory-info"),
)
MOST_GROWTH = 0.10
CALLERS = 4
RECOVERY_S = 20.0


@contextmanager
def server(folder: Path, models: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--models", str(models), "--state", str(folder / "state")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        until_ready(f"http://127.0.0.1:{port}/v2/health/ready")
        yield process
    finally:
        process.kill()
        process.wait(30)


def call_on(port: int, rows: np.ndarray, over: threading.Event) -> None:
    """Requests at random, until over; a server that is away is asked again."""
    bodies = [body_of(rows[place : place + 1]) for place in range(len(rows))]
    while not over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            while not over.is_set():
                path = "/v2/models/breast_cancer/infer"
                connection.request("POST", path, random.choice(bodies))
                connection.getresponse().read()
                time.sleep(random.expovariate(50))
        except (OSError, http.client.HTTPException):
            time.sleep(0.5)
        finally:
            connection.close()


class Tab:
    """The page, and its memory as the browser's own debugger tells it."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._debugger = page.context.new_cdp_session(page)

    def heap_mb(self) -> float:
        """Used heap after a forced collection."""
        for _ in range(2):
            self._debugger.send("HeapProfiler.collectGarbage")
        return float(self._debugger.send("Runtime.getHeapUsage")["usedSize"]) / 1e6

    def nodes(self) -> int:
        return int(self._page.evaluate("document.getElementsByTagName('*').length"))

    @property
    def phase(self) -> str:
        return str(self._page.get_attribute("#console", "data-phase"))

    def until_phase(self, wanted: str, most_s: float) -> float:
        """Seconds until the page is in a phase. Raises TimeoutError."""
        began = time.monotonic()
        while self.phase != wanted:
            if time.monotonic() - began > most_s:
                raise TimeoutError(f"the page is {self.phase}, not {wanted}, after {most_s:g} s")
            self._page.wait_for_timeout(100)
        return time.monotonic() - began


def watch(tab: Tab, page: Any, seconds: float, every_s: float, what: str) -> list[float]:
    """Heap readings over a stretch of time."""
    found = []
    with tqdm(total=round(seconds), desc=what, unit="s") as bar:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            page.wait_for_timeout(1000 * min(every_s, max(0.1, end_s - time.monotonic())))
            found.append(tab.heap_mb())
            bar.update(round(seconds - max(0.0, end_s - time.monotonic())) - bar.n)
    return found


def by_minute(readings: list[float], every_s: float) -> str:
    """Medians of each minute: they tell a buffer that fills from a step and from a slope."""
    count = max(1, round(60 / every_s))
    minutes = [readings[first : first + count] for first in range(0, len(readings), count)]
    return " ".join(f"{np.median(one):.2f}" for one in minutes)


def soak(models: Path, minutes: float, away_s: float) -> int:
    from playwright.sync_api import sync_playwright

    half_s = max(10.0, (60 * minutes - away_s) / 2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    over = threading.Event()
    rows = rows_of(models)
    for _ in range(CALLERS):
        threading.Thread(target=call_on, args=(port, rows, over), daemon=True).start()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tab-") as scratch, sync_playwright() as driver:
        folder = Path(scratch)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.on("pageerror", lambda error: faults.append(str(error)))
        tab = Tab(page)
        every_s = max(2.0, half_s / 60)
        with server(folder, models, port):
            until_ready(f"http://127.0.0.1:{port}/")
            page.goto(f"http://127.0.0.1:{port}/")
            tab.until_phase("live", 20)
            before = watch(tab, page, half_s, every_s, "live")
        stale_s = tab.until_phase("stale", RECOVERY_S)
        page.wait_for_timeout(1000 * away_s)
        with server(folder, models, port):
            back_s = tab.until_phase("live", RECOVERY_S)
            after = watch(tab, page, half_s, every_s, "live again")
            nodes = tab.nodes()
        over.set()
        browser.close()
    # The first third fills ten minutes of points and warms the page up.
    base, end = np.median(before[len(before) // 3 :]), np.median(after[-len(after) // 3 :])
    growth = float(end / base - 1)
    full = after[-len(after) // 3 :]
    slope, _, low, high = theilslopes(full, np.arange(len(full)) * every_s / 3600)
    print(f"MB by the minute: {by_minute(before, every_s)}; again {by_minute(after, every_s)}")
    print(f"with the buffer full: {slope:+.2f} MB an hour ({low:+.2f} to {high:+.2f}, 95 %)")
    said = {"minutes": minutes, "heap_mb": [round(float(base), 2), round(float(end), 2)]}
    print(json.dumps(said | {"growth_percent": round(100 * growth, 1), "elements": nodes}))
    print(
        f"stale {stale_s:.1f} s after the server was killed, away {away_s:g} s, live {back_s:.1f} s"
    )
    print(f"errors on the page: {len(faults)} {faults[:3]}")
    return 0 if growth < MOST_GROWTH and not faults else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.soak_tab", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--away", type=float, default=60.0, help="seconds without a server")
    given = parser.parse_args()
    return soak(given.models, given.minutes, given.away)


if __name__ == "__main__":
    raise SystemExit(main())
