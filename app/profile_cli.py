"""`pyrometer profile`: capture a profile of a running server into a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

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
        "profile", help="capture a profile of a running server into a file"
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
    if urlsplit(arguments.url).scheme not in ("http", "https"):
        raise ConfigurationError(
            f"url is {arguments.url!r}; it must begin with http:// or https://"
        )
    if not arguments.output.parent.is_dir():
        raise ConfigurationError(f"output is {str(arguments.output)!r}: there is no such folder")
    base = arguments.url.rstrip("/")
    asked = {"seconds": arguments.seconds, "hz": arguments.hz}
    capture = json.loads(_ask(f"{base}/performance/profile", asked))
    samples = _await(base, capture["id"], arguments.seconds)
    query = {"view": "code", "capture": capture["id"], "format": ENDINGS[ending]}
    query |= {"measure": arguments.measure}
    query |= {name: getattr(arguments, name) for name in ("model", "route", "thread")}
    content = _ask(f"{base}/performance/flame-graph?{urlencode(query)}")
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
            listed = json.loads(_ask(f"{base}/performance/profile"))["captures"]
            found = next((one for one in listed if one["id"] == capture_id), None)
            if found is None:
                raise PyrometerError(f"capture {capture_id} is gone from the server")
            bar.update(100 * found["progress"] - bar.n)
            if found["progress"] >= 1:
                return int(found["samples"])
            time.sleep(ASK_EVERY_S)
    raise PyrometerError(f"capture {capture_id} did not end in time")


def _ask(url: str, body: dict[str, Any] | None = None) -> bytes:
    """A GET, or a POST of JSON. Raises PyrometerError in the server's own words."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read())["error"]
        except (ValueError, KeyError, TypeError):
            said = f"HTTP {error.code}"
        raise PyrometerError(f"{urlsplit(url).path}: {said}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        print(f"no server answers at {url.split('/performance')[0]}", file=sys.stderr)
        raise PyrometerError(str(error)) from None
