"""`python -m bench.gate`: the gate without the rest of `pyrometer`."""

from __future__ import annotations

import argparse

from bench.gate.cli import add_gate_command, run_gate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    add_gate_command(parser.add_subparsers(required=True))
    import sys

    return run_gate(parser.parse_args(["gate", *sys.argv[1:]]))


if __name__ == "__main__":
    raise SystemExit(main())
