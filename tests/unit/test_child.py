"""The process that answers jobs: real children of a few lines, and how each may fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.effectiveness import child as children
from engine.effectiveness.child import Child, ChildFailed

ANSWERS = """
import json, os, pickle, sys
while head := sys.stdin.buffer.read(4):
    job = pickle.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
    {body}
    print(json.dumps({{"twice": 2 * job["x"], "pid": os.getpid()}}), flush=True)
"""
Make = Callable[..., Child]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Child] = []

    def child(body: str = "pass", *, most_bytes: int = 1 << 30, **more: Any) -> Child:
        script = ANSWERS.format(body=body)
        made.append(Child([sys.executable, "-S", "-c", script], most_bytes, 60.0, **more))
        return made[-1]

    yield child
    for one in made:
        one.end()


def test_one_child_answers_job_after_job(make: Make) -> None:
    child = make()
    assert not child.is_alive
    first, second = child.ask({"x": 2}, 20), child.ask({"x": 5}, 20)
    assert (first["twice"], second["twice"]) == (4, 10)
    assert first["pid"] == second["pid"]
    assert (child.starts, child.is_alive) == (1, True)
    assert child.memory_bytes is not None
    assert child.peak_bytes >= child.memory_bytes > 1e6


def test_a_job_larger_than_a_pipe_arrives_whole(make: Make) -> None:
    assert make().ask({"x": 3, "rows": b"r" * 1_000_000}, 20)["twice"] == 6


def test_a_job_that_is_too_large_starts_nothing(make: Make) -> None:
    child = make()
    with pytest.raises(ChildFailed, match=r"the rows take 4000\d+ bytes; the limit is 4000000"):
        child.ask({"x": b"r" * children.MOST_JOB_BYTES}, 20)
    assert child.starts == 0


@pytest.mark.parametrize(
    ("body", "timeout_s", "said"),
    [
        ("sys.exit(3)", 20, "the child ended"),
        ("import time; time.sleep(60)", 0.5, "the child gave no answer in time"),
        ("print('no json', flush=True)", 20, "Expecting value"),
        ("print('x' * 2_000_000, end='', flush=True)", 20, "its answer has no end"),
    ],
)
def test_a_child_that_fails_is_ended_and_the_next_job_has_another(
    make: Make, body: str, timeout_s: float, said: str
) -> None:
    child = make(f"\n    if not job['x']: {body}")
    with pytest.raises(ChildFailed, match=said):
        child.ask({"x": 0}, timeout_s)
    assert not child.is_alive
    assert child.ask({"x": 4}, 20)["twice"] == 8
    assert child.starts == 2


def test_a_child_that_reads_no_job_is_not_waited_for_longer_than_asked() -> None:
    child = Child([sys.executable, "-S", "-c", "import time; time.sleep(60)"], 1 << 30, 60.0)
    with pytest.raises(ChildFailed, match="the child took no job in time"):
        child.ask({"x": b"r" * 1_000_000}, 0.3)
    assert not child.is_alive


def test_one_that_grew_too_large_is_ended_after_its_answer(make: Make) -> None:
    child = make("held = b'x' * 50_000_000", most_bytes=40_000_000)
    assert child.ask({"x": 1}, 20)["twice"] == 2
    assert (child.too_large, child.is_alive) == (1, False)
    assert child.memory_bytes is None
    assert child.peak_bytes > 40_000_000


def test_processor_time_of_all_children_adds_up(make: Make) -> None:
    child = make("sum(range(2_000_000))")
    child.ask({"x": 1}, 20)
    first_s = child.cpu_s
    child.end()
    assert child.cpu_s == first_s > 0
    child.ask({"x": 1}, 20)
    assert child.cpu_s > first_s


def test_it_is_ended_once_it_was_idle_for_too_long(make: Make) -> None:
    now_s = [0.0]
    child = make(monotonic=lambda: now_s[0])
    child.ask({"x": 1}, 20)
    now_s[0] = 60.0
    child.end_if_idle()
    assert child.is_alive
    now_s[0] = 60.1
    child.end_if_idle()
    assert not child.is_alive


def test_a_closed_one_starts_no_other(make: Make) -> None:
    child = make()
    child.ask({"x": 1}, 20)
    child.close()
    with pytest.raises(ChildFailed):
        child.ask({"x": 1}, 20)
    with pytest.raises(ChildFailed, match="closed"):
        child.ask({"x": 1}, 20)
    assert child.starts == 1


def test_it_sees_only_the_environment_it_is_given(make: Make) -> None:
    body = "job['x'] = len([k for k in os.environ if k != 'LC_CTYPE'])"
    assert make(body, environ={"ONE": "1"}).ask({"x": 0}, 20)["twice"] == 2
