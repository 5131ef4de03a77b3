"""`pyrometer bench`: load, ramps, soaks, recordings and stored runs.

Light to import: what sends and counts is imported by the command that needs it. Exit 0; 1 for an
invalid run, a missed SLO, a red soak or an error; 2 for a bad argument.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError, InvalidInput

URL = "http://127.0.0.1:8050"
PRODUCT_TEST: Mapping[str, Any] = {
    "name": "product test: 50 callers",
    "loop": "closed",
    "connections": 50,
    "slo": {"error_percent": 0.99, "least_per_s": 40.0},
}
"""50 concurrent callers, errors below 1 %, at twice 20 requests/s at the very least."""
SOAK_PER_S, SOAK_CONNECTIONS = 150.0, 16

# flag, where in the spec, type, help
FLAGS: tuple[tuple[str, str, Any, str], ...] = (
    ("--url", "url", str, f"the server, with its base path if any (default: {URL})"),
    ("--model", "model", str, "the model's name (default: the first that is ready)"),
    ("--version", "version", str, "its version (default: the one that serves)"),
    ("--name", "name", str, "what to call the run"),
    ("--connections", "connections", int, "kept connections (default: 50)"),
    ("--warmup", "warmup_s", float, "seconds at first that are not counted (default: 0)"),
    ("--timeout", "timeout_s", float, "longest wait for an answer, s (default: 10)"),
    ("--arrivals", "arrivals", str, "constant or poisson (default: constant)"),
    ("--payload", "payload.source", str, "samples, file or traffic (default: samples)"),
    ("--path", "payload.path", str, "the file of --payload file or traffic"),
    ("--rows", "payload.rows", int, "different bodies, at most (default: 500)"),
    ("--slo-p99-ms", "slo.p99_ms", float, "the p99 to keep, ms"),
    ("--slo-error-percent", "slo.error_percent", float, "the share of errors to keep, %%"),
    ("--slo-least-per-s", "slo.least_per_s", float, "the rate to reach, requests/s"),
    ("--seed", "seed", int, "of arrivals and made rows (default: 0)"),
)
RUN_FLAGS = (
    ("--rate", "rate_per_s", float, "requests/s: makes it an open loop"),
    ("--seconds", "seconds", float, "how long (default: 30)"),
    ("--speed", "payload.speed", float, "replay traffic at its own times, so many times faster"),
    ("--generator", "generator", str, "lab or wrk, closed loop only (default: lab)"),
)
RAMP_FLAGS = (
    ("--from", "ramp.from_per_s", float, "the first rate, requests/s (default: 100)"),
    ("--to", "ramp.to_per_s", float, "the last rate, requests/s (default: 1000)"),
    ("--steps", "ramp.steps", int, "steps of the rise (default: 10)"),
    ("--step-seconds", "ramp.step_s", float, "how long each is held (default: 5)"),
)


def add_bench_commands(commands: Any, *, whole: bool = True) -> None:
    """Add `bench` to the command line's subparsers; what is below it where `whole`.

    The gate's flags import numpy, which `pyrometer serve` has no time for.
    """
    bench = commands.add_parser("bench", help="load tests, ramps, soaks, recordings, the gate")
    if not whole:
        return
    below = bench.add_subparsers(dest="bench", required=True)
    run = below.add_parser("run", help="one run: open loop with --rate, else closed")
    _add_flags(run, FLAGS + RUN_FLAGS)
    run.add_argument(
        "--product-test", action="store_true", help="50 callers, errors below 1 %%, over 40/s"
    )
    ramp = below.add_parser("ramp", help="the highest rate within an SLO")
    _add_flags(ramp, FLAGS + RAMP_FLAGS)
    for command in (run, ramp):
        command.add_argument("--spec", type=Path, help="a JSON file of the same fields")
        command.add_argument("--cache", action="store_true", help="allow cached answers")
    soak = below.add_parser("soak", help="hours of mixed load: does anything grow?")
    soak.add_argument("--hours", type=float, default=1.0, help="(default: 1)")
    soak.add_argument("--rate", type=float, default=SOAK_PER_S, help="requests/s (default: 150)")
    soak.add_argument("--connections", type=int, default=SOAK_CONNECTIONS, help="(default: 16)")
    soak.add_argument("--name", default="soak", help="what to call the run")
    for command in (run, ramp, soak):
        command.add_argument(
            "--serve", type=Path, metavar="MODELS", help="start a fresh server over this folder"
        )
    record = below.add_parser("record", help="record traffic through a proxy, redacted")
    record.add_argument("--listen", type=int, required=True, help="port of this machine; 0: free")
    record.add_argument("--to", required=True, metavar="URL", help="the server")
    record.add_argument("--out", type=Path, required=True, help="the file")
    record.add_argument("--keep-texts", action="store_true", help="do not replace texts")
    record.add_argument(
        "--jitter", type=float, default=0.0, help="move numbers by up to so many %%"
    )
    listed = below.add_parser("list", help="stored runs, newest first")
    show = below.add_parser("show", help="one stored run")
    show.add_argument("id")
    for command in (run, ramp, soak, listed, show):
        command.add_argument("--state", help="where runs are kept, below /runs (the server's)")
        command.add_argument("--json", action="store_true", help="print the stored run")
    from bench.gate.cli import add_gate_command

    add_gate_command(below)


def _add_flags(command: argparse.ArgumentParser, flags: Any) -> None:
    for flag, place, kind, text in flags:
        command.add_argument(flag, dest=place, type=kind, help=text)


def run_bench(arguments: argparse.Namespace) -> int:
    """Run what was asked for; the exit status."""
    if arguments.bench == "gate":
        from bench.gate.cli import run_gate

        return run_gate(arguments)
    from bench.lab.commands import COMMANDS

    try:
        return COMMANDS[arguments.bench](arguments)
    except InvalidInput as error:
        raise ConfigurationError(str(error)) from None


def spec_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """The spec's JSON form: the --spec file, the product test, then flags, stronger in turn."""
    values: dict[str, Any] = {}
    if arguments.spec is not None:
        try:
            values = json.loads(arguments.spec.read_bytes())
        except (OSError, ValueError) as error:
            raise InvalidInput(f"spec: {arguments.spec} cannot be read: {error}") from None
        if not isinstance(values, dict):
            raise InvalidInput(f"spec: {arguments.spec} holds no object")
    if getattr(arguments, "product_test", False):
        values |= PRODUCT_TEST
    flags = FLAGS + (RUN_FLAGS if arguments.bench == "run" else RAMP_FLAGS)
    for _, place, _, _ in flags:
        given = getattr(arguments, place)
        if given is not None:
            _put(values, place, given)
    if arguments.cache:
        _put(values, "payload.cache", True)
    if arguments.bench == "ramp":
        values["loop"] = "open"
        values.setdefault("ramp", {})
    elif values.get("rate_per_s") is not None or (values.get("payload") or {}).get("speed"):
        values.setdefault("loop", "open")
    return values


def _put(values: dict[str, Any], place: str, given: Any) -> None:
    part, _, name = place.rpartition(".")
    held = dict(values.get(part) or {}) if part else values
    held[name] = given
    if part:
        values[part] = held
