"""Models on a real Ray cluster of a head and two worker nodes: same answers, whatever ends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.faults.callers import FRESH, Tally, crowd
from bench.faults.repository import Question
from bench.ray_nodes import RayNodes
from tests.conftest import RunningServer, StartServer, free_port
from tests.contract.http import call
from tests.integration.test_parity_over_http import MODELS, rows_of
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)
ROWS = 120
RECOVERY_S = 60.0
WIDE = 40_000
LIGHT = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1.0, 2.0]}]}
NO_CACHE = {"Cache-Control": "no-cache"}
FLAGS = ("--executor", "ray", "--audit-interval-s", "0", "--ray-replica-cpus", "0.1")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    words = tmp_path_factory.mktemp("ray") / "words"
    with RayNodes(free_port(), 1.0, words) as cluster:
        yield cluster


def raw(port: int, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body, as they are, of a POST."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, content, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ray_of(server: RunningServer) -> dict[str, Any]:
    """The server's own figures of Ray."""
    _, _, system = call(server.port, "GET", "/performance/system")
    figures: dict[str, Any] = system["ray"]
    return figures


def states(server: RunningServer) -> dict[str, str]:
    """State of every deployment, by model, of those that are on Ray."""
    return {d["model"]: d["state"] for d in ray_of(server)["deployments"] if d["replicas"]}


def sent(server: RunningServer) -> int:
    return int(ray_of(server)["sent"])


def body_of(name: str, rows: np.ndarray) -> dict[str, Any]:
    datatype = "BYTES" if rows.dtype == object else "FP64"
    data = rows.ravel().tolist()
    return {
        "inputs": [{"name": name, "datatype": datatype, "shape": list(rows.shape), "data": data}]
    }


class Exact(Question):
    """A question whose answer is to be the very same numbers."""

    def is_answered_by(self, data: list[Any]) -> bool:
        return bool(data == self.right.tolist())


def write_line(models: Path, version: int) -> None:
    """y = (1 + version) * x0 + 3 * x1: whole numbers have exact answers in every form."""
    import skops.io
    from sklearn.linear_model import LinearRegression

    folder = models / "line" / f".{version}"
    folder.mkdir(parents=True)
    line = LinearRegression().fit(np.eye(2), np.ones(2))
    line.coef_, line.intercept_ = np.array([1.0 + version, 3.0]), np.float64(0.0)
    skops.io.dump(line, folder / "model.skops")
    folder.rename(models / "line" / str(version))


def question(number: int) -> Question:
    """A row for `line` and version 1's answer to it; the second version's where x0 is 0."""
    x0, x1 = float(number % 7), float(number % 1000)
    body = json.dumps(body_of("input", np.array([[x0, x1]]))).encode()
    return Exact("/v2/models/line/infer", body, np.array([2 * x0 + 3 * x1]))


def of_any_version(number: int) -> Question:
    """A row that all versions answer alike."""
    return question(7 * number)


def test_every_bundled_model_answers_the_very_same_on_replicas(
    start_server: StartServer,
    server: RunningServer,
    bundled_models: Path,
    shared_state: Path,
    nodes: RayNodes,
) -> None:
    flags = (*FLAGS, "--ray-address", nodes.address, "--ray-models", "*", "--ray-max-replicas", "1")
    on_ray = start_server(bundled_models, shared_state, *flags)
    call(on_ray.port, "POST", "/performance/warmup", {"models": list(MODELS)})
    until(lambda: len(states(on_ray)) == len(MODELS), 90, "all models are on Ray")
    for model in MODELS:
        name, rows = rows_of(bundled_models / model)
        path, before = f"/v2/models/{model}/infer", sent(on_ray)
        for first, last in [*((row, row + 1) for row in range(5)), (5, ROWS)]:
            body = json.dumps(body_of(name, rows[first:last])).encode()
            ours, theirs = (raw(one.port, path, body, NO_CACHE) for one in (server, on_ray))
            assert ours[0] == theirs[0] == 200
            assert ours[1] == theirs[1], f"{model}: other bytes"
        assert sent(on_ray) - before == 6, f"{model} was not answered by its replica"
    _check_binary(server, on_ray, bundled_models)
    _check_refusals(server, on_ray, bundled_models)
    deployments = ray_of(on_ray)["deployments"]
    assert all(d["reason"] == "ray_models says ray" for d in deployments)
    assert all(d["trip_us"]["1"] > 0 and d["run_us"]["1"] > 0 for d in deployments)
    on_ray.stop()


