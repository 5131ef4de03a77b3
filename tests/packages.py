"""Packages of npm that tests need, fetched once; in CI one that is missing is a failure."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NoReturn

import pytest


def missing(tool: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {tool}: it is missing")
    pytest.skip(f"not tested with {tool}: it is missing")


def npm_package(config: pytest.Config, name: str, version: str, sha512: str) -> Path:
    """The unpacked folder of a package, kept in pytest's cache."""
    assert config.cache is not None
    folder = config.cache.mkdir(name)
    archive = folder / f"{name}-{version}.tgz"
    if not archive.exists():
        npm = shutil.which("npm") or missing("npm")
        command = [npm, "pack", "--silent", f"{name}@{version}"]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if told.returncode:
            missing(f"{name} {version} (npm: {told.stderr.strip()[-300:]})")
    assert hashlib.sha512(archive.read_bytes()).hexdigest() == sha512
    if not (folder / "package").exists():
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return folder / "package"
