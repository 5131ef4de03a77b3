"""The callers of faults find what is wrong, lost and failed: else no table of theirs means much."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.faults.callers import REFUSED, Caller, Tally
from bench.faults.fault import Fault, Seen
from bench.faults.repository import Question
from bench.faults.server import Place
from tests.conftest import free_port

RIGHT = Question("/right", b"{}", np.array([1.5]))


class Answers(http.server.BaseHTTPRequestHandler):
    """By path: the right answer, another one, a refusal, an error, or none."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/none":
            self.close_connection = True
            return
        status = {"/full": 429, "/broken": 500, "/poison": 400}.get(self.path, 200)
        data = [1.5] if self.path == "/right" else [1.6]
        content = json.dumps({"outputs": [{"data": data}]}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def caller() -> Iterator[Caller]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Caller(server.server_address[1])
    server.shutdown()
    server.server_close()


def test_right_wrong_failed_and_lost_are_told_apart(caller: Caller) -> None:
    tally = Tally()
    for path in ("/right", "/wrong", "/full", "/none", "/right"):
        caller.ask(replace(RIGHT, path=path), tally)
    assert (tally.requests, tally.right, tally.wrong, tally.lost) == (5, 2, 1, 1)
    assert dict(tally.failed) == {429: 1}


def test_a_row_that_is_to_be_refused_and_is_not_is_wrong(caller: Caller) -> None:
    tally = Tally()
    refused = replace(RIGHT, status=400)
    caller.ask(replace(refused, path="/poison"), tally)
    assert (tally.right, tally.wrong) == (1, 0)
    caller.ask(replace(refused, path="/right"), tally)
    assert (tally.right, tally.wrong) == (1, 1)


def test_a_server_that_is_not_there_refuses_and_loses_nothing() -> None:
    tally = Tally()
    assert Caller(free_port()).ask(RIGHT, tally) == REFUSED
    assert (tally.lost, dict(tally.failed)) == (0, {REFUSED: 1})


def test_a_request_begun_after_the_end_was_asked_for_is_refused_not_lost(caller: Caller) -> None:
    tally, accepting = Tally(), threading.Event()
    caller.ask(replace(RIGHT, path="/none"), tally, accepting)
    assert (tally.lost, dict(tally.failed)) == (0, {REFUSED: 1})


@pytest.mark.parametrize("path", ["/wrong", "/broken", "/none"])
def test_a_fault_whose_callers_saw_such_has_a_broken_promise(
    caller: Caller, path: str, tmp_path: Path
) -> None:
    def run(_: object, times: int) -> Seen:
        seen = Seen()
        caller.ask(RIGHT, seen.tally)
        caller.ask(replace(RIGHT, path=path), seen.tally)
        return seen

    fault = Fault("made up", run, "by hand", 1, 1, frozenset({429, 503}))
    row = fault.row(Place(None, tmp_path), 1)  # type: ignore[arg-type]
    assert row.broken
    assert "BROKEN" in row.line()
