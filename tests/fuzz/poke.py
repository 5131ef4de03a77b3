"""schemathesis over /openapi.json against real servers, until enough cases have run.

    python -m tests.fuzz.poke --cases 20000 --models models

Three servers in turn: one without keys, one that asks for keys with a key of every scope, and
the same one with none. Prints cases, statuses by class, 5xx and violations for each and in all;
the exit status is 1 where there is a 5xx or a violation, or too few cases have run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, RunningServer, free_port

KEY = "poke-" + "k" * 40
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,ignored_auth"
)
VERBS = ",unsupported_method"
"""Without a key a verb that no route has is 401, not 405: what is not named needs every scope."""
COSTLY = ("/performance/picture", "/performance/reports/measure")
"""A browser for each example, and servers of their own for minutes."""
MODELS = ("breast_cancer", "digits")
FIRST_EXAMPLES = 20
MOST_ROUNDS = 12
WORKERS = 2
MOST_SAID = 12_000
"""Characters of schemathesis' own words that are printed where it found something."""


@dataclass(frozen=True)
class Way:
    """How the server is asked. share: of the cases."""

    name: str
    needs_keys: bool
    key: str | None
    share: float


WAYS = (
    Way("no keys asked for", False, None, 0.45),
    Way("keys asked for, one given", True, KEY, 0.45),
    Way("keys asked for, none given", True, None, 0.10),
)


@dataclass
class Found:
    """What one way of asking found. problems: schemathesis' own words."""

    statuses: Counter[str]
    problems: list[str]

    @property
    def cases(self) -> int:
        return sum(self.statuses.values())

    def line(self, name: str) -> str:
        classes: Counter[str] = Counter()
        for status, count in self.statuses.items():
            classes[f"{status[0]}xx"] += count
        told = " ".join(f"{kind} {classes[kind]:>6}" for kind in ("2xx", "3xx", "4xx", "5xx"))
        return f"{name:<28} {self.cases:>6} cases  {told}  violations {len(self.problems)}"


def poke(url: str, way: Way, examples: int, seed: int, folder: Path) -> Found:
    """One run of schemathesis, `examples` for each route at most."""
    counts = folder / "counts.json"
    counts.unlink(missing_ok=True)
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(_description(url, folder))]
    command += ["--url", url]
    checks = CHECKS if way.needs_keys and way.key is None else CHECKS + VERBS
    command += ["--checks", checks, "--max-examples", str(examples), "--seed", str(seed)]
    command += ["--phases", "examples,coverage,fuzzing", "--workers", str(WORKERS)]
    command += ["--continue-on-failure", "--no-color", "--request-timeout", "60"]
    for path in COSTLY:
        command += ["--exclude-path", path]
    if way.key is not None:
        command += ["--header", f"Authorization: Bearer {way.key}"]
    environ = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.fuzz.counting",
        "COUNTS_FILE": str(counts),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    statuses = Counter(json.loads(counts.read_text())) if counts.exists() else Counter[str]()
    problems = re.findall(r"^_{3,} .+ _{3,}$", done.stdout, re.MULTILINE)
    if done.returncode:
        problems = problems or [f"exit status {done.returncode}"]
        (folder / f"said-{way.needs_keys}-{way.key is None}-{seed}.txt").write_text(
            done.stdout + done.stderr
        )
        print(done.stdout[-MOST_SAID:], done.stderr[-MOST_SAID:], sep="\n", flush=True)
    return Found(statuses, problems)


def _description(url: str, folder: Path) -> Path:
    """/openapi.json in a file: without a key, schemathesis could not ask for it."""
    asked = urllib.request.Request(f"{url}/openapi.json", headers={"X-Api-Key": KEY})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        description = folder / "openapi.json"
        description.write_bytes(answer.read())
    return description


def serve(models: Path, state: Path, needs_keys: bool) -> RunningServer:
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--models", str(models), "--state", str(state)]
    command += ["--rate-actions-per-minute", "0", "--rate-login-per-minute", "0"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    if needs_keys:
        environ["PYROMETER_API_KEY"] = KEY
    with (state.parent / "server.log").open("ab") as told:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=told, stderr=told)
    running = RunningServer(process, port)
    running.wait_ready()
    return running


def poke_until(way: Way, cases: int, models: Path, folder: Path) -> Found:
    """Runs with new seeds until so many cases have run. What they change is in a server's own
    copies of models and state."""
    own = Path(tempfile.mkdtemp(dir=folder))
    for name in MODELS:
        shutil.copytree(models / name, own / "models" / name)
    running = serve(own / "models", own / "state", way.needs_keys)
    found, examples = Found(Counter(), []), FIRST_EXAMPLES
    try:
        for seed in range(1, MOST_ROUNDS + 1):
            if found.cases >= cases:
                break
            one = poke(running.url, way, examples, seed, folder)
            found.statuses += one.statuses
            found.problems += one.problems
            lacking = cases - found.cases
            examples = max(10, min(400, round(examples * lacking / max(1, one.cases) * 1.05)))
        if running.process.poll() is not None:
            found.problems.append("the server ended")
    finally:
        running.stop()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--folder", type=Path, default=None, help="kept, with logs, where given")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        whole = Found(Counter(), [])
        for way in WAYS:
            found = poke_until(way, round(args.cases * way.share), args.models.resolve(), folder)
            print(found.line(way.name), flush=True)
            whole.statuses += found.statuses
            whole.problems += found.problems
    print(whole.line("in all"))
    print("by status:", ", ".join(f"{s} {n}" for s, n in sorted(whole.statuses.items())))
    failed = [status for status in whole.statuses if status.startswith("5")]
    return 1 if whole.problems or failed or whole.cases < args.cases else 0


if __name__ == "__main__":
    raise SystemExit(main())
