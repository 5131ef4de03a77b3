"""`pyrometer bench gate`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from bench.gate.baseline import write_baseline
from bench.gate.cases import BY_NAME
from bench.gate.gate import gated
from bench.gate.plan import ROOT, Plan
from bench.gate.report import markdown, table
from bench.gate.stored import baseline_of, write_run
from engine.errors import ConfigurationError, InvalidInput, PyrometerError
from engine.files import write_atomically

DEFAULTS = Plan()


def add_gate_command(commands: Any) -> None:
    """Add `gate` to the subparsers of `bench`."""
    command: argparse.ArgumentParser = commands.add_parser(
        "gate",
        help="is this tree slower than its baseline",
        description="Compares CPU time per request with a baseline's, both run in turn. Exit "
        "status: 0 passed, 1 slower than the threshold allows, 2 could not be judged.",
    )
    command.add_argument("--baseline", type=Path, help="a file that --save wrote")
    command.add_argument(
        "--against",
        metavar="COMMIT",
        help="a commit in place of a baseline's file (default without either: the last commit "
        "where the tree has changes, else where the branch left main, on main the one before)",
    )
    command.add_argument("--save", type=Path, help="write what was measured as a baseline")
    command.add_argument("--name", default="", help="the baseline's, or the run's")
    command.add_argument("--summary", type=Path, help="write Markdown for a pull request")
    command.add_argument(
        "--cases", default="", help=f"comma-separated (default: all: {', '.join(BY_NAME)})"
    )
    _add_number(command, "threshold", "slow-down that may not be passed, %%")
    _add_number(command, "instrumentation-threshold", "cost of telemetry and profiler, %%")
    _add_number(command, "minutes", "for all of it")
    command.add_argument("--seed", type=int, default=DEFAULTS.seed, help="of the order of windows")
    command.add_argument(
        "--force", action="store_true", help="compare figures of another machine or libraries"
    )
    command.add_argument("--models", type=Path, default=DEFAULTS.models, help="bundled models")
    command.add_argument("--tree", type=Path, default=ROOT, help="the work tree that is judged")
    command.add_argument(
        "--state", type=Path, default=DEFAULTS.state, help="its folder runs keeps the run"
    )


def _add_number(command: argparse.ArgumentParser, name: str, text: str) -> None:
    default = getattr(DEFAULTS, name.replace("-", "_"))
    command.add_argument(
        f"--{name}", type=float, default=default, help=f"{text} (default: {default:g})"
    )


def run_gate(arguments: argparse.Namespace) -> int:
    """Measure, print, keep. Returns the exit status."""
    try:
        return _run(arguments)
    except (ConfigurationError, InvalidInput, PyrometerError) as error:
        print(f"pyrometer bench gate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pyrometer bench gate: stopped; nothing is kept", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    for place in (arguments.save, arguments.summary):
        if place is not None and not place.absolute().parent.is_dir():
            raise InvalidInput(f"{str(place)!r}: there is no such folder")
    if arguments.baseline is not None and arguments.against is not None:
        raise InvalidInput("baseline and against are both given; one of them says with what")
    against = arguments.against
    if arguments.baseline is None and against is None and arguments.save is None:
        against = "auto"
    plan = Plan(
        tree=arguments.tree.resolve(),
        models=arguments.models.resolve(),
        state=arguments.state.resolve(),
        baseline=arguments.baseline,
        against=against,
        threshold=arguments.threshold,
        instrumentation_threshold=arguments.instrumentation_threshold,
        minutes=arguments.minutes,
        cases=arguments.cases,
        name=arguments.name,
        force=arguments.force,
        seed=arguments.seed,
    )
    found = gated(plan, _again(arguments, against))
    outcome, revision = found.outcome, found.revision
    print(table(outcome), flush=True)
    spec = {name: _text(value) for name, value in vars(arguments).items() if name != "run"}
    kept = write_run(arguments.state / "runs", outcome, spec, revision.commit)
    print(f"kept: {kept}")
    if arguments.summary is not None:
        _write(arguments.summary, markdown(outcome))
    if arguments.save is not None:
        name = arguments.name or str(revision)
        write_baseline(arguments.save, baseline_of(outcome, name, revision, found.payload))
        print(f"baseline {name!r}: {arguments.save}")
    return outcome.status


def _again(arguments: argparse.Namespace, against: str | None) -> str:
    """The command that repeats this, without the files it writes."""
    words = ["pyrometer", "bench", "gate"]
    if arguments.baseline is not None:
        words += ["--baseline", str(arguments.baseline)]
    elif against not in (None, "auto"):
        words += ["--against", str(against)]
    for name in ("threshold", "minutes", "cases", "seed"):
        value = getattr(arguments, name)
        if value != getattr(DEFAULTS, name):
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value if not callable(value) else None


def _write(path: Path, content: str) -> None:
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        raise PyrometerError(f"{path} cannot be written: {error.strerror}") from None
