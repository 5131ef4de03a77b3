"""Threads that parse side by side: in a process of its own, for `ast.parse` is changed for all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engine.parsing import MENDED_IN
from tests.conftest import ROOT

HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4)}"
MEET = f"""
import ast, gc, json, sys, threading
from collections import deque

in_turn = sys.argv[1] == "in turn"
if in_turn:
    from engine.parsing import parse_in_turn
    parse_in_turn()
    parse_in_turn()
gc.callbacks.append(lambda phase, info: [None for _ in range(50)])
sys.setswitchinterval(1e-5)
kept, failed, right = deque(maxlen=3000), [], []

def read(depth, times):
    if depth:
        return read(depth - 1, times)
    for _ in range(times):
        try:
            found = ast.literal_eval({HEADER!r})
            kept.append((found, [], [], [[]]))  # what lives brings the collector
            right.append(found["shape"] == (3, 4))
        except SystemError as error:
            failed.append(str(error))
        if failed and not in_turn:
            break

times = 60_000 if in_turn else 300_000
threads = [threading.Thread(target=read, args=(depth, times)) for depth in (0, 7)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({{"right": sum(right), "failed": failed[:3], "parse": ast.parse.__name__}}))
"""


def told(how: str) -> dict[str, object]:
    command = [sys.executable, "-c", MEET, how]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_headers_of_arrays_are_read_side_by_side() -> None:
    found = told("in turn")
    assert found["failed"] == []
    assert found["right"] == 120_000
    assert found["parse"] == "parse"


@pytest.mark.skipif(sys.version_info >= MENDED_IN, reason="this interpreter was mended")
def test_without_the_lock_they_fail_each_other() -> None:
    """If this fails, the lock is needed no more."""
    failed = told("as it is")["failed"]
    assert failed
    assert "recursion depth mismatch" in str(failed)
