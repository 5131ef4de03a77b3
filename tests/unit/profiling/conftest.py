"""Tools of others that read what is exported. In CI a tool that is missing is a failure."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")  # a slow machine is no wrong answer

SPEEDSCOPE = "1.25.0"
SPEEDSCOPE_SHA512 = (
    "7297fd1d64d97f58a32d7049ae4f3b55eff9e2d9d8c7aae57f48144e1be7de8a"
    "24ea1eb784b5d539088c7f8e0f4fe5e8579d3770f7ef7e24f980fe6fa23a7a02"
)
FLAMEGRAPH = Path("/usr/share/perl5/Devel/NYTProf/flamegraph.pl")


def missing(tool: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI opens the exports with {tool}: it is missing")
    pytest.skip(f"not opened with {tool}: it is missing")


@pytest.fixture(scope="session")
def speedscope_folder(pytestconfig: pytest.Config) -> Path:
    """The npm package of speedscope, unpacked: its site, and the schema of its files."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("speedscope")
    archive = folder / f"speedscope-{SPEEDSCOPE}.tgz"
    if not archive.exists():
        npm = shutil.which("npm") or missing("npm")
        command = [npm, "pack", "--silent", f"speedscope@{SPEEDSCOPE}"]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if told.returncode:
            missing(f"speedscope {SPEEDSCOPE} (npm: {told.stderr.strip()[-300:]})")
    assert hashlib.sha512(archive.read_bytes()).hexdigest() == SPEEDSCOPE_SHA512
    site = folder / "package" / "dist" / "release"
    if not site.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return site


@pytest.fixture(scope="session")
def go() -> str:
    return shutil.which("go") or missing("go (apt-get install golang-go)")


@pytest.fixture(scope="session")
def flamegraph() -> list[str]:
    """The command of Brendan Gregg's flamegraph.pl, which Debian ships with NYTProf."""
    script = shutil.which("flamegraph.pl") or (FLAMEGRAPH.exists() and str(FLAMEGRAPH))
    return ["perl", script or missing("flamegraph.pl (apt-get install libdevel-nytprof-perl)")]
