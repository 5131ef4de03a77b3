"""The shadow's queue: bounded, dropped ones counted, off the callers' time."""

from __future__ import annotations

import os
import threading

from engine.experiments.shadow import NICE, Shadow
from tests.waiting import until


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    gate, begun, seen = threading.Event(), threading.Event(), list[int]()

    def work(job: int) -> None:
        begun.set()
        gate.wait(10)
        seen.append(job)

    shadow = Shadow(work, most_jobs=3, share=1.0)
    assert shadow.offer(0, 1)
    assert begun.wait(10)  # it is being worked on and no longer waits
    assert [shadow.offer(job, 1) for job in range(1, 6)] == [True, True, True, False, False]
    assert (shadow.queued, shadow.counts.dropped, shadow.counts.offered) == (3, 2, 6)
    gate.set()
    until(lambda: shadow.counts.done == 4, 10, "all done")
    assert seen == [0, 1, 2, 3]
    shadow.stop()


def test_bytes_are_bounded_too() -> None:
    shadow = Shadow(lambda job: None, most_jobs=100, most_bytes=1000)
    assert not shadow.offer("large", 1001)
    assert shadow.counts.dropped == 1


def test_the_thread_has_a_low_priority_and_goes_on_after_an_error() -> None:
    priorities: list[int] = []

    def work(job: str) -> None:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        raise ValueError(job)

    shadow = Shadow(work, most_jobs=10)
    shadow.offer("one", 1)
    shadow.offer("two", 1)
    until(lambda: shadow.counts.done == 2, 10, "both done")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert priorities == [min(19, own + NICE)] * 2 or priorities == [NICE] * 2
    shadow.stop()
    assert not shadow.offer("three", 1)
