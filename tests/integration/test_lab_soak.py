"""One minute of the soak: errors, memory, files and threads of a fresh server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.timeout(400)
def test_a_minute_of_mixed_load_leaves_nothing_behind(bundled_models: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "bench", "soak", "--hours", str(1 / 60)]
    command += ["--serve", str(bundled_models), "--state", str(tmp_path), "--json"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=380, check=False
    )
    assert done.stdout, done.stderr
    run = json.loads(done.stdout)
    soak = run["soak"]
    assert soak["green"], soak["because"]
    assert done.returncode == 0
    assert run["kind"] == "soak"
    assert run["errors"] == 0
    assert soak["expected_errors"] == run["statuses"]["400"] > 0
    assert run["requests"] > 1000
    assert len(soak["points"]) > 40
