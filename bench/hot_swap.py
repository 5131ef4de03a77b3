"""A model swapped again and again under load: `python -m bench.hot_swap`.

Version N answers 1000 + N to any row; every fifth new version is broken. Checked: no request
fails, each answer is that of the version it names, and every broken version is named with its
reason in the V2 index and in what the console shows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.serving import Client, percentile, serving, wait_settled

FEATURES = 3
BASE = 1000
KEPT_VERSIONS = 4
SWAP_DEADLINE_S = 120
BODY = json.dumps(
    {
        "inputs": [
            {"name": "input", "datatype": "FP64", "shape": [1, FEATURES], "data": [1.0] * FEATURES}
        ]
    }
).encode()


@dataclass
class Outcome:
    """What a run showed."""

    answers: dict[str, int] = field(default_factory=dict)
    ms: list[float] = field(default_factory=list)
    swap_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    mixed: int = 0
    broken: int = 0
    unnamed: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Which checks failed, in words."""
        found = []
        if self.failures:
            found.append(f"{len(self.failures)} failed requests, the first: {self.failures[0]}")
        if self.mixed:
            found.append(f"{self.mixed} answers of another version than they name")
        if self.unnamed:
            found.append(f"broken versions without a reason: {', '.join(self.unnamed)}")
        return found


def write_version(models: Path, version: int, broken: bool) -> None:
    """A version whose every answer is BASE + version, or a broken one; moved in whole."""
    import skops.io
    from sklearn.dummy import DummyRegressor

    scratch = models / "m" / f".{version}"
    scratch.mkdir(parents=True)
    if broken:
        (scratch / "model.skops").write_bytes(b"this is no model")
    else:
        model = DummyRegressor(strategy="constant", constant=float(BASE + version))
        skops.io.dump(model.fit(np.zeros((2, FEATURES)), [0.0, 1.0]), scratch / "model.skops")
    scratch.rename(models / "m" / str(version))


def ask_without_pause(port: int, stop: threading.Event, outcome: Outcome) -> None:
    """One caller, until told to stop."""
    client = Client(port)
    while not stop.is_set():
        started = time.perf_counter()
        status, _, body = client.exchange(
            "POST", "/v2/models/m/infer", BODY, {"Cache-Control": "no-cache"}
        )
        outcome.ms.append(1000 * (time.perf_counter() - started))
        if status != 200:
            outcome.failures.append(f"{status} {body.get('error')}")
            continue
        version, answer = body["model_version"], body["outputs"][0]["data"][0]
        outcome.answers[version] = outcome.answers.get(version, 0) + 1
        outcome.mixed += answer != BASE + int(version)


def wait_for(client: Client, version: int, broken: bool) -> str:
    """Return once the version serves, or, when broken, its reason as index and console tell."""
    end = time.monotonic() + SWAP_DEADLINE_S
    while time.monotonic() < end:
        if not broken:
            _, _, body = client.exchange("POST", "/v2/models/m/infer", BODY)
            if body.get("model_version") == str(version):
                return ""
        else:
            index = client.call("POST", "/v2/repository/index", {})[1]
            reason = next((i["reason"] for i in index if i["version"] == str(version)), "")
            shown = client.call("GET", "/performance/models")[1]["models"]
            told = [m["error"] for m in shown if m["version"] == str(version)]
            if reason and told == [reason]:
                return str(reason)
        time.sleep(0.02)
    return ""


def run(folder: Path, swaps: int, callers: int) -> Outcome:
    """Swap `swaps` times; every fifth new version is broken."""
    models = folder / "models"
    write_version(models, 1, broken=False)
    outcome, stop = Outcome(), threading.Event()
    with serving(folder, "--reload-interval-s", "0.1") as (port, _):
        client = Client(port)
        wait_settled(client, 1)
        threads = [
            threading.Thread(target=ask_without_pause, args=(port, stop, outcome))
            for _ in range(callers)
        ]
        for thread in threads:
            thread.start()
        try:
            for version in tqdm(range(2, swaps + 2), desc="swapping", unit="swap"):
                swap_once(client, models, version, outcome)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    return outcome


def swap_once(client: Client, models: Path, version: int, outcome: Outcome) -> None:
    """Write one version, wait for what becomes of it, and clear old ones away."""
    broken = version % 5 == 0
    write_version(models, version, broken)
    started = time.perf_counter()
    reason = wait_for(client, version, broken)
    if broken:
        outcome.broken += 1
        if not reason:
            outcome.unnamed.append(str(version))
    else:
        outcome.swap_s.append(time.perf_counter() - started)
    old = models / "m" / str(version - KEPT_VERSIONS)
    if old.exists():
        hidden = old.with_name(f".old-{old.name}")
        old.rename(hidden)
        shutil.rmtree(hidden)


def table(outcome: Outcome, swaps: int, callers: int) -> str:
    """The outcome as markdown."""
    rows = [
        ("swaps, of which broken", f"{swaps}, {outcome.broken}"),
        ("callers", f"{callers}, without pause"),
        ("requests", f"{len(outcome.ms):,}"),
        ("failed, of another version than named", f"{len(outcome.failures)}, {outcome.mixed}"),
        ("versions that answered", f"{len(outcome.answers)}"),
        ("broken versions named with their reason", f"{outcome.broken - len(outcome.unnamed)}"),
        (
            "written to serving p50, p99, s",
            f"{percentile(outcome.swap_s, 0.5):.2f}, {percentile(outcome.swap_s, 0.99):.2f}",
        ),
        (
            "request p50, p99, max, ms",
            f"{percentile(outcome.ms, 0.5):.2f}, {percentile(outcome.ms, 0.99):.1f}, "
            f"{max(outcome.ms):.0f}",
        ),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.hot_swap", description=__doc__)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--callers", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swaps-") as folder:
        outcome = run(Path(folder), given.swaps, given.callers)
    print(table(outcome, given.swaps, given.callers))
    for problem in outcome.problems():
        print(f"FAILED: {problem}")
    return 1 if outcome.problems() else 0


if __name__ == "__main__":
    raise SystemExit(main())
