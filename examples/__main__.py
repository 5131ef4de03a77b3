"""`python -m examples --models DIR`: train the bundled models that are missing."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from examples.build import build


def main() -> None:
    parser = argparse.ArgumentParser(prog="examples", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.add_argument("--force", action="store_true", help="train all anew")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    build(arguments.models, arguments.force)


if __name__ == "__main__":
    main()
