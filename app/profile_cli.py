"""`pyrometer profile`: capture a profile of a running server into a file."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from app.client import KEY_HELP, ask, check_url
from engine.errors import ConfigurationError, PyrometerError

ENDINGS = {
    ".speedscope.json": "speedscope",
    ".folded": "folded",
    ".txt": "folded",
    ".pb.gz": "pprof",
    ".svg": "svg",
    ".json": "json",
}
MEASURES = ("cpu", "wall", "samples")
ASK_EVERY_S = 0.2
TIMEOUT_S = 30.0


def add_profile_command(commands: Any) -> None:
    """Add `profile` to the command line's subparsers."""
    command: argparse.ArgumentParser = commands.add_parser(
        "profile",
        help="capture a profile of a running server into a file",
        epilog=KEY_HELP,
    )
    command.add_argument("--url", default="http://127.0.0.1:8050", help="the server's address")
    command.add_argument("--seconds", type=float, default=10.0, help="how long (default: 10)")
    command.add_argument("--hz", type=float, default=499.0, help="looks a second (default: 499)")
    command.add_argument("--measure", choices=MEASURES, default="cpu", help="(default: cpu)")
    for name in ("model", "route", "thread"):
        command.add_argument(f"--{name}", default="", help=f"of one {name} only")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help=f"the file; its ending says the format: {', '.join(ENDINGS)}",
    )


def run_profile(arguments: argparse.Namespace) -> int:
    """Capture, wait with a progress bar, write the file. Raises PyrometerError."""
    ending = next((e for e in ENDINGS if arguments.output.name.endswith(e)), None)
    if ending is None:
        raise ConfigurationError(
            f"output is {arguments.output.name!r}; it must end in {', '.join(ENDINGS)}"
        )
    base = check_url(arguments.url)
    if not arguments.output.parent.is_dir():
        raise ConfigurationError(f"output is {str(arguments.output)!r}: there is no such folder")
    asked = {"seconds": arguments.seconds, "hz": arguments.hz}
    capture = json.loads(ask(base, "/performance/profile", TIMEOUT_S, asked))
    samples = _await(base, capture["id"], arguments.seconds)
    query = {"view": "code", "capture": capture["id"], "format": ENDINGS[ending]}
    query |= {"measure": arguments.measure}
    query |= {name: getattr(arguments, name) for name in ("model", "route", "thread")}
    content = ask(base, f"/performance/flame-graph?{urlencode(query)}", TIMEOUT_S)
    try:
        arguments.output.write_bytes(content)
    except OSError as error:
        raise PyrometerError(f"{arguments.output} cannot be written: {error.strerror}") from None
    print(f"{arguments.output}: {samples:,} samples in {arguments.seconds:g} s", flush=True)
    return 0


def _await(base: str, capture_id: str, seconds: float) -> int:
    """Return its samples once a capture is over."""
    from tqdm import tqdm  # not needed to serve

    with tqdm(total=100, desc="capturing", unit="%", bar_format="{desc} {bar} {n:.0f} %") as bar:
        deadline = time.monotonic() + seconds + TIMEOUT_S
        while time.monotonic() < deadline:
            listed = json.loads(ask(base, "/performance/profile", TIMEOUT_S))["captures"]
            found = next((one for one in listed if one["id"] == capture_id), None)
            if found is None:
                raise PyrometerError(f"capture {capture_id} is gone from the server")
            bar.update(100 * found["progress"] - bar.n)
            if found["progress"] >= 1:
                return int(found["samples"])
            time.sleep(ASK_EVERY_S)
    raise PyrometerError(f"capture {capture_id} did not end in time")
