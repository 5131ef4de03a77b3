"""A repository that changes under a running server: swaps, broken versions, load and unload."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call, tensor
from tests.waiting import until

ROW = [[1.0, 2.0, 3.0]]
INFER = "/v2/models/m/infer"


def write_version(models: Path, version: int, answer: int | None) -> None:
    """A version whose every answer is `answer`, or a broken one; moved in whole."""
    scratch = models / "m" / f".{version}"
    scratch.mkdir(parents=True)
    if answer is None:
        (scratch / "model.skops").write_bytes(b"this is no model")
    else:
        rows = np.random.default_rng(version).normal(size=(20, 3))
        labels = np.array([answer, -1])[np.arange(20) % 2]
        model = LogisticRegression().fit(rows, labels)
        model.coef_[:], model.intercept_[:] = 0.0, 50.0 if model.classes_[1] == answer else -50.0
        skops.io.dump(model, scratch / "model.skops")
    scratch.rename(models / "m" / str(version))


@pytest.fixture
def changing(start_server: StartServer, tmp_path: Path) -> tuple[RunningServer, Path]:
    models = tmp_path / "models"
    write_version(models, 1, 1001)
    server = start_server(models, tmp_path / "state", "--reload-interval-s", "0.1")
    return server, models


def serving(server: RunningServer) -> tuple[str, int]:
    """Version and answer of one request, which must succeed and agree with each other."""
    status, _, body = call(server.port, "POST", INFER, {"inputs": [tensor(ROW)]})
    assert status == 200, body
    version, answer = body["model_version"], body["outputs"][0]["data"][0]
    assert answer == 1000 + int(version), "an answer of another version"
    return version, answer


def until_serving(server: RunningServer, version: str) -> None:
    until(lambda: serving(server)[0] == version, 60, f"version {version} serves")


def once_loaded(server: RunningServer, version: str) -> dict[str, str]:
    """A version's line of the index, once its load has ended either way."""
    line: dict[str, str] = {}

    def ended() -> bool:
        index = call(server.port, "POST", "/v2/repository/index", {})[2]
        line.update(next(item for item in index if item["version"] == version))
        return line["state"] == "READY" or bool(line["reason"])

    until(ended, 60, f"the load of version {version} has ended")
    return line


def test_versions_swap_under_load_without_a_failed_request(
    changing: tuple[RunningServer, Path],
) -> None:
    server, models = changing
    stop, failures, seen = threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            try:
                seen.add(serving(server)[0])
            except AssertionError as error:
                failures.append(str(error))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    write_version(models, 2, 1002)
    until_serving(server, "2")
    write_version(models, 3, None)
    write_version(models, 4, 1004)
    until_serving(server, "4")
    broken = once_loaded(server, "3")
    stop.set()
    for asker in askers:
        asker.join(10)
    assert failures == []
    assert seen == {"1", "2", "4"}
    assert broken["state"] == "UNAVAILABLE"
    assert broken["reason"]


def test_load_waits_for_a_version_that_was_just_added(
    changing: tuple[RunningServer, Path],
) -> None:
    server, models = changing
    write_version(models, 2, 1002)
    status, _, body = call(server.port, "POST", "/v2/repository/models/m/load")
    assert (status, body["version"]) == (200, "2")
    assert serving(server) == ("2", 1002)


def test_unload_drops_and_load_brings_back(changing: tuple[RunningServer, Path]) -> None:
    server, _ = changing
    assert call(server.port, "POST", "/v2/repository/models/m/unload")[0] == 200
    assert call(server.port, "GET", "/v2/models/m/ready")[0] == 503
    assert call(server.port, "POST", INFER, {"inputs": [tensor(ROW)]})[0] == 503
    assert call(server.port, "POST", "/v2/repository/index", {"ready": True})[2] == []
    assert call(server.port, "POST", "/v2/repository/models/m/load")[0] == 200
    assert serving(server) == ("1", 1001)
    assert call(server.port, "POST", "/v2/repository/models/nobody/load")[0] == 404


def test_flushing_the_models_makes_the_next_request_cold(
    changing: tuple[RunningServer, Path],
) -> None:
    server, _ = changing
    body = call(server.port, "POST", "/performance/cache/clear", {"tier": "models"})[2]
    assert body["items"] == 1
    _, headers, _ = call(server.port, "POST", INFER, {"inputs": [tensor(ROW)]})
    assert headers["x-cold-start"] == "true"


def test_a_model_that_is_dropped_in_serves_and_one_that_is_removed_is_404(
    changing: tuple[RunningServer, Path],
) -> None:
    server, models = changing
    shutil.copytree(models / "m", models / ".n")
    (models / ".n").rename(models / "n")
    body = json.dumps({"inputs": [tensor(ROW)]}).encode()

    def status() -> int:
        return call(server.port, "POST", "/v2/models/n/infer", body)[0]

    until(lambda: status() == 200, 60, "the new model serves")
    shutil.rmtree(models / "n")
    until(lambda: status() == 404, 60, "the removed model is unknown")
