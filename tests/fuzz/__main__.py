"""The long form of the fuzzing: rounds of new inputs until the time is over.

    python -m tests.fuzz --minutes 5

What crashes is left in tests/fuzz/corpus, where the short form replays it. The exit status is 1
after the first round that found something.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time

from tests.conftest import ROOT

EXAMPLES = 1000
TESTS = 8
"""Properties with inputs of their own in each round."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    args = parser.parse_args()
    end, rounds = time.monotonic() + 60 * args.minutes, 0
    while time.monotonic() < end:
        seed = args.seed + rounds
        command = [sys.executable, "-m", "pytest", "tests/fuzz", "-q", "-p", "no:cacheprovider"]
        command += ["--timeout", "1200", "--hypothesis-seed", str(seed)]
        environ = os.environ | {"FUZZ_EXAMPLES": str(EXAMPLES)}
        done = subprocess.run(command, cwd=ROOT, env=environ, check=False)
        if done.returncode:
            print(f"round {rounds + 1} found something; it is --seed {seed}")
            return 1
        rounds += 1
        print(
            f"{rounds} rounds, about {rounds * TESTS * EXAMPLES:,} inputs, nothing found",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
