"""Threads that parse side by side: in a process of its own, for `ast.parse` is changed for all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engine.parsing import MENDED_IN
from tests.conftest import ROOT

MEET = """
import ast, gc, json, sys, threading

if sys.argv[1] == "in turn":
    from engine.parsing import parse_in_turn
    parse_in_turn()
    parse_in_turn()
first, go, over, parsed = threading.main_thread(), threading.Event(), threading.Event(), []
source = str([(n, [n]) for n in range(500)])

def let_the_other_in(phase, info):
    '''A collection in the midst of the first one's parsing, up to twenty times.'''
    if threading.current_thread() is first and phase == "start" and len(times) < 20:
        times.append(1)
        go.set()
        over.wait(0.05)
        over.clear()

def others(depth):
    if depth:
        return others(depth - 1)
    while go.wait(5) and not ended:
        go.clear()
        parsed.append(ast.literal_eval(source)[-1] == (499, [499]))
        over.set()

times, ended, failed, found = [], [], "", None
thread = threading.Thread(target=others, args=(7,))
thread.start()
gc.callbacks.append(let_the_other_in)
gc.set_threshold(50)
try:
    found = ast.parse(source, mode="eval")
except SystemError as error:
    failed = str(error)
gc.callbacks.clear()
ended.append(1)
go.set()
thread.join()
right = found is not None and ast.literal_eval(found)[-1] == (499, [499])
print(json.dumps({"right": right, "failed": failed, "others": all(parsed) and len(parsed),
                  "times": len(times), "name": ast.parse.__name__}))
"""


def told(how: str) -> dict[str, object]:
    command = [sys.executable, "-c", MEET, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_thread_that_parses_in_the_midst_of_another_waits_for_it() -> None:
    found = told("in turn")
    assert (found["right"], found["failed"]) == (True, "")
    assert found["times"] == 20
    assert found["others"], "the other thread parsed nothing"
    assert found["name"] == "parse"


@pytest.mark.skipif(sys.version_info >= MENDED_IN, reason="this interpreter was mended")
def test_without_the_lock_it_fails_the_other() -> None:
    """If this passes no more, the lock is not needed."""
    found = told("as it is")
    assert "recursion depth mismatch" in str(found["failed"])