def _check_binary(server: RunningServer, on_ray: RunningServer, models: Path) -> None:
    """Binary tensors in and out."""
    name, rows = rows_of(models / "digits")
    content = np.ascontiguousarray(rows[:50]).tobytes()
    head = {
        "inputs": [
            {
                "name": name,
                "datatype": "FP64",
                "shape": list(rows[:50].shape),
                "parameters": {"binary_data_size": len(content)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(head).encode()
    headers = {**NO_CACHE, "Inference-Header-Content-Length": str(len(text))}
    path = "/v2/models/digits/infer"
    ours, theirs = (raw(s.port, path, text + content, headers) for s in (server, on_ray))
    assert ours == theirs
    assert ours[0] == 200


def _check_refusals(server: RunningServer, on_ray: RunningServer, models: Path) -> None:
    """What a model refuses, it refuses in the same words."""
    name, rows = rows_of(models / "fraud_detector")
    body = body_of(name, rows[:1])
    body["inputs"][0]["data"][0] = None
    path = "/v2/models/fraud_detector/infer"
    ours, theirs = (call(s.port, "POST", path, body, NO_CACHE) for s in (server, on_ray))
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, to be changed: one that a test puts on Ray, one that the rule keeps here."""
    folder = tmp_path_factory.mktemp("ray-models") / "models"
    write_line(folder, 1)
    (folder / "line/model.toml").write_text('executor = "ray"\n')
    write_line(folder, 2)
    (folder / "line/2").rename(folder / "light.1")
    (folder / "light").mkdir()
    (folder / "light.1").rename(folder / "light/1")
    return folder


@pytest.fixture(scope="module")
def on_two(
    start_server: StartServer,
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    nodes: RayNodes,
) -> RunningServer:
    """A server with `line` on two replicas, and what else there is where it pays."""
    flags = (*FLAGS, "--ray-address", nodes.address, "--ray-min-replicas", "2")
    state = tmp_path_factory.mktemp("ray-state")
    running = start_server(repository, state, *flags, "--reload-interval-s", "0.2")
    until(lambda: states(running).get("line") == "healthy", 90, "it is on Ray")
    return running


def write_wide(models: Path) -> None:
    """y = 2 * x of WIDE columns, an ONNX graph; its answers are as large as its rows."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", WIDE]) for n in "xy")
    two = numpy_helper.from_array(np.array(2.0, dtype=np.float32), "two")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["y"])], "wide", [x], [y], [two]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    version = models / "wide" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(made.SerializeToString())
    np.savez(version / "samples.npz", x=np.ones((4, WIDE), dtype=np.float32))
    (models / "wide/model.toml").write_text('executor = "ray"\n')
    assert onnx.checker.check_model(made) is None


def test_rows_and_answers_of_many_megabytes_go_to_replicas(
    start_server: StartServer, tmp_path: Path, nodes: RayNodes
) -> None:
    write_wide(tmp_path / "models")
    flags = (*FLAGS, "--ray-address", nodes.address, "--ray-max-replicas", "1")
    running = start_server(tmp_path / "models", tmp_path / "state", *flags)
    until(lambda: states(running).get("wide") == "healthy", 90, "it is on Ray")
    rows = np.arange(50 * WIDE, dtype=np.float32).reshape(50, WIDE)
    assert rows.nbytes > 4 * 1024 * 1024
    binary = {"binary_data_size": rows.nbytes}
    tensor = {"name": "x", "datatype": "FP32", "shape": list(rows.shape), "parameters": binary}
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head, before = json.dumps(asked).encode(), ray_of(running)
    headers = {**NO_CACHE, "Inference-Header-Content-Length": str(len(head))}
    for _ in range(3):
        status, content = raw(running.port, "/v2/models/wide/infer", head + rows.tobytes(), headers)
        assert status == 200
        assert content.endswith((2 * rows).tobytes())
    after = ray_of(running)
    assert after["sent"] - before["sent"] == 3
    assert (after["retries"], after["fallbacks"]) == (before["retries"], before["fallbacks"])
    running.stop()


def test_the_rule_keeps_a_light_model_here_and_says_why(on_two: RunningServer) -> None:
    until(lambda: len(ray_of(on_two)["deployments"]) == 2, 30, "both are placed")
    placed = {d["model"]: d for d in ray_of(on_two)["deployments"]}
    assert placed["light"]["placement"] == "local"
    assert "quick, below inline_us 1,000 us" in placed["light"]["reason"]
    assert placed["light"]["trip_us"]["1"] > 10 * placed["light"]["run_us"]["1"]
    _, _, plan = call(on_two.port, "GET", "/performance/models/line/plan")
    assert plan["placement"]["where"] == "ray"
    assert plan["placement"]["reason"] == "model.toml says ray"


def test_a_node_that_dies_under_load_costs_no_request(
    on_two: RunningServer, nodes: RayNodes
) -> None:
    tally = Tally()
    with crowd(on_two.port, 4, lambda n, step: question(31 * n + step), tally, FRESH) as callers:
        until(lambda: callers.right > 50, 20, "callers are answered")
        killed = nodes.ids[0]
        nodes.tell("kill 0")
        before = sent(on_two)
        until(lambda: sent(on_two) > before + 100, RECOVERY_S, "replicas answer")
        until(lambda: killed not in _alive(on_two), RECOVERY_S, "the node is seen as dead")
        nodes.tell("add")
        until(lambda: _replicas(on_two) == 2, RECOVERY_S, "two replicas again")
    assert tally.problems(set()) == ()
    assert tally.wrong == tally.lost == 0


