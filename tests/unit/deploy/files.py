"""The files of deploy/ as data, and the tools that judge them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent
Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """Every document of a YAML file."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def kubernetes() -> list[tuple[str, Document]]:
    """Every manifest with its name, the example of a secret among them."""
    paths = sorted((DEPLOY / "kubernetes").iterdir())
    return [(f"{path.name}:{found['kind']}", found) for path in paths for found in documents(path)]


def manifest(kind: str, name: str = "pyrometer") -> Document:
    """The one manifest of a kind and a name."""
    (found,) = (
        found
        for _, found in kubernetes()
        if found["kind"] == kind and found["metadata"]["name"] == name
    )
    return found


def compose() -> Document:
    (found,) = documents(DEPLOY / "compose.yaml")
    return found


def runtime() -> Document:
    """KServe's."""
    (found,) = documents(DEPLOY / "kserve/serving-runtime.yaml")
    return found


def pods() -> Iterator[tuple[str, Document]]:
    """Specs of every kind of pod that the files describe."""
    for name, found in kubernetes():
        if found["kind"] == "Deployment":
            yield name, found["spec"]["template"]["spec"]
    spec = runtime()["spec"]
    yield "kserve", {key: spec[key] for key in ("containers", "volumes")}


def tool(name: str) -> str:
    """The path of a program; where it is missing, the test is skipped, but not in CI."""
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def passes(*command: str) -> None:
    """Fails with what the program said, unless it ends with 0."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
