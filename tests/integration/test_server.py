"""The process as a whole: restart, drain, refusals."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from app.signals import STOP_SIGNALS
from tests.conftest import ROOT, RunningServer, StartServer
from tests.contract.http import call, tensor
from tests.waiting import until


def test_a_warm_restart_answers_without_importing_scikit_learn(
    start_server: StartServer, bundled_models: Path, shared_state: Path, server: RunningServer
) -> None:
    running = start_server(bundled_models, shared_state)
    row = [[1.0] * 30]
    path = "/v2/models/breast_cancer/infer"
    assert call(running.port, "POST", path, {"inputs": [tensor(row)]})[0] == 200
    maps = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "sklearn" not in maps
    assert running.stop() == 0


def test_every_thread_but_the_one_that_takes_them_holds_the_stop_signals(
    server: RunningServer,
) -> None:
    """One that did not would let SIGTERM end the process with requests under way."""
    stop_bits = sum(1 << (number - 1) for number in STOP_SIGNALS)
    # The main thread waits for them, and the kernel shows no mask while it does.
    tasks = [
        task
        for task in Path(f"/proc/{server.process.pid}/task").iterdir()
        if task.name != str(server.process.pid)
    ]
    assert tasks
    for task in tasks:
        fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        assert int(fields["SigBlk"], 16) & stop_bits == stop_bits, fields["Name"]


def test_sigterm_finishes_the_request_under_way(
    start_server: StartServer, bundled_models: Path, tmp_path: Path
) -> None:
    running = start_server(bundled_models, tmp_path / "state", ready=False)
    answers: list[int] = []

    def ask() -> None:
        # The state is empty, so this request waits for a plan to be made.
        body = {"inputs": [tensor([[1.0] * 64])]}
        answers.append(call(running.port, "POST", "/v2/models/digits/infer", body)[0])

    until(lambda: running.answers("/v2/health/live"), 10, "live")
    asker = threading.Thread(target=ask)
    asker.start()
    until(lambda: _state(running, "digits") != "cold", 10, "the request has begun the load")
    assert running.stop() == 0
    asker.join(10)
    assert answers == [200]


def _state(server: RunningServer, name: str) -> str:
    models = call(server.port, "GET", "/performance/models")[2]["models"]
    return next(str(model["state"]) for model in models if model["name"] == name)


def _serve(*flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "serve", *flags],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_reachable_address_is_refused_without_insecure() -> None:
    ended = _serve("--host", "0.0.0.0")
    assert ended.returncode == 2
    assert "--insecure" in ended.stderr


def test_an_unknown_setting_stops_the_start_and_names_its_neighbour() -> None:
    ended = _serve(PYROMETER_PROT="1")
    assert ended.returncode == 2
    assert "PYROMETER_PORT" in ended.stderr


def test_a_taken_port_is_said_plainly(server: RunningServer) -> None:
    ended = _serve("--port", str(server.port))
    assert ended.returncode == 2
    assert str(server.port) in ended.stderr
