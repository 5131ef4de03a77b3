"""Many models in a small memory budget under random callers: `python -m bench.memory_budget`.

Each model is an ONNX graph that looks rows up in its own table of about 10 MB and answers its
own number, so a wrong answer shows. Checked: the resident bytes never exceed the budget by
more than one model, no request fails, no answer is wrong, and every load was needed once:
loads less evictions are exactly the models resident at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from bench.serving import Client, percentile, serving, tier, wait_settled

MIB = 1024 * 1024
SIDE = 1600
SAMPLE_S = 0.05


@dataclass
class Outcome:
    """What a run showed. *_ms: of every request, by whether it waited for a load."""

    warm_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    wrong: int = 0
    failures: list[str] = field(default_factory=list)
    busy: int = 0
    highest_bytes: int = 0
    samples: int = 0
    budget_bytes: int = 0
    model_bytes: int = 0
    loads: int = 0
    evictions: int = 0
    resident: int = 0
    pss_mb: float = 0.0
    seconds: float = 0.0

    def problems(self) -> list[str]:
        """Which checks failed, in words."""
        found = []
        if self.wrong:
            found.append(f"{self.wrong} wrong answers")
        if self.failures:
            found.append(f"{len(self.failures)} failures, the first: {self.failures[0]}")
        if self.highest_bytes > self.budget_bytes + self.model_bytes:
            found.append(f"{self.highest_bytes} bytes resident, over budget by more than a model")
        if self.loads - self.evictions != self.resident:
            counts = f"{self.loads} loads, {self.evictions} evictions"
            found.append(f"{counts}, {self.resident} resident")
        if not self.cold_ms or not self.evictions:
            found.append("nothing was evicted: the run shows nothing")
        return found


def write_model(folder: Path, number: int, side: int) -> None:
    """A graph whose answer to any row is `number`, from a table of side x side floats."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.full((side, side), float(number), dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "row"], ["rows"]),
            helper.make_node("ReduceMean", ["rows", "axes"], ["number"], keepdims=0),
        ],
        "lookup",
        [helper.make_tensor_value_info("row", TensorProto.INT64, [None])],
        [helper.make_tensor_value_info("number", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder.mkdir(parents=True)
    onnx.save(model, str(folder / "model.onnx"))


def call_at_random(port: int, models: int, side: int, end: float, outcome: Outcome) -> None:
    """One caller: random models, as fast as they answer, until `end` (monotonic)."""
    client, chance = Client(port), random.Random(threading.get_ident())
    while time.monotonic() < end:
        number = chance.randrange(models)
        row = {"name": "row", "datatype": "INT64", "shape": [1], "data": [chance.randrange(side)]}
        started = time.perf_counter()
        status, headers, body = client.exchange(
            "POST",
            f"/v2/models/m{number}/infer",
            json.dumps({"inputs": [row]}).encode(),
            {"Cache-Control": "no-cache"},
        )
        ms = 1000 * (time.perf_counter() - started)
        if status == 503 and "already wait" in body["error"]:
            outcome.busy += 1
            time.sleep(0.01)
        elif status != 200:
            outcome.failures.append(f"{status} {body['error']}")
        else:
            outcome.wrong += body["outputs"][0]["data"] != [float(number)]
            (outcome.cold_ms if headers["x-cold-start"] == "true" else outcome.warm_ms).append(ms)


def watch_bytes(port: int, end: float, outcome: Outcome) -> None:
    """Sample the resident bytes until `end`."""
    client = Client(port)
    while time.monotonic() < end:
        outcome.highest_bytes = max(outcome.highest_bytes, tier(client, "models")["bytes"])
        outcome.samples += 1
        time.sleep(SAMPLE_S)


def run(
    folder: Path, models: int, budget_bytes: int, callers: int, seconds: float, side: int = SIDE
) -> Outcome:
    """Write the models, plan them all, then let the callers loose."""
    for number in tqdm(range(models), desc="writing", unit="model"):
        write_model(folder / f"models/m{number}/1", number, side)
    outcome = Outcome(budget_bytes=budget_bytes, seconds=seconds)
    flags = ("--model-cache-bytes", str(budget_bytes), "--http-threads", str(4 * callers))
    with serving(folder, *flags, "--reload-interval-s", "0") as (port, process_id):
        client = Client(port)
        wait_settled(client, models, idle_too=True)
        held = client.call("GET", "/performance/models")[1]["models"]
        outcome.model_bytes = int(max(1e6 * (m["memory_mb"] or 0) for m in held))
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=call_at_random, args=(port, models, side, end, outcome))
            for _ in range(callers)
        ]
        threads.append(threading.Thread(target=watch_bytes, args=(port, end, outcome)))
        for thread in threads:
            thread.start()
        for _ in tqdm(range(int(seconds)), desc="calling", unit="s"):
            time.sleep(1)
        for thread in threads:
            thread.join()
        row = tier(Client(port), "models")  # a new one: idle connections are closed
        outcome.loads, outcome.evictions = row["misses"], row["evictions"]
        outcome.resident = row["items"]
        outcome.pss_mb = psutil.Process(process_id).memory_full_info().pss / 1e6
    return outcome


def table(outcome: Outcome, models: int, callers: int) -> str:
    """The outcome as markdown."""
    requests = len(outcome.warm_ms) + len(outcome.cold_ms)
    rows = [
        ("models, of bytes each", f"{models}, {outcome.model_bytes:,}"),
        ("budget, bytes", f"{outcome.budget_bytes:,}"),
        (
            "highest resident, bytes",
            f"{outcome.highest_bytes:,} in {outcome.samples} samples",
        ),
        ("callers", f"{callers} for {outcome.seconds:g} s"),
        ("requests answered", f"{requests:,}, {requests / outcome.seconds:,.0f}/s"),
        ("asked to come back (503)", f"{outcome.busy}"),
        ("failed, wrong", f"{len(outcome.failures)}, {outcome.wrong}"),
        (
            "loads, evictions, resident at the end",
            f"{outcome.loads}, {outcome.evictions}, {outcome.resident}",
        ),
        (
            "warm p50, p99, ms",
            f"{percentile(outcome.warm_ms, 0.5):.2f}, {percentile(outcome.warm_ms, 0.99):.2f}",
        ),
        (
            f"cold p50, p99, ms ({len(outcome.cold_ms)} requests)",
            f"{percentile(outcome.cold_ms, 0.5):.1f}, {percentile(outcome.cold_ms, 0.99):.1f}",
        ),
        ("PSS of the server at the end, MB", f"{outcome.pss_mb:.0f}"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.memory_budget", description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--budget-mib", type=int, default=512)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="budget-") as folder:
        outcome = run(
            Path(folder), given.models, given.budget_mib * MIB, given.callers, given.seconds
        )
    print(table(outcome, given.models, given.callers))
    for problem in outcome.problems():
        print(f"FAILED: {problem}")
    return 1 if outcome.problems() else 0


if __name__ == "__main__":
    raise SystemExit(main())
