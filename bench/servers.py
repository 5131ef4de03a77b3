"""Which WSGI server carries the Flask route best: `python -m bench.servers`.

One process and eight threads each, the same engine and rows, caches refused, alternating
windows. The table is in docs/decisions/0002-http-server.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.__main__ import CONNECTIONS, Case, Window, measure, running, table, write_wrk_script


def cases(models: Path, state: Path) -> list[Case]:
    """The Flask route under each server, Pyrometer's own front first."""
    own = [sys.executable, "-m", "app.cli", "serve", "--models", str(models)]
    own += ["--state", str(state), "--port", "{port}"]
    found = [
        Case("granian, own front (no Flask)", own, 8160),
        Case("granian, Flask", [*own, "--http-door", "flask"], 8161),
    ]
    for place, server in enumerate(("cheroot", "waitress", "gunicorn")):
        module = [sys.executable, "-m", "bench.flask_under", server, "{port}"]
        name = "gunicorn gthread, Flask" if server == "gunicorn" else f"{server}, Flask"
        found.append(Case(name, [*module, str(models), str(state)], 8162 + place))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.servers", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with np.load(arguments.models / "breast_cancer/1/samples.npz") as samples:
        rows = samples["input"]
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "rows.lua"
        write_wrk_script(script, np.concatenate([rows, rows * 1.001])[:500])
        chosen = cases(arguments.models, Path(scratch) / "state")
        results: dict[tuple[str, int], list[Window]] = {}
        for _ in range(arguments.windows):
            for case in chosen:
                with running(case):
                    measure(case, 10, script, 1)
                    for connections in CONNECTIONS:
                        window = measure(case, connections, script, arguments.seconds)
                        results.setdefault((case.name, connections), []).append(window)
        print(table(results, [case.name for case in chosen]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
