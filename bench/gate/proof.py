"""Does the gate find a slow-down of 8 %, and does it leave alone what has none: `make gateproof`.

A copy of the last commit gets a busy loop for each request (slowed.py), so long that the
whole request takes 8 % more CPU time; a long measurement says how much it is in truth. Then
gates run in turn, as anybody runs them: on the slowed copy, and on an unchanged one (A/A).
Passes where at least nine of ten slowed ones fail, by model, and nine of ten A/A pass.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.gate import trees
from bench.gate.cases import BY_NAME, chosen_cases
from bench.gate.gate import SERVED, gated
from bench.gate.outcome import Outcome
from bench.gate.plan import ROOT, Plan
from bench.gate.samples import CPU
from bench.gate.slowed import slow_down
from engine.errors import PyrometerError

RISE_PERCENT, LEAST_SHARE = 8.0, 0.9
TRIAL_TURNS = 400
SAVE_MINUTES = 2.0
CLOSE_PERCENT, MOST_TRIALS = 0.75, 4
AUTHOR = ("-c", "user.name=proof", "-c", "user.email=proof@localhost", "-c", "commit.gpgsign=false")


@contextmanager
def holding(lock: Path | None) -> Iterator[None]:
    """Have a file's lock meanwhile, so that measurements take turns with those of others."""
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_repository(tree: Path, commit: str, folder: Path) -> None:
    """A git repository of one commit, with the files of a commit of a tree's."""
    trees.write_commit(tree, commit, folder)
    _commit_all(folder)


