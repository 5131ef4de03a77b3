"""`python -m bench.lab` and `pyrometer bench` as processes, against a real Pyrometer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.lab.store import RunStore
from tests.conftest import ROOT, RunningServer, free_port
from tests.integration.lab_targets import foreign


def child(spec: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    """The child process of the contract."""
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    command = [sys.executable, "-m", "bench.lab", "--spec", str(path)]
    command += ["--store", str(folder / "runs"), "--progress", "json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def bench(*words: str, state: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", "bench", *words, "--state", str(state)]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_child_tells_each_second_and_stores_its_run(
    server: RunningServer, tmp_path: Path
) -> None:
    spec = {"url": server.url, "model": "risk_scorer", "loop": "open", "rate_per_s": 100}
    process = child(spec | {"seconds": 2, "warmup_s": 1, "connections": 8}, tmp_path)
    said, _ = process.communicate(timeout=60)
    *lines, result = [json.loads(line) for line in said.splitlines()]
    assert process.returncode == 0
    assert [line["type"] for line in lines] == ["progress"] * len(lines)
    phases = [line["phase"] for line in lines]
    assert phases == ["warmup"] + ["run"] * (len(phases) - 1)
    assert len(phases) >= 2
    assert lines[-1]["requested_per_s"] > 0
    assert result["type"] == "result"
    run = RunStore(tmp_path / "runs").read(result["id"])
    assert Path(result["path"]).exists()
    assert run["requests"] == 200
    assert run["errors"] == 0
    assert run["kind"] == "load"
    assert run["machine"]["cpus"] >= 1
    assert run["versions"]["pyrometer"]
    assert 0 < run["server_ms"]["p50"] <= run["latency_ms"]["p50"]
    assert "made from them" in run["payload"]


def test_a_signal_ends_the_child_and_what_was_measured_is_stored(tmp_path: Path) -> None:
    with foreign() as target:
        process = child({"url": target.url, "model": "m", "seconds": 60}, tmp_path)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    result = json.loads(said.splitlines()[-1])
    assert process.returncode == 0
    run = RunStore(tmp_path / "runs").read(result["id"])
    assert run["cancelled"]
    assert run["requests"] > 0


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"model": ""}, 2, "model is empty"),
        ({"connections": 0}, 2, "connections is"),
        ({}, 1, "no server answers"),
    ],
)
def test_the_child_says_what_is_wrong(
    tmp_path: Path, change: dict[str, Any], status: int, words: str
) -> None:
    spec = {"url": f"http://127.0.0.1:{free_port()}", "model": "m"} | change
    process = child(spec, tmp_path)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == status
    line = json.loads(said)
    assert line["type"] == "error"
    assert words in line["error"]
    assert RunStore(tmp_path / "runs").list() == []


def test_the_command_prints_a_table_and_keeps_the_run(
    server: RunningServer, tmp_path: Path
) -> None:
    words = ("--url", server.url, "--model", "risk_scorer", "--seconds", "1")
    done = bench("run", *words, "--name", "mine", state=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Valid: " in done.stdout
    (summary,) = RunStore(tmp_path / "runs").list()
    assert summary["name"] == "mine"
    assert summary["id"] in bench("list", state=tmp_path).stdout
    shown = bench("show", summary["id"], state=tmp_path).stdout
    assert shown == done.stdout
    as_json = json.loads(bench("show", summary["id"], "--json", state=tmp_path).stdout)
    assert as_json["requests"] == summary["requests"]


def test_a_missed_slo_is_status_one(server: RunningServer, tmp_path: Path) -> None:
    words = ("--url", server.url, "--model", "risk_scorer", "--seconds", "0.5")
    done = bench("run", *words, "--slo-p99-ms", "0.001", "--json", state=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["valid"]


def test_a_bad_argument_is_status_two_and_named(tmp_path: Path) -> None:
    done = bench("run", "--model", "m", "--connections", "0", state=tmp_path)
    assert done.returncode == 2
    assert "connections is '0'" in done.stderr


def test_fifty_callers_are_served_without_errors_well_over_twenty_a_second(
    server: RunningServer, tmp_path: Path
) -> None:
    words = ("--url", server.url, "--product-test", "--seconds", "5", "--json")
    done = bench("run", *words, state=tmp_path)
    run = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert run["spec"]["connections"] == 50
    assert run["errors"] < run["requests"] / 100
    assert run["achieved_per_s"] > 40


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_may_do_the_sending(server: RunningServer, tmp_path: Path) -> None:
    words = ("--url", server.url, "--model", "risk_scorer", "--seconds", "1", "--json")
    done = bench("run", *words, "--generator", "wrk", state=tmp_path)
    run = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert run["generator"]["name"] == "wrk"
    assert run["errors"] == 0
    assert run["requests"] > 100
    assert run["achieved_per_s"] == pytest.approx(run["requests"], rel=0.2)
    assert 0 < run["latency_ms"]["p50"] <= run["latency_ms"]["p99"] <= run["latency_ms"]["max"]


def test_serving_starts_without_the_lab(tmp_path: Path) -> None:
    script = (
        "import sys; from app.cli import build_parser; build_parser();"
        "print([m for m in ('numpy', 'scipy', 'uvloop', 'tqdm', 'psutil') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
