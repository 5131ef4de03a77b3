"""Models on a Ray cluster of a head and two worker nodes on this machine.

    python -m bench.ray_cluster [--kills N] [--pairs N]

1. A worker node is killed again and again under load, and another joins: no answer may be wrong,
   no request lost; what was tried again, what was answered by the server itself, and how long
   until two replicas answer again.
2. A heavy model on one replica and on two, in alternating windows; what else used the processors.
3. Light models stay with the server, by the rule, with its reason.

Everything runs on the one machine: callers, server, bridge, Ray's own processes, replicas.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from bench.faults.callers import Crowd, Tally
from bench.faults.repository import Question
from bench.processors import Processors
from bench.ray_nodes import RayNodes
from bench.serving import Client, serving, wait_settled

MODEL = "fraud_detector"
HEAVY = "heavy"
WIDTH, SIDE, LAYERS = 64, 256, 400
QUESTIONS = 64
CALLERS = 4
RECOVERY_S = 90.0
LOOK_EVERY_S = 0.02
WINDOW_S = 8.0
WANTED = 1.7
LEAST_MS = 20.0
CPUS_OF_A_NODE = 1.0
PORT = 26379


class Exact(Question):
    """A question whose answer is to be the very same numbers."""

    def is_answered_by(self, data: list[Any]) -> bool:
        return bool(data == self.right.tolist())


@dataclass(slots=True)
class Kills:
    """What killing nodes showed. times in seconds, one a kill."""

    tally: Tally = field(default_factory=Tally)
    answered_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    sent: int = 0
    retries: int = 0
    fallbacks: int = 0


def write_heavy(models: Path) -> None:
    """A graph that computes: LAYERS products of a SIDE x SIDE matrix of each row's own."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(5)
    weights = {
        "wide": rng.normal(size=(WIDTH, SIDE)).astype(np.float32) / 8,
        "ones": np.ones((1, SIDE), dtype=np.float32),
        "square": (1.5 * rng.normal(size=(SIDE, SIDE)) / SIDE**0.5).astype(np.float32),
    }
    shapes = {"column": np.array([-1, SIDE, 1]), "axes": np.array([1, 2])}
    held = [numpy_helper.from_array(a, n) for n, a in (weights | shapes).items()]
    nodes = [
        helper.make_node("MatMul", ["x", "wide"], ["spread"]),
        helper.make_node("Reshape", ["spread", "column"], ["tall"]),
        helper.make_node("MatMul", ["tall", "ones"], ["h0"]),
    ]
    for layer in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"h{layer}", "square"], [f"m{layer}"]))
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], [f"h{layer + 1}"]))
    nodes.append(helper.make_node("ReduceMean", [f"h{LAYERS}", "axes"], ["y"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        HEAVY,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        held,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    version = models / HEAVY / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(made.SerializeToString())
    np.savez(version / "samples.npz", x=_rows())
    onnx.checker.check_model(made)


def _rows() -> np.ndarray:
    return np.random.default_rng(6).normal(size=(QUESTIONS, WIDTH)).astype(np.float32)


def questions(client: Client, model: str, name: str, rows: np.ndarray) -> list[Question]:
    """Rows one by one, with what this server says to them; it is to be one without Ray."""
    datatype = {"f4": "FP32", "f8": "FP64"}[rows.dtype.str[1:]]
    found: list[Question] = []
    for row in rows:
        tensor = {"name": name, "datatype": datatype, "shape": [1, len(row)], "data": row.tolist()}
        path, body = f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}).encode()
        _, _, answer = client.exchange("POST", path, body, {"Cache-Control": "no-cache"})
        found.append(Exact(path, body, np.array(answer["outputs"][0]["data"])))
    return found


def ray_of(client: Client) -> dict[str, Any]:
    """The server's figures of Ray."""
    figures: dict[str, Any] = client.call("GET", "/performance/system")[1]["ray"]
    return figures


def deployment(figures: Mapping[str, Any], model: str) -> dict[str, Any]:
    return next((d for d in figures["deployments"] if d["model"] == model), {})


def running(figures: Mapping[str, Any], model: str) -> set[str]:
    """Ids of the model's replicas that run, on nodes that are alive."""
    alive = {node["id"] for node in figures["nodes"] if node["alive"]}
    replicas = deployment(figures, model).get("replicas", [])
    return {r["id"] for r in replicas if r["state"] == "RUNNING" and r["node"] in alive}


def wait_for(condition: Callable[[], object], what: str, deadline_s: float = RECOVERY_S) -> float:
    """Seconds until a condition holds. Raises TimeoutError."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > deadline_s:
            raise TimeoutError(f"not within {deadline_s:g} s: {what}")
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began_s


def kill_nodes(port: int, asked: list[Question], nodes: RayNodes, kills: int) -> Kills:
    """Kill a worker node, let another join, wait for two replicas; so many times."""
    client, found = Client(port), Kills()
    wait_for(partial(_has, client, MODEL, 2), "two replicas")
    before = ray_of(client)
    crowd = Crowd(port)
    crowd.call(CALLERS, lambda number, step: asked[(17 * number + step) % len(asked)])
    for kill in tqdm(range(kills), desc="nodes killed", unit="kill", disable=None):
        time.sleep(2.0)
        there = running(ray_of(client), MODEL)
        nodes.tell(f"kill {kill % 2}")
        began_s, sent = time.monotonic(), ray_of(client)["sent"]
        adding = threading.Thread(target=nodes.tell, args=("add",))
        adding.start()
        wait_for(partial(_answers, client, sent + 20), "replicas answer")
        found.answered_s.append(time.monotonic() - began_s)
        wait_for(partial(_whole, client, there), "a new replica answers")
        found.whole_s.append(time.monotonic() - began_s)
        adding.join()
    found.tally = crowd.end()
    after = ray_of(client)
    found.sent = after["sent"] - before["sent"]
    found.retries = after["retries"] - before["retries"]
    found.fallbacks = after["fallbacks"] - before["fallbacks"]
    return found


def _answers(client: Client, sent: int) -> bool:
    return bool(ray_of(client)["sent"] > sent)


def _has(client: Client, model: str, replicas: int) -> bool:
    return len(running(ray_of(client), model)) == replicas


def _whole(client: Client, before: set[str]) -> bool:
    """Two replicas run, one that was not there before, and it has answered."""
    figures = ray_of(client)
    there = running(figures, MODEL)
    asked = {r["id"]: r["requests"] for r in deployment(figures, MODEL).get("replicas", [])}
    return len(there) == 2 and any(asked.get(new, 0) > 0 for new in there - before)


def times(values: list[float]) -> str:
    parts = " ".join(f"{value:.1f}" for value in values)
    return f"{parts}  median {statistics.median(values):.1f} s, longest {max(values):.1f} s"


def print_kills(found: Kills) -> None:
    tally = found.tally
    print(f"\n{len(found.whole_s)} worker nodes killed under the load of {CALLERS} callers")
    print(f"  requests {tally.requests:,}: right {tally.right:,}, wrong {tally.wrong}, ", end="")
    print(f"lost {tally.lost}, failed {sum(tally.failed.values())}")
    print(f"  batches on replicas {found.sent:,}, tried again {found.retries}, ", end="")
    print(f"answered by the server in their stead {found.fallbacks}")
    print(f"  kill to replicas answering, s        {times(found.answered_s)}")
    print(f"  kill to a new replica answering, s   {times(found.whole_s)}")


def _part(servers: list[int], process_id: int, words: str) -> str:
    """What a process is here, by its command line."""
    if process_id in servers:
        return "server"
    if process_id == psutil.Process().pid:
        return "callers"
    if "ServeReplica:" in words:
        return "replicas" if HEAVY in words else "other replicas"
    if "ray_bridge" in words:
        return "bridge"
    return "Ray's own" if "ray" in words else "everything else"


@dataclass(slots=True)
class Window:
    """One window of load: requests/s, and per cent of a processor by part."""

    rate: float
    shares: dict[str, float]
    problems: tuple[str, ...]


def window(port: int, servers: list[int], asked: list[Question], seconds: float) -> Window:
    crowd = Crowd(port)
    crowd.call(CALLERS, lambda number, step: asked[(17 * number + step) % len(asked)])
    time.sleep(1.0)
    began, right, processors = time.monotonic(), crowd.right, Processors(partial(_part, servers))
    time.sleep(seconds)
    rate = (crowd.right - right) / (time.monotonic() - began)
    shares = processors.shares()
    return Window(rate, shares, crowd.end().problems(set()))


def compare(
    ports: tuple[int, int], servers: list[int], asked: list[Question], pairs: int
) -> tuple[list[Window], list[Window]]:
    """Windows on one replica and on two, in turn."""
    found: tuple[list[Window], list[Window]] = ([], [])
    for pair in tqdm(range(pairs), desc="pairs", unit="pair", disable=None):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            with _stopped(servers[1 - which]):
                found[which].append(window(ports[which], servers, asked, WINDOW_S))
    return found


@contextmanager
def _stopped(server: int) -> Iterator[None]:
    """A server and its bridge do nothing for the time of a block, shorter than they wait."""
    both = [psutil.Process(server), *psutil.Process(server).children()]
    for process in both:
        process.suspend()
    try:
        yield
    finally:
        for process in both:
            process.resume()


def two_at_once(seconds: float = 4.0) -> float:
    """What two processes that only compute get done over what one does: all that can be had."""
    from bench.ray_spin import rounds

    one, two = [], []
    for _ in range(3):
        one.append(rounds(1, seconds))
        two.append(rounds(2, seconds))
    return statistics.median(two) / statistics.median(one)


def print_comparison(one: list[Window], two: list[Window], run_ms: float, limit: float) -> float:
    ratios = [b.rate / a.rate for a, b in zip(one, two, strict=True)]
    ratio = statistics.median(ratios)
    print(f"\nA heavy model, {run_ms:.1f} ms a row by its plan, {CALLERS} callers, rows one by one")
    for label, windows in (("1 replica", one), ("2 replicas", two)):
        rate = statistics.median(w.rate for w in windows)
        print(f"  {label:<11} {rate:7.1f} requests/s   {_shares(windows)}")
    told = " ".join(f"{value:.2f}" for value in ratios)
    print(f"  2 over 1: median {ratio:.2f}x of {len(ratios)} pairs ({told}); wanted {WANTED}x")
    print(f"  two processes that only compute get {limit:.2f}x of one's work done here")
    return ratio


def _shares(windows: list[Window]) -> str:
    parts = sorted({part for w in windows for part in w.shares})
    medians = {p: statistics.median(w.shares.get(p, 0.0) for w in windows) for p in parts}
    shown = sorted(((p, m) for p, m in medians.items() if m >= 0.5), key=lambda one: -one[1])
    return ", ".join(f"{part} {share:.0f} %" for part, share in shown)


@contextmanager
def _folder(models: Path, *names: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ray-") as name:
        for model in names:
            shutil.copytree(models / model, Path(name) / "models" / model)
        yield Path(name)


def main(arguments: list[str] | None = None) -> int:
    """Run and print all; returns 1 where something promised did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=6)
    chosen = parser.parse_args(arguments)
    problems: list[str] = []
    with ExitStack() as stack:
        words = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-words-"))
        nodes = stack.enter_context(RayNodes(PORT, CPUS_OF_A_NODE, Path(words) / "ray.log"))
        if chosen.kills:
            problems += part_kills(chosen.models, nodes, chosen.kills)
        if chosen.pairs:
            problems += part_scale(nodes, chosen.pairs)
    print("\n".join(["", *problems]) if problems else "\nAll held.")
    return 1 if problems else 0


