"""A model of known shares: what the profiler says of it, beside py-spy in the same run."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from app.cli import main
from tests.conftest import ROOT, free_port
from tests.waiting import until

SECONDS = 20.0
TOML = '[[inputs]]\nname = "x"\ndatatype = "FP64"\nshape = [-1, 1]\n[cache]\nresults = false\n'
SOURCE = """
import time


def until(end):
    total = 0
    while time.perf_counter() < end:
        for value in range(200):
            total += value & 7
    return total


class Shares:
    def f(self, seconds):
        return until(time.perf_counter() + seconds)

    def g(self, seconds):
        return until(time.perf_counter() + seconds)

    def load(self, folder):
        pass

    def predict(self, inputs):
        self.f(0.014)
        self.g(0.006)
        return {"y": inputs["x"] * 2}
"""
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 1], "data": [1.0]}]})


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path, Any]]:
    """The server as py-spy's child: its port, py-spy's output, and py-spy."""
    folder = tmp_path_factory.mktemp("truth")
    (folder / "models" / "shares" / "1").mkdir(parents=True)
    (folder / "models" / "shares" / "model.toml").write_text(TOML)
    source = folder / "models" / "shares" / "1" / "model.py"
    source.write_text(SOURCE)
    trust = ["--trust-file", str(folder / "trusted.sha256")]
    assert main(["models", "trust", str(source), *trust]) == 0
    port, raw = free_port(), folder / "spied.txt"
    serve = ["-m", "app.cli", "serve", "--port", str(port), "--models", str(folder / "models")]
    serve += ["--state", str(folder / "state"), *trust]
    spy = [str(Path(sys.executable).parent / "py-spy"), "record", "--format", "raw", "--function"]
    spy += ["--rate", "100", "--output", str(raw), "--", sys.executable, *serve]
    process = subprocess.Popen(spy, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        until(lambda: is_ready(port), 60, "ready")
        yield port, raw, process
    finally:
        if process.poll() is None:
            process.kill()


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2):
            return True
    except OSError:
        return False


def keep_busy(port: int, over: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not over.is_set():
        connection.request("POST", "/v2/models/shares/infer", BODY)
        assert connection.getresponse().read()
    connection.close()


def share_of(f: float, g: float) -> float:
    return 100 * f / (f + g)


def profiled(port: int, began: float, ended: float) -> dict[str, float]:
    """Total CPU time of the console's flame graph by the function's own name."""
    query = {"view": "code", "model": "shares", "from": began, "to": ended, "measure": "cpu"}
    address = f"http://127.0.0.1:{port}/performance/flame-graph?{urlencode(query)}"
    with urlopen(address, timeout=10) as answer:
        found = json.load(answer)
    return {found["frames"][row["frame"]]["name"]: row["total"] for row in found["top"]}


def stacks_of_slow_requests(port: int) -> set[str]:
    """Functions in the little flame graphs of the exemplars that samples fell into."""
    address = f"http://127.0.0.1:{port}/performance"
    with urlopen(f"{address}/slow-requests?model=shares", timeout=10) as answer:
        known = json.load(answer)["exemplars"]
    sampled = [one for one in known if one["profile"]]
    assert sampled, "20 ms requests are met by a sampler at 29 Hz now and then"
    names = set()
    for one in sampled:
        asked = urlencode({"view": "code", "request": one["request_id"], "measure": "wall"})
        with urlopen(f"{address}/flame-graph?{asked}", timeout=10) as answer:
            found = json.load(answer)
        assert found["sampled"]["samples"] == one["profile"]["samples"]
        names |= {frame["name"] for frame in found["frames"]}
    return names


def spied_on(raw: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        for name in {frame.split(" ")[0].rpartition(".")[2] for frame in stack.split(";")} & {
            "f",
            "g",
        }:
            found[name] += int(count)
    return found


def test_shares_are_true_and_agree_with_py_spy(spied: tuple[int, Path, Any]) -> None:
    port, raw, process = spied
    over = threading.Event()
    caller = threading.Thread(target=keep_busy, args=(port, over), daemon=True)
    caller.start()
    began = time.time()
    until(lambda: time.time() - began > SECONDS, SECONDS + 5, "twenty seconds of requests")
    found = profiled(port, began, time.time())
    slow = stacks_of_slow_requests(port)
    over.set()
    caller.join(10)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    ours = share_of(found["Shares.f"], found["Shares.g"])
    theirs = spied_on(raw)
    spy = share_of(theirs["f"], theirs["g"])
    print(f"f: 70 % by design, {ours:.1f} % by the console, {spy:.1f} % by py-spy")
    assert {"Shares.f", "Shares.g"} & slow, "a slow request leads to its own stacks"
    assert abs(ours - 70) <= 3
    assert abs(ours - spy) <= 5
