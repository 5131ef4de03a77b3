"""Reading answers, and the CPU clock of another process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bench.gate.cpu_clock import cpu_ns
from bench.gate.sender import Sender, answer_of, body_in, header_in
from engine.errors import PyrometerError

ANSWER = b"HTTP/1.1 200 OK\r\nx-backend: onnx\r\nx-cache-hit: true\r\ncontent-length: 4\r\n\r\nabcd"
BURN = """
import sys, threading, time

def burn():
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass

threads = [threading.Thread(target=burn) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(time.process_time_ns(), time.thread_time_ns(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def test_an_answer_in_pieces_is_read_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    sent = threading.Thread(target=lambda: [theirs.sendall(ANSWER[:-2]), theirs.sendall(b"cd")])
    sent.start()
    assert answer_of(ours) == ANSWER
    sent.join()


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", b"", ANSWER[:-2]],
    ids=["status", "nothing", "half"],
)
def test_any_other_answer_is_an_error(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(said)
    theirs.close()
    with pytest.raises(PyrometerError, match="a server"):
        answer_of(ours)


def test_an_answer_is_taken_apart() -> None:
    assert body_in(ANSWER) == b"abcd"
    assert header_in(ANSWER, "x-backend") == "onnx"
    assert header_in(ANSWER, "x-other") == ""


@pytest.fixture
def burner() -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A process whose threads have ended; its count of all its CPU time, and of one thread's."""
    process = subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    whole_ns, thread_ns = map(int, process.stdout.readline().split())
    yield process, whole_ns, thread_ns
    process.communicate()


def test_the_clock_counts_all_threads_those_that_ended_too(
    burner: tuple[subprocess.Popen[bytes], int, int],
) -> None:
    process, whole_ns, thread_ns = burner
    assert thread_ns < whole_ns - 350_000_000
    assert whole_ns <= cpu_ns(process.pid) < whole_ns + 20_000_000


def test_a_process_that_has_ended_has_no_clock() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(PyrometerError, match="has ended"):
        cpu_ns(process.pid)


@pytest.fixture
def echo() -> Iterator[tuple[int, list[int]]]:
    """A server of ANSWER for each 3 bytes; its port, and the connection of each request."""
    order: list[int] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(number: int, one: socket.socket) -> None:
        with one:
            while one.recv(3):
                order.append(number)
                one.sendall(ANSWER)

    def accept() -> None:
        for number in range(4):
            one, _ = listening.accept()
            threading.Thread(target=serve, args=(number, one), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1], order
    listening.close()


def test_a_window_asks_in_whole_turns_and_counts_hits(echo: tuple[int, list[int]]) -> None:
    port, order = echo
    sender = Sender(os.getpid(), port, 4)
    window = sender.window([b"abc"], 10, 0)
    sender.close()
    assert (sender.sent, sender.hits) == (12, 12)
    assert [sorted(order[place : place + 4]) for place in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert window.cpu_us > 0
    assert window.p50_ms <= window.p99_ms
