"""The HTTP server: granian's WSGI worker inside this process.

granian's own command starts a supervisor and a worker process; Pyrometer is one process,
so the worker is driven directly. The classes used are granian's, pinned to one version;
tests/integration/test_server.py fails should a new version change them.

    scope -> Front.handle -> Response -> bytes
                  \\-> None -> the console's Flask, or 503 until it is built
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from granian._futures import _new_cbscheduler
from granian._granian import WorkerSignal, WSGIWorker
from granian.constants import HTTPModes
from granian.http import HTTP1Settings
from granian.net import SocketSpec
from granian.wsgi import _callback_wrapper

from app.exchange import Response, error_response
from app.front import Front
from app.signals import STOP_SIGNALS

log = logging.getLogger(__name__)

WSGIApp = Callable[..., Any]
BACKLOG = 1024
MAX_CONNECTIONS = 1024
IO_THREADS = 1
DRAIN_S = 30.0


class Server:
    """Serves a front, and a console once it is there."""

    def __init__(self, front: Front, host: str, port: int, threads: int) -> None:
        self.front = front
        self._door_is_flask = front.engine.settings.http_door == "flask"
        self._console: Callable[[Any, Any], Any] | None = None
        self.host, self.port = host, port or _free_port(host)
        self._signal = WorkerSignal()
        self._stopped = threading.Event()
        self._signal.add_cb(self._stopped.set)
        # granian ships type stubs of an older signature than its own server calls.
        make_worker: Any = WSGIWorker
        self._worker = make_worker(
            1,
            (SocketSpec(host, self.port, BACKLOG), None),
            None,
            IO_THREADS,
            threads + 8,
            threads,
            30,
            MAX_CONNECTIONS,
            HTTPModes.http1,
            HTTP1Settings(header_read_timeout=10_000),
            None,
            None,
            *(False, None, None, None, "tls1.3", None, [], False),
            (None, None),
        )

    def mount(self, console: WSGIApp) -> None:
        """Put the finished console in place; until then its URLs answer 503."""
        self._console = _callback_wrapper(console, {})

    def _serve_one(self, proto: Any, scope: dict[str, Any]) -> int:
        if self._door_is_flask and self._console is not None:
            response = self.front.guard(scope)
        else:
            response = self.front.handle(scope)
        if response is None:
            if self._console is not None:
                self._console(proto, scope)
                return 200
            response = _not_yet()
        body = b"" if scope["REQUEST_METHOD"] == "HEAD" else response.body
        proto.response_bytes(response.status, response.headers, body)
        return response.status

    def start(self) -> None:
        """Listen, from now on; returns at once. Raises OSError when the port is taken."""
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.host, self.port))
        # The scheduler wants an event loop it never runs for WSGI.
        scheduler = _new_cbscheduler(asyncio.new_event_loop(), self._serve_one, impl_asyncio=True)
        self._worker.serve_mtr(scheduler, None, self._signal)

    def wait(self) -> None:
        """Block until a held signal comes, then until the requests under way have finished."""
        signal.sigwait(STOP_SIGNALS)
        self.stop()

    def stop(self) -> None:
        """Finish the requests under way and stop listening."""
        self._signal.set()
        self._stopped.wait(DRAIN_S)


def _not_yet() -> Response:
    return error_response(503, "the console is still starting", ("retry-after", "1"))


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