def write_work(tree: Path, folder: Path) -> None:
    """A git repository of one commit, with a tree's packages as they are now."""
    for name in SERVED:
        shutil.copytree(tree / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    _commit_all(folder)


def _commit_all(folder: Path) -> None:
    for words in (["init", "--quiet"], ["add", "--all"], [*AUTHOR, "commit", "-qm", "unchanged"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)
    exclude = folder / ".git/info/exclude"
    exclude.write_text(exclude.read_text() + "*.kept\n__pycache__\n")


class Proof:
    """The copies, and what is run on them."""

    def __init__(self, given: argparse.Namespace, scratch: Path) -> None:
        self.given, self.scratch = given, scratch
        self.cases = [case.name for case in chosen_cases(given.case)]
        self.same, self.slow = scratch / "same", scratch / "slow"
        write_repository(ROOT, given.commit, self.same)
        shutil.copytree(self.same, self.slow)
        self.baseline = scratch / "baseline.json"

    def measured(self, minutes: float) -> Outcome:
        """The slowed copy against its unchanged commit."""
        plan = Plan(
            tree=self.slow,
            models=self.given.models.resolve(),
            state=self.given.state.resolve(),
            against="HEAD",
            cases=",".join(self.cases),
            minutes=minutes,
        )
        with holding(self.given.lock):
            return gated(plan, "", show=False).outcome

    def calibrated(self) -> Outcome:
        """Find the loop that costs RISE_PERCENT of each case's CPU time; the long measurement."""
        turns = dict.fromkeys((BY_NAME[name].model for name in self.cases), TRIAL_TURNS)
        for trial in range(MOST_TRIALS):
            slow_down(self.slow, turns)
            found = self.measured(self.given.long_minutes if trial else self.given.minutes)
            words = "; ".join(f"{one.case.name} {one.changes[CPU]}" for one in found.cases)
            say(f"busy loops of {turns}: CPU time a request {words}; {load()}")
            risen: dict[str, float] = {}
            for one in found.cases:
                risen.setdefault(one.case.model, one.changes[CPU].percent)
            if trial and all(abs(rise - RISE_PERCENT) < CLOSE_PERCENT for rise in risen.values()):
                return found
            if trial + 1 < MOST_TRIALS:
                turns = {
                    model: round(turns[model] * RISE_PERCENT / max(risen[model], 0.5))
                    for model in turns
                }
        return found

    def run(self, tree: Path, seed: int) -> tuple[int, dict[str, Any], float]:
        """One gate as a command; exit status, stored run, seconds."""
        command = [sys.executable, "-m", "bench.gate", "--baseline", str(self.baseline)]
        command += ["--tree", str(tree), "--cases", ",".join(self.cases), "--seed", str(seed)]
        return self._gate([*command, "--minutes", f"{self.given.minutes:g}"])

    def save(self) -> None:
        command = [sys.executable, "-m", "bench.gate", "--save", str(self.baseline)]
        command += ["--tree", str(self.same), "--cases", ",".join(self.cases), "--name", "proof"]
        self._gate([*command, "--minutes", f"{max(SAVE_MINUTES, self.given.minutes):g}"])

    def _gate(self, command: Sequence[str]) -> tuple[int, dict[str, Any], float]:
        command = [*command, "--models", str(self.given.models.resolve())]
        command += ["--state", str(self.given.state.resolve())]
        with holding(self.given.lock):
            began_s = time.monotonic()
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            took_s = time.monotonic() - began_s
        kept = [line[6:] for line in done.stdout.splitlines() if line.startswith("kept: ")]
        if not kept:
            raise PyrometerError(f"a gate could not judge: {done.stderr.strip()[-500:]}")
        return done.returncode, json.loads(Path(kept[0]).read_bytes())["gate"], took_s


def line_of(what: str, status: int, run: Mapping[str, Any], took_s: float) -> str:
    parts = []
    for case in run["cases"]:
        change, noise = case["changes_percent"][CPU], case["noise_percent"]
        parts.append(
            f"{case['name']} {change['percent']:+.2f} % ({change['low']:+.2f} to "
            f"{change['high']:+.2f}) {case['verdict']}, noise {noise['low']:+.2f} to "
            f"{noise['high']:+.2f}"
        )
    words = {0: "passes", 1: "fails"}.get(status, "no verdict")
    before, after = run["load_average"]
    return f"{what}: {words}; {'; '.join(parts)}; {took_s:.0f} s; load {before:.1f} to {after:.1f}"


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def say(words: str) -> None:
    tqdm.write(words)
    sys.stdout.flush()


def counted(proof: Proof, times: int) -> bool:
    """Run both kinds in turn and count; True where the bounds are kept."""
    found = dict.fromkeys(proof.cases, 0)
    quiet = dict.fromkeys(proof.cases, 0)
    failed = passed = 0
    for number in tqdm(range(1, times + 1), unit="pair", disable=None):
        status, run, took_s = proof.run(proof.slow, number)
        failed += status == 1
        for case in run["cases"]:
            found[case["name"]] += case["fails"]
        say(line_of(f"slowed {number} of {times}", status, run, took_s))
        status, run, took_s = proof.run(proof.same, number)
        passed += status == 0
        for case in run["cases"]:
            quiet[case["name"]] += not case["fails"]
        say(line_of(f"A/A {number} of {times}", status, run, took_s))
    by_case = ", ".join(f"{name} {found[name]}" for name in found)
    say(f"slowed by {RISE_PERCENT:g} %: {failed} of {times} gates fail (by case: {by_case})")
    by_case = ", ".join(f"{name} {quiet[name]}" for name in quiet)
    say(f"A/A: {passed} of {times} gates pass (by case: {by_case})")
    least = min(failed, passed, *found.values(), *quiet.values())
    return least >= LEAST_SHARE * times


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.gate.proof", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="gates of each kind")
    parser.add_argument("--case", default="forest,logistic", help="cases, comma-separated")
    parser.add_argument("--minutes", type=float, default=1.5, help="of one gate")
    parser.add_argument("--long-minutes", type=float, default=3.0, help="to know the true rise")
    parser.add_argument("--commit", default="HEAD", help="of which copies are made")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--state", type=Path, default=Path(".pyrometer"))
    parser.add_argument("--lock", type=Path, help="hold this file's lock during each gate")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateproof-") as scratch:
        proof = Proof(given, Path(scratch))
        proof.save()
        truth = proof.calibrated()
        for one in truth.cases:
            say(
                f"true rise of {one.case.name}: {one.changes[CPU]} of {one.before[CPU]:.1f} us, "
                f"{one.samples.requests:,} requests in {one.blocks} blocks"
            )
        return 0 if counted(proof, given.times) else 1


if __name__ == "__main__":
    raise SystemExit(main())
