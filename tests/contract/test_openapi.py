"""The OpenAPI description: complete, and true to what the routes answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.openapi import BODIES, QUERIES
from app.routes import ROUTES
from tests.conftest import RunningServer, StartServer
from tests.contract.http import call

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)


def test_every_route_is_described(server: RunningServer) -> None:
    status, _, document = call(server.port, "GET", "/openapi.json")
    assert status == 200
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == {(method, path) for method, path, _ in ROUTES}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"], operation["operationId"]


def test_nothing_is_described_that_is_not_there() -> None:
    assert {*BODIES, *QUERIES} <= {path for _, path, _ in ROUTES}


@pytest.fixture(scope="module")
def poked(
    start_server: StartServer, bundled_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A server of its own: what is sent to it may flush and unload."""
    folder = tmp_path_factory.mktemp("poked")
    shutil.copytree(bundled_models / "breast_cancer", folder / "models/breast_cancer")
    return start_server(folder / "models", folder / "state")


def test_schemathesis_finds_nothing_wrong(poked: RunningServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{poked.url}/openapi.json"]
    command += ["--checks", CHECKS, "--max-examples", "10", "--seed", "1", "--no-color"]
    command += ["--phases", "examples,coverage,fuzzing"]
    command += ["--exclude-path", "/performance/picture"]  # a browser for each of its examples
    command += ["--exclude-path", "/performance/reports/measure"]  # servers of its own, for minutes
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
