"""The gate as a command: real servers of two trees, run in turn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gate.prepare import prepared, share_plans
from bench.gate.proof import write_work
from bench.gate.sender import FIGURES
from bench.gate.server import Side
from bench.gate.slowed import slow_down

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def state(bundled_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that has the plans already: gates here have little time."""
    folder = tmp_path_factory.mktemp("gate")
    kept = prepared(bundled_models, folder / "state")
    share_plans([Side("baseline", ROOT, folder / "side")], kept)
    return folder / "state"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as the one commit of a repository."""
    folder = tmp_path_factory.mktemp("trees") / "same"
    write_work(ROOT, folder)
    return folder


def gate(state: Path, models: Path, tree: Path, *flags: str) -> tuple[int, str, list[Path]]:
    """Exit status, what was said, and the runs kept by now."""
    command = [sys.executable, "-m", "bench.gate", "--tree", str(tree), "--state", str(state)]
    done = subprocess.run(
        [*command, "--models", str(models), *flags], cwd=ROOT, capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    return done.returncode, said, sorted((state / "runs").glob("*.json"))


def test_a_gate_of_a_tree_with_itself_measures_and_keeps_all(
    state: Path, bundled_models: Path, tree: Path, tmp_path: Path
) -> None:
    """What it finds is the machine's business; that every part has figures is the gate's."""
    saved, summary = tmp_path / "baseline.json", tmp_path / "summary.md"
    status, said, runs = gate(
        state,
        bundled_models,
        tree,
        *("--cases", "forest-one,cached,binary,instrumentation", "--minutes", "0.4"),
        *("--save", str(saved), "--summary", str(summary), "--threshold", "1000"),
        *("--instrumentation-threshold", "1000", "--name", "mine"),
    )
    assert status in (0, 2), said  # 2: the machine was too busy for enough blocks
    run = json.loads(runs[-1].read_text())
    assert (run["kind"], run["name"]) == ("gate", "mine")
    for case in run["gate"]["cases"]:
        assert case["requests"] > 0
        assert all(case["after"][figure] > 0 for figure in FIGURES)
        change = case["changes_percent"]["cpu_us"]
        assert change["low"] <= change["percent"] <= change["high"]
        assert case["answers_differing"] == 0
    assert summary.read_text().startswith("### Regression gate: passes")
    assert json.loads(saved.read_text())["clean"] is True

    _stored_figures(state, bundled_models, tree, saved)


def _stored_figures(state: Path, models: Path, tree: Path, saved: Path) -> None:
    """The same baseline where its commit is not in git, and then where it is of elsewhere."""
    known = json.loads(saved.read_text())
    saved.write_text(json.dumps(known | {"commit": "0" * 40}))
    flags = ("--baseline", str(saved), "--cases", "cached", "--threshold", "1000")
    status, said, _ = gate(state, models, tree, *flags, "--minutes", "0.3")
    assert status in (0, 2), said
    assert "the weaker form" in said
    saved.write_text(json.dumps(known | {"commit": None, "versions": {"numpy": "0.1"}}))
    status, said, _ = gate(state, models, tree, *flags)
    assert status == 2
    assert "versions.numpy: 0.1 then" in said


def test_a_tree_twice_as_slow_fails_the_gate(
    state: Path, bundled_models: Path, tree: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    shutil.copytree(tree, slow)
    slow_down(slow, {"breast_cancer": 5000})
    flags = ("--against", "HEAD", "--cases", "forest", "--minutes", "0.5")
    status, said, runs = gate(state, bundled_models, slow, *flags)
    assert status == 1, said
    (case,) = json.loads(runs[-1].read_text())["gate"]["cases"]
    assert case["changes_percent"]["cpu_us"]["percent"] > 50
    assert "Fails: forest slower than the threshold allows" in said


def test_bad_arguments_are_named(state: Path, bundled_models: Path, tree: Path) -> None:
    for flags, words in (
        (("--cases", "all"), "cases has 'all'"),
        (("--baseline", "none.json"), "baseline is 'none.json': No such file"),
        (("--against", "nothing"), "against is 'nothing'"),
        (("--minutes", "-1"), "minutes is -1"),
        (("--summary", "/no/where.md"), "there is no such folder"),
    ):
        status, said, _ = gate(state, bundled_models, tree, *flags)
        assert (status, words in said) == (2, True), said
