"""`pyrometer report`: the optimisation report of a server, or of a state folder's stored runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import urlencode

import orjson

from app.client import ask, check_url
from app.report_flags import KINDS
from engine.errors import ConfigurationError, PyrometerError

TIMEOUT_S = 60.0
DEFAULT_URL = "http://127.0.0.1:8050"


def run_report(arguments: argparse.Namespace) -> int:
    """Write the report. Raises PyrometerError for what the user can mend."""
    shape = _shape(arguments)
    if arguments.state is not None:
        if any(value is not None for value in (arguments.window, arguments.from_s, arguments.to_s)):
            raise ConfigurationError("--window, --from and --to need a server: --url, not --state")
        content = _of_state(arguments.state, shape)
    else:
        content = _of_server(arguments, shape)
    if arguments.out is None:
        sys.stdout.buffer.write(content)
        return 0
    try:
        arguments.out.write_bytes(content)
    except OSError as error:
        raise PyrometerError(f"{arguments.out} cannot be written: {error.strerror}") from None
    print(f"{arguments.out}: {len(content):,} bytes", flush=True)
    return 0


def _shape(arguments: argparse.Namespace) -> str:
    """The format: as given, or as the file's ending says."""
    ending = arguments.out.suffix.lstrip(".") if arguments.out is not None else "html"
    if arguments.format is None and ending not in KINDS:
        raise ConfigurationError(
            f"out is {str(arguments.out)!r}; it must end in {', '.join(KINDS)}, or give --format"
        )
    shape = arguments.format or ending
    if shape in ("pdf", "png") and arguments.out is None:
        raise ConfigurationError(f"{shape} needs a file: --out report.{shape}")
    return str(shape)


def _of_state(state: Path, shape: str) -> bytes:
    if not state.is_dir():
        raise ConfigurationError(f"state is {str(state)!r}: there is no such folder")
    # Not at start: whoever serves needs none of it.
    from app.api.pictures import Failed, Missing, render
    from app.api.reports import job_of, rendered
    from app.reports.gather import report_of_runs

    report = report_of_runs(state)
    if shape == "json":
        return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    if shape in ("html", "md"):
        return rendered(report, shape)
    try:
        return render(job_of(report, shape))
    except (Missing, Failed, TimeoutError) as error:
        raise PyrometerError(str(error)) from None


def _of_server(arguments: argparse.Namespace, shape: str) -> bytes:
    base = check_url(arguments.url or DEFAULT_URL)
    asked = {"format": shape, "window": arguments.window}
    asked |= {"from": arguments.from_s, "to": arguments.to_s}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return ask(base, f"/performance/reports/optimization?{query}", TIMEOUT_S)
