"""The models of bench/faults, planned once for all faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faults.repository import Repository
from bench.faults.server import Place


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("faults") / "repository")
    repository.plan()
    return repository


@pytest.fixture
def place(repository: Repository, tmp_path: Path) -> Place:
    return Place(repository, tmp_path)