def part_kills(models: Path, nodes: RayNodes, kills: int) -> list[str]:
    """Parts 1 and 3."""
    with _folder(models, MODEL, "breast_cancer", "risk_scorer") as folder:
        with serving(folder) as (port, _):
            wait_settled(Client(port), 3)
            with np.load(folder / "models" / MODEL / "1/samples.npz") as samples:
                (name,) = samples.files
                rows = samples[name][:QUESTIONS]
            asked = questions(Client(port), MODEL, name, rows)
        flags = ("--executor", "ray", "--ray-address", nodes.address, "--ray-models", MODEL)
        with serving(folder, *flags, "--ray-min-replicas", "2") as (port, _):
            wait_settled(Client(port), 3)
            found = kill_nodes(port, asked, nodes, kills)
            print_kills(found)
            print("\nWhere models run, and why")
            for one in ray_of(Client(port))["deployments"]:
                print(f"  {one['model']:<16} {one['placement']:<6} {one['reason']}")
    return list(found.tally.problems(set()))


def part_scale(nodes: RayNodes, pairs: int) -> list[str]:
    """Part 2."""
    limit = two_at_once()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-")))
        write_heavy(folder / "models")
        with serving(folder) as (port, _):
            wait_settled(Client(port), 1)
            asked = questions(Client(port), HEAVY, "x", _rows())
        servers, ports = [], []
        for replicas in (1, 2):
            own = folder / str(replicas)
            shutil.copytree(folder / "models", own / "models")
            shutil.copytree(folder / "state" / "plans", own / "state" / "plans")
            flags = ["--executor", "ray", "--ray-address", nodes.address, "--audit-interval-s", "0"]
            flags += ["--ray-min-replicas", str(replicas), "--ray-max-replicas", str(replicas)]
            flags += ["--ray-replica-cpus", "0.5", "--profile-hz", "0"]
            port, process_id = stack.enter_context(serving(own, *flags))
            ports.append(port)
            servers.append(process_id)
            client = Client(port)
            wait_for(partial(_has, client, HEAVY, replicas), "replicas")
        placed = deployment(ray_of(client), HEAVY)
        run_ms = placed["run_us"]["1"] / 1000
        print(f"\n{HEAVY}: {placed['placement']}: {placed['reason']}")
        one, two = compare((ports[0], ports[1]), servers, asked, pairs)
    ratio = print_comparison(one, two, run_ms, limit)
    problems = [problem for w in (*one, *two) for problem in w.problems]
    if run_ms < LEAST_MS:
        problems.append(f"{run_ms:.1f} ms a row is not heavy: at least {LEAST_MS:g}")
    if ratio < WANTED:
        problems.append(f"2 replicas do {ratio:.2f}x of one's work, not {WANTED}x")
    return problems


if __name__ == "__main__":
    sys.exit(main())
