"""Which WSGI server carries the Flask route best: `python -m bench.servers`.

One process and eight threads each, the same engine and rows, caches refused, alternating
windows. The table is in docs/decisions/0002-http-server.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.__main__ import Case, compare


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
    text = compare("bench.servers", __doc__, cases)
    if text is None:
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
