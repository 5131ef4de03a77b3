r"""The HTTP server: an event loop in a thread of this process, and the console beside it.

    socket -> uvloop -> Connection -> Front.serve -> answer
                                        \-> not an API path -> a console thread -> Flask

One thread parses, answers what takes microseconds and hands on the rest: no request waits
for another's body, model or figure.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading

import uvloop

from app.accepting import Acceptor
from app.access.tls import tls_of
from app.encoding import accepts_gzip
from app.exchange import Request, Response, error_response
from app.front import Front
from app.http1 import Connection
from app.kept import KeptAnswers
from app.listener import ConnectionCounts, Limits, Listener
from app.outside import SocketWatch
from app.signals import STOP_SIGNALS, release_signals
from app.wsgi import WSGIApp, call_wsgi
from engine.errors import Overloaded
from engine.executors.pool import WorkerPool
from engine.supervised import Supervised

log = logging.getLogger(__name__)

DRAIN_S = 30.0
SWEEP_S = 1.0
ON_ITS_WAY_S = 0.1
"""At the end, idle connections are closed after so long: a request may be on its way on one."""
CONSOLE_THREADS = 2
CONSOLE_QUEUE = 64
SWITCH_INTERVAL_S = 0.0005
"""How soon a thread that computes in Python gives way to the loop; CPython's default is ten
times that."""


class Server:
    """Serves a front, and a console once it is there."""

    def __init__(self, front: Front) -> None:
        settings = front.engine.settings
        self.front = front
        self.host, self.port = settings.host, settings.port
        self._through_flask = settings.http_door == "flask"
        self._console: WSGIApp | None = None
        self._kept = KeptAnswers()
        self._console_pool = WorkerPool("console", CONSOLE_THREADS, CONSOLE_QUEUE)
        self._loop = uvloop.new_event_loop()
        limits = Limits(
            settings.max_connections,
            settings.max_body_bytes,
            settings.keep_alive_s,
            settings.read_timeout_s,
            settings.spin_us / 1e6,
            settings.send_timeout_s,
        )
        self._prefix = settings.path_prefix.encode()
        serve = self._serve_below if self._prefix else self._serve
        self._listener = Listener(serve, limits, self._loop)
        front.connections = self._listener.counts
        ticker = front.engine.ticker
        self._sockets = SocketWatch(self._listener, lambda: ticker.served_per_s > 0)
        tls = tls_of(settings)
        secured = {"ssl": tls, "ssl_handshake_timeout": limits.read_timeout_s} if tls else {}
        counts = self._listener.counts
        self._acceptor = Acceptor(
            self._loop, self._listener.connect, lambda: counts.accepted + counts.refused, secured
        )
        self._sweeps: asyncio.TimerHandle | None = None
        self._thread = Supervised("loop", self._run)

    def mount(self, console: WSGIApp) -> None:
        """Put the finished console in place; until then its URLs answer 503."""
        self._console = console

    @property
    def counts(self) -> ConnectionCounts:
        return self._listener.counts

    def start(self) -> None:
        """Listen, from now on; returns at once. Raises OSError when the port is taken."""
        self.port = self._acceptor.open(self.host, self.port)
        self.front.engine.listening = (self.host, self.port)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        self._watch_itself()

    def _watch_itself(self) -> None:
        """Life signs and gauges of the server for its engine's monitoring."""
        engine = self.front.engine
        monitoring = engine.monitoring
        monitoring.watched.append(self._threads)
        monitoring.gauges.append(self._gauges)
        if engine.settings.telemetry:
            self._sockets.start()

    def _threads(self) -> list[Supervised]:
        pools = self.front.pool.threads + self._console_pool.threads
        return [self._thread, self._sockets.thread, *pools]

    def _gauges(self) -> dict[str, float | None]:
        ticker = self.front.engine.ticker
        return {
            "threads_busy": float(self.front.pool.busy),
            "connections": float(self.counts.open),
            "outside_ms": self._sockets.wait_ms(
                ticker.requests_per_s, ticker.own_ms, ticker.served_per_s
            ),
        }

    def _run(self) -> None:
        """The loop's work; begun again after whatever has ended it, with what it had open."""
        asyncio.set_event_loop(self._loop)
        if self._sweeps is not None:
            self._sweeps.cancel()
            self.front.begin_again()
            self._listener.begin_again()
        self._loop.run_until_complete(self._acceptor.renew())
        self._sweep()
        self._loop.run_forever()

    def _sweep(self) -> None:
        self._sweeps = self._loop.call_later(SWEEP_S, self._sweep)
        self._listener.sweep()
        self._acceptor.look()
        self.front.sweep()

    def _serve_below(self, request: Request, connection: Connection) -> None:
        """Paths with the prefix that browsers use, or without it where a proxy took it away."""
        if request.target.startswith(self._prefix):
            rest = request.target[len(self._prefix) :]
            if rest.startswith(b"/"):
                request.target = rest
            elif rest[:1] in (b"", b"?"):
                there = (self._prefix + b"/" + rest).decode("latin-1")
                connection.answer(Response(308, b"", [("location", there)]))
                return
        self._serve(request, connection)

    def _serve(self, request: Request, connection: Connection) -> None:
        if self._through_flask and self._console is not None:
            self._ask_console(self._console, request, connection)
        elif not self.front.serve(request, connection):
            if self._console is None:
                connection.answer(_not_yet())
            else:
                self._ask_console(self._console, request, connection)

    def _ask_console(self, console: WSGIApp, request: Request, connection: Connection) -> None:
        cap = self._listener.limits.max_body_bytes
        if request.body_bytes > cap:
            why = f"body has {request.body_bytes} bytes; the limit is {cap}"
            connection.answer(error_response(413, why))
            return

        packs = accepts_gzip(request.headers)
        kept = self._kept.find(request) if packs else None
        peer = connection.peer
        if kept is not None:
            connection.answer(self._entered(request, peer, kept))
            return

        def answer() -> None:
            response = call_wsgi(console, request, self.host, self.port, peer)
            if packs:
                self.front.compressor.encode(response)
                self._kept.keep(request, response)
            connection.come_back(lambda: connection.answer(response))

        try:
            self._console_pool.submit(answer)
        except Overloaded as error:
            connection.answer(error_response(503, str(error), ("retry-after", "1")))
        else:
            connection.leaves_loop()

    def _entered(self, request: Request, peer: str, kept: Response) -> Response:
        """What is kept, for those who may have it; with Flask as the door nobody asked yet."""
        if not self._through_flask:
            return kept
        exchange, _, refusal = self.front.enter(request, peer)
        return kept if refusal is None else self.front.complete(exchange, refusal)

    def wait(self) -> None:
        """Block until a held signal comes, then until the requests under way have finished.

        Whoever sends another one does not want to wait: it ends the process at once.
        """
        signal.sigwait(STOP_SIGNALS)
        release_signals()
        self.drain()

    def drain(self) -> None:
        """Accept no more, finish what is under way, for at most DRAIN_S."""
        self._sockets.stop()
        self.front.engine.drain()
        drained = threading.Event()
        self._loop.call_soon_threadsafe(self._begin_drain, drained)
        if not drained.wait(DRAIN_S):
            log.warning("requests were still under way after %g s", DRAIN_S)

    def _begin_drain(self, drained: threading.Event) -> None:
        self._acceptor.close()
        self._listener.draining = True
        self._loop.call_later(ON_ITS_WAY_S, self._end_idle, drained)

    def _end_idle(self, drained: threading.Event) -> None:
        self._listener.sweep()
        self._finish_drain(drained)

    def _finish_drain(self, drained: threading.Event) -> None:
        if self._listener.busy():
            self._loop.call_later(0.01, lambda: self._finish_drain(drained))
        else:
            drained.set()

    def close(self) -> None:
        """End the loop and its threads."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self.front.pool.close(wait_s=0.5)
        self._console_pool.close(wait_s=0.5)
        self.front.gate.audit.close()


def _not_yet() -> Response:
    return error_response(503, "the console is still starting", ("retry-after", "1"))
