"""Every fault, and what became of it: `make faults`.

Prints a line of one table as each fault ends. The exit status is 1 where a promise did not hold.

    python -m bench.faults --only disk --times 3
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tqdm import tqdm

from bench.faults.catalogue import FAULTS
from bench.faults.repository import Repository
from bench.faults.row import HEAD
from bench.faults.server import Place


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.faults", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    parser.add_argument("--times", type=int, help="how often each is tried; default: the long form")
    parser.add_argument("--short", action="store_true", help="as often as the tests do")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.only in fault.name]
    if not chosen:
        parser.error(f"no fault has {given.only!r} in its name")
    held = True
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        Path(folder).chmod(0o755)  # one fault is tried as another user
        repository = Repository(Path(folder) / "repository")
        repository.plan()
        tqdm.write(HEAD)
        for number, fault in enumerate(tqdm(chosen, unit="fault")):
            scratch = Path(folder) / str(number)
            scratch.mkdir()
            times = given.times or (fault.short if given.short else fault.long)
            row = fault.row(Place(repository, scratch), times)
            held = held and not row.broken
            tqdm.write(row.line())
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
