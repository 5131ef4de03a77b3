"""`python -m bench.lab --spec SPEC.json --store FOLDER --progress json`: one run as a child.

Writes one JSON object a line to stdout: progress at least once a second, then a result or an
error. Exit 0 for a stored run, invalid ones too; 1 for an error; 2 for a bad spec.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.lab.lab import Cancel, run
from bench.lab.spec import spec_from
from bench.lab.store import RunStore
from engine.errors import InvalidInput, PyrometerError


def _say(line: dict[str, Any]) -> None:
    try:
        print(json.dumps(line), flush=True)
    except BrokenPipeError:  # nobody listens any more; the run is still stored
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.lab", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--progress", choices=("json", "none"), default="json")
    given = parser.parse_args()
    tell = _say if given.progress == "json" else (lambda line: None)
    try:
        spec = spec_from(json.loads(given.spec.read_bytes()))
    except (InvalidInput, ValueError, OSError) as error:
        _say({"type": "error", "error": str(error)})
        return 2
    store = RunStore(given.store)
    try:
        run_id = store.write(run(spec, tell, Cancel()))
    except InvalidInput as error:
        _say({"type": "error", "error": str(error)})
        return 2
    except (PyrometerError, OSError) as error:
        _say({"type": "error", "error": str(error)})
        return 1
    _say({"type": "result", "id": run_id, "path": str(store.path_of(run_id))})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