def _alive(server: RunningServer) -> set[str]:
    return {node["id"] for node in ray_of(server)["nodes"] if node["alive"]}


def _replicas(server: RunningServer) -> int:
    """Replicas of line that run, on nodes that are alive."""
    figures, alive = ray_of(server), _alive(server)
    found = [d for d in figures["deployments"] if d["model"] == "line"][-1]
    return sum(r["state"] == "RUNNING" and r["node"] in alive for r in found["replicas"])


def test_a_drained_replica_is_replaced_and_costs_no_request(
    on_two: RunningServer,
) -> None:
    tally = Tally()
    with crowd(on_two.port, 2, lambda n, step: of_any_version(31 * n + step), tally, FRESH):
        (found,) = [d for d in ray_of(on_two)["deployments"] if d["model"] == "line"]
        gone, fallbacks = found["replicas"][0]["id"], ray_of(on_two)["fallbacks"]
        status, _, answer = call(on_two.port, "POST", "/performance/fleet/drain", {"id": gone})
        assert status == 200, answer
        until(lambda: _replicas(on_two) == 2 and gone not in _ids(on_two), RECOVERY_S, "replaced")
    assert tally.problems(set()) == ()
    assert ray_of(on_two)["fallbacks"] == fallbacks, "the other replica could have answered"


def _ids(server: RunningServer) -> set[str]:
    found = [d for d in ray_of(server)["deployments"] if d["model"] == "line"][-1]
    return {replica["id"] for replica in found["replicas"]}


def test_a_new_version_takes_over_before_the_old_one_goes(
    on_two: RunningServer, repository: Path
) -> None:
    before = _ids(on_two)
    tally = Tally()
    with crowd(on_two.port, 2, lambda n, step: of_any_version(31 * n + step), tally, FRESH):
        write_line(repository, 2)
        until(
            lambda: _version(on_two) == "2" and _replicas(on_two) == 2, 120, "version 2 is on Ray"
        )
        until(lambda: not before & _ids(on_two), 30, "the old replicas are gone")
    assert tally.problems(set()) == ()


def _version(server: RunningServer) -> str:
    placed = [d for d in ray_of(server)["deployments"] if d["model"] == "line"]
    return str(placed[-1]["version"]) if placed and placed[-1]["state"] == "healthy" else ""


def test_a_drained_node_is_left_by_its_replicas_without_a_failed_request(
    on_two: RunningServer, nodes: RayNodes
) -> None:
    tally, leaves = Tally(), nodes.ids[0]
    with crowd(on_two.port, 2, lambda n, step: of_any_version(31 * n + step), tally, FRESH):
        status, _, answer = call(on_two.port, "POST", "/performance/fleet/drain", {"id": leaves})
        assert status == 200, answer
        until(lambda: leaves not in _where(on_two) and _replicas(on_two) == 2, 90, "they moved")
    assert tally.problems(set()) == ()


def _where(server: RunningServer) -> set[str]:
    """Nodes of line's replicas."""
    found = [d for d in ray_of(server)["deployments"] if d["model"] == "line"][-1]
    return {replica["node"] for replica in found["replicas"]}


def test_without_ray_models_answer_here_and_go_back_by_themselves(
    on_two: RunningServer, nodes: RayNodes
) -> None:
    tally = Tally()
    with crowd(
        on_two.port, 2, lambda n, step: of_any_version(31 * n + step), tally, FRESH
    ) as callers:
        until(lambda: callers.right > 20, 20, "callers are answered")
        nodes.tell("stop")
        until(lambda: ray_of(on_two)["state"] == "away", 40, "it is noticed")
        assert ray_of(on_two)["problem"]
        right = callers.right
        until(lambda: callers.right > right + 20, 20, "the server answers itself")
        nodes.tell("start")
        until(lambda: _replicas(on_two) == 2, 90, "replicas are there again")
        before = sent(on_two)
        until(lambda: sent(on_two) > before + 20, 20, "replicas answer again")
    assert tally.problems(set()) == ()


def test_a_bad_address_leaves_everything_here(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    flags = ("--executor", "ray", "--ray-address", f"127.0.0.1:{free_port()}")
    running = start_server(repository, tmp_path, *flags)
    until(lambda: ray_of(running)["state"] == "away", 20, "it is noticed")
    figures = ray_of(running)
    assert figures["problem"].startswith("no Ray at 127.0.0.1:")
    assert figures["bridge_starts"] == 0
    status, _, answer = call(running.port, "POST", "/v2/models/light/infer", LIGHT)
    assert (status, answer["outputs"][0]["data"]) == (200, [9.0])
    running.stop()
