"""The sampler on real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from engine.in_flight import InFlight, Mark
from engine.profiling.builder import TreeBuilder
from engine.profiling.calltree import CPU_NS, SAMPLES, WALL_NS, CallTree
from engine.profiling.sampler import DEEPER, NEWEST_NS, Sampler
from engine.profiling.tree import totals
from engine.profiling.walk import MAX_DEPTH, walk
from tests.waiting import until

MARK = Mark("m", "1", "/infer", "r1")


@contextmanager
def running(work: Callable[[threading.Event], None], name: str) -> Iterator[threading.Thread]:
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join(5)


def spin(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(100))


def wait(over: threading.Event) -> None:
    over.wait()


def looks(sampler: Sampler, count: int, every_s: float = 0.005) -> int:
    """Take samples in real time; returns the time that they cover, ns."""
    began_ns = last_ns = time.perf_counter_ns()
    for _ in range(count):
        time.sleep(every_s)
        now_ns = time.perf_counter_ns()
        sampler.look(now_ns - last_ns)
        last_ns = now_ns
    return last_ns - began_ns


def tree_of(sampler: Sampler) -> CallTree:
    with sampler.lock:
        sampler.settle()
        return sampler.target.tree(sampler.table.frames, sampler.contexts.table)


def of_thread(tree: CallTree, group: str) -> dict[str, np.ndarray]:
    """Samples, wall and CPU time of a thread, by kind."""
    found: dict[str, np.ndarray] = {}
    for context, values in zip(tree.context.tolist(), tree.self, strict=True):
        named = tree.contexts[context]
        if named.thread == group:
            found[named.kind] = found.get(named.kind, np.zeros(3, dtype=np.int64)) + values
    return found


def test_every_thread_is_sampled_at_every_look_and_weighs_the_time_that_passed() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    with running(spin, "spinner"), running(wait, "waiter"):
        elapsed_ns = looks(sampler, 40)
    tree = tree_of(sampler)
    for group in ("spinner", "waiter"):
        values = sum(of_thread(tree, group).values())
        assert values[SAMPLES] == 40
        assert values[WALL_NS] == elapsed_ns
    assert tree.sampled[SAMPLES] == sampler.target.samples


def test_a_thread_that_runs_is_told_from_one_that_waits() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    with running(spin, "spinner"), running(wait, "waiter"):
        looks(sampler, 40)
    tree = tree_of(sampler)
    assert set(of_thread(tree, "waiter")) == {"idle"}
    assert of_thread(tree, "waiter")["idle"][CPU_NS] == 0
    spun = of_thread(tree, "spinner")["engine"]
    assert spun[CPU_NS] > 0.3 * spun[WALL_NS]


def test_samples_are_never_given_more_cpu_time_than_threads_used() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    used_ns: list[int] = []

    def work(over: threading.Event) -> None:
        spin(over)
        used_ns.append(time.thread_time_ns())

    with running(work, "one"), running(work, "two"):
        looks(sampler, 60)
    tree = tree_of(sampler)
    paid = sum(int(sum(of_thread(tree, group).values())[CPU_NS]) for group in ("one", "two"))
    assert 0 < paid <= sum(used_ns)


def test_what_was_used_before_a_capture_is_not_booked_in_it() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    over_at_ns: list[int] = []

    def work(over: threading.Event) -> None:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            sum(range(100))
        over_at_ns.append(time.thread_time_ns())
        over.wait()

    with running(work, "burst"):
        sampler.look(1)  # it is met, and then not looked at while it is busy
        until(lambda: bool(over_at_ns), 10, "the end of its burst")
        capture = TreeBuilder(10_000)
        with sampler.lock:
            sampler.begin_anew()
            sampler.capture = capture
        elapsed_ns = looks(sampler, 20)
        with sampler.lock:
            sampler.settle()
    tree = capture.tree(sampler.table.frames, sampler.contexts.table)
    burst = sum(of_thread(tree, "burst").values())
    assert burst[SAMPLES] == 20
    assert burst[CPU_NS] < 0.2 * elapsed_ns


def for_a_request(in_flight: InFlight) -> Callable[[threading.Event], None]:
    """A thread's work that is booked to MARK."""

    def work(over: threading.Event) -> None:
        doing = in_flight.here()
        doing.work = MARK
        spin(over)
        doing.work = None

    return work


