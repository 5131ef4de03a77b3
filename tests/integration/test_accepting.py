"""A server goes on taking clients whatever has become of its handle on the listening socket."""

from __future__ import annotations

import ctypes
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.accepting import waiting_at
from app.exchange import Request, Response
from app.front import Front
from app.http1 import Connection
from app.server import Server
from engine.config import Settings
from engine.engine import Engine
from tests.contract.http import call
from tests.waiting import until

LIVE = "/v2/health/live"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """A whole server in this process, without a model."""
    (tmp_path / "models").mkdir()
    engine = Engine(Settings(models=tmp_path / "models", state=tmp_path / "state", port=0))
    server = Server(Front(engine))
    interval_s = sys.getswitchinterval()
    server.start()
    engine.start()
    yield server
    engine.close()
    server.close()
    sys.setswitchinterval(interval_s)


def answers(port: int) -> bool:
    try:
        return call(port, "GET", LIVE)[0] == 200
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many wait")
def test_who_waits_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert waiting_at(listening) == 0
        clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
        until(lambda: waiting_at(listening) == 3, 5, "three wait")
        listening.accept()[0].close()
        assert waiting_at(listening) == 2
        for client in clients:
            client.close()
    assert waiting_at(listening) == 0, "a closed one"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many wait")
def test_a_handle_that_is_dead_is_replaced(served: Server) -> None:
    until(lambda: answers(served.port), 10, "the first answer")
    dead = threading.Event()
    acceptor, loop = served._acceptor, served._loop

    def kill() -> None:
        acceptor._handle.close()
        loop.call_soon(dead.set)

    loop.call_soon_threadsafe(kill)
    assert dead.wait(10)
    waiting = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    waiting.sendall(f"GET {LIVE} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert waiting.recv(1024).startswith(b"HTTP/1.1 200"), "who had waited is answered"
    waiting.close()
    assert answers(served.port)


def test_a_loop_that_was_ended_takes_clients_again(served: Server) -> None:
    for _ in range(5):
        until(lambda: answers(served.port), 10, "an answer")
        deaths = served._thread.deaths
        (thread,) = [t for t in threading.enumerate() if t is served._thread._thread]
        ident = ctypes.c_ulong(thread.ident or 0)

        def ended(ident: ctypes.c_ulong = ident, deaths: int = deaths) -> bool:
            error = ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)
            answers(served.port)
            return served._thread.deaths > deaths

        until(ended, 60, "the loop's end")
    until(lambda: answers(served.port), 10, "an answer")


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed it; raises TimeoutError where it neither closes nor answers."""
    try:
        return client.recv(1000) == b""
    except ConnectionResetError:
        return True


def end_loop(served: Server) -> None:
    """End the loop, from within, as an exception in one of its callbacks does."""
    deaths = served._thread.deaths

    def end() -> None:
        raise SystemExit("told to")

    served._loop.call_soon_threadsafe(end)
    until(lambda: served._thread.deaths > deaths, 10, "the loop's end")


def test_what_the_loop_had_in_hand_is_closed_and_what_others_have_is_answered(
    served: Server,
) -> None:
    until(lambda: answers(served.port), 10, "an answer")
    usual, held = served._listener.serve, dict[bytes, Connection]()

    def serve(request: Request, connection: Connection) -> None:
        if request.target == LIVE.encode():
            usual(request, connection)
            return
        held[request.target] = connection
        if request.target == b"/elsewhere":
            connection.leaves_loop()

    served._listener.serve = serve
    with (
        socket.create_connection(("127.0.0.1", served.port), timeout=10) as lost,
        socket.create_connection(("127.0.0.1", served.port), timeout=10) as elsewhere,
    ):
        lost.sendall(b"GET /lost HTTP/1.1\r\nhost: x\r\n\r\n")
        elsewhere.sendall(b"GET /elsewhere HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda: len(held) == 2, 5, "both are served")
        end_loop(served)
        assert is_closed(lost)
        there = held[b"/elsewhere"]
        there.come_back(lambda: there.answer(Response(200, b"{}", [])))
        assert elsewhere.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert answers(served.port)


def test_after_the_end_nobody_is_left_in_the_queue(served: Server) -> None:
    until(lambda: answers(served.port), 10, "an answer")
    served.drain()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port), timeout=5)
