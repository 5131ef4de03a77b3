"""The Flask application with its V2 route under one WSGI server: `flask_under SERVER PORT`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from app.flask_app import build_flask
from app.front import Front
from engine.config import Settings
from engine.engine import Engine

THREADS = 8


def application(models: Path, state: Path) -> Any:
    """A ready engine's Flask application."""
    engine = Engine(Settings(models=models, state=state))
    engine.start()
    while engine.unready():
        time.sleep(0.05)
    return build_flask(Front(engine))


def serve(server: str, port: int, flask_app: Any) -> None:
    """Serve until killed, one process, THREADS threads."""
    if server == "waitress":
        from waitress import serve as waitress_serve

        waitress_serve(flask_app, host="127.0.0.1", port=port, threads=THREADS)
    elif server == "cheroot":
        from cheroot.wsgi import Server

        Server(("127.0.0.1", port), flask_app, numthreads=THREADS).start()
    elif server == "gunicorn":
        from gunicorn.app.base import BaseApplication

        class Application(BaseApplication):  # type: ignore[misc]
            def load_config(self) -> None:
                options = {"bind": f"127.0.0.1:{port}", "workers": 1, "worker_class": "gthread"}
                for name, value in (options | {"threads": THREADS, "keepalive": 30}).items():
                    self.cfg.set(name, value)

            def load(self) -> Any:
                return application(*_folders())

        Application().run()
    else:
        raise SystemExit(f"unknown server {server!r}")


def _folders() -> tuple[Path, Path]:
    return Path(sys.argv[3]), Path(sys.argv[4])


if __name__ == "__main__":
    chosen = sys.argv[1]
    # gunicorn forks its worker: threads started before would be missing there.
    app = None if chosen == "gunicorn" else application(*_folders())
    serve(chosen, int(sys.argv[2]), app)