def test_samples_belong_to_the_request_in_flight() -> None:
    in_flight = InFlight()
    sampler = Sampler(in_flight, TreeBuilder(10_000))

    with running(for_a_request(in_flight), "worker"):
        looks(sampler, 20)
    tree = tree_of(sampler)
    (named,) = {
        tree.contexts[n] for n in tree.context.tolist() if tree.contexts[n].thread == "worker"
    }
    assert named[2:] == ("m", "1", "/infer")
    assert named.kind == "request"
    assert {sample.mark.request_id for sample in sampler.newest} == {"r1"}


def test_samples_of_requests_are_kept_for_two_minutes() -> None:
    in_flight, now_ns = InFlight(), [0]
    sampler = Sampler(in_flight, TreeBuilder(10_000), perf_ns=lambda: now_ns[0])

    with running(for_a_request(in_flight), "worker"):
        looks(sampler, 3)
        now_ns[0] = NEWEST_NS
        looks(sampler, 1)
        assert {sample.at_ns for sample in sampler.newest} == {0, NEWEST_NS}
        now_ns[0] = NEWEST_NS + 1
        looks(sampler, 1)
    assert {sample.at_ns for sample in sampler.newest} == {NEWEST_NS, NEWEST_NS + 1}


def test_the_native_call_is_the_leaf() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    with running(wait, "waiter"):
        looks(sampler, 5)
    tree = tree_of(sampler)
    leaves = {
        tree.frames[frame].name
        for frame, values, context in zip(tree.frame, tree.self, tree.context, strict=True)
        if values[SAMPLES] and tree.contexts[context].thread == "waiter"
    }
    assert leaves == {"waiter.acquire"}


def test_a_deep_recursion_keeps_its_inner_frames_and_says_that_there_are_more() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))

    def deep(over: threading.Event, left: int = 600) -> None:
        if left:
            deep(over, left - 1)
        else:
            over.wait()

    with running(deep, "deep") as thread:
        until(lambda: len(walk(thread.ident or 0)) > MAX_DEPTH, 5, "deep down")
        looks(sampler, 3)
    tree = tree_of(sampler)
    roots = {tree.frames[f].name for f, p in zip(tree.frame, tree.parent, strict=True) if p < 0}
    assert DEEPER.name in roots
    assert int(totals(tree)[tree.parent < 0].sum(axis=0)[SAMPLES]) == tree.sampled[SAMPLES]


def test_a_thread_that_ended_keeps_its_samples_and_is_forgotten() -> None:
    in_flight = InFlight()
    sampler = Sampler(in_flight, TreeBuilder(10_000))
    with running(wait, "brief") as thread:
        ident = thread.ident
        looks(sampler, 10)
    looks(sampler, 2)
    assert sum(of_thread(tree_of(sampler), "brief").values())[SAMPLES] == 10
    assert ident not in in_flight.by_thread


def test_a_capture_counts_what_the_slice_counts() -> None:
    sampler = Sampler(InFlight(), TreeBuilder(10_000))
    capture = TreeBuilder(10_000)
    with running(spin, "spinner"), running(wait, "waiter"):
        looks(sampler, 10)
        with sampler.lock:
            sampler.settle()
            sampler.capture = capture
        before = int(tree_of(sampler).sampled[SAMPLES])
        looks(sampler, 10)
        after = int(tree_of(sampler).sampled[SAMPLES])
    assert capture.samples == after - before > 0


def test_walking_threads_whose_frames_are_being_finalised_is_safe() -> None:
    """A finaliser that gives up the interpreter while its frame is being cleared."""

    class Slow:
        def __del__(self) -> None:
            time.sleep(0)

    def one(depth: int) -> int:
        held = Slow()
        return one(depth - 1) + (held is None) if depth else 0

    def work(over: threading.Event) -> None:
        while not over.is_set():
            one(5)

    sampler = Sampler(InFlight(), TreeBuilder(50_000))
    with running(work, "a"), running(work, "b"), running(work, "c"):
        end_s = time.monotonic() + 2
        while time.monotonic() < end_s:
            sampler.look(1)
    named = {frame.name.rpartition(".")[2] for frame in sampler.table.frames}
    assert "__del__" in named
    assert sampler.looks > 100
