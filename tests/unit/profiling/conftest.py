"""Tools of others that read what is exported. In CI a tool that is missing is a failure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.packages import missing, npm_package

settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")  # a slow machine is no wrong answer

SPEEDSCOPE = "1.25.0"
SPEEDSCOPE_SHA512 = (
    "7297fd1d64d97f58a32d7049ae4f3b55eff9e2d9d8c7aae57f48144e1be7de8a"
    "24ea1eb784b5d539088c7f8e0f4fe5e8579d3770f7ef7e24f980fe6fa23a7a02"
)
FLAMEGRAPH = Path("/usr/share/perl5/Devel/NYTProf/flamegraph.pl")


@pytest.fixture(scope="session")
def speedscope_folder(pytestconfig: pytest.Config) -> Path:
    """speedscope's site, and the schema of its files."""
    package = npm_package(pytestconfig, "speedscope", SPEEDSCOPE, SPEEDSCOPE_SHA512)
    return package / "dist" / "release"


@pytest.fixture(scope="session")
def go() -> str:
    return shutil.which("go") or missing("go (apt-get install golang-go)")


@pytest.fixture(scope="session")
def flamegraph() -> list[str]:
    """The command of Brendan Gregg's flamegraph.pl, which Debian ships with NYTProf."""
    script = shutil.which("flamegraph.pl") or (FLAMEGRAPH.exists() and str(FLAMEGRAPH))
    return ["perl", script or missing("flamegraph.pl (apt-get install libdevel-nytprof-perl)")]
