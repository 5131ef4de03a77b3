"""The flags of `pyrometer report`, and the forms that a report has."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from app.client import KEY_HELP

KINDS = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "pdf": "application/pdf",
    "png": "image/png",
}
"""Content types of a report by format."""


def add_report_command(commands: Any) -> None:
    """Add `report` to the command line's subparsers."""
    command: argparse.ArgumentParser = commands.add_parser(
        "report",
        help="write the optimisation report of a server, or of its stored runs",
        epilog=KEY_HELP,
    )
    source = command.add_mutually_exclusive_group()
    source.add_argument("--url", help="a running server (default: http://127.0.0.1:8050)")
    source.add_argument("--state", type=Path, help="a state folder: its stored runs, no server")
    command.add_argument(
        "--format", choices=tuple(KINDS), help="default: as the file's ending, or html"
    )
    command.add_argument("--out", type=Path, help="the file; default: the standard output")
    command.add_argument("--window", help="how far back, until now, of a server (default: 1h)")
    command.add_argument("--from", dest="from_s", type=float, help="UTC seconds, with --to")
    command.add_argument("--to", dest="to_s", type=float, help="UTC seconds, with --from")
