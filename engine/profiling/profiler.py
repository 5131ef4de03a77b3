"""The profiler: sampler, slices, minutes on disk, captures, and the one question they answer.

sampler -> slices (1 h, memory) -> minutes (24 h, disk)
      \\-> capture               \\-> newest samples -> stacks of exemplars
ask(Question) -> Profile: slices, minutes or a capture, filtered and merged
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import InvalidInput, UnknownProfile
from engine.in_flight import InFlight
from engine.periodic import Periodic
from engine.profiling.builder import Contexts, TreeBuilder
from engine.profiling.calltree import ANY, CallTree, Context, empty_tree
from engine.profiling.captures import Captures
from engine.profiling.minutes import DAY_S, Minutes
from engine.profiling.pace import Pace
from engine.profiling.sampler import Sample, Sampler
from engine.profiling.slices import GROWING_NODES, Counts, Slice, Slices, summed, together
from engine.profiling.tree import merge, select, without_contexts
from engine.supervised import Supervised

KEEP_EVERY_S = 1.0
MANY_CONTEXTS = 500
"""With more than these, the next slice begins a table of its own."""
MOST_AT_ONCE = 60
MERGED_NODES = 50_000
"""So many slices are merged at a time, into so many nodes at most."""
SAME_S = 0.5
"""Ends of slices that differ by less are the same."""
HIDDEN = "idle"
"""The kind that is left out unless it is asked for."""


class Question(NamedTuple):
    """What a profile is asked for. from_s, to_s: UTC. "" is any; kind "" any but idle."""

    from_s: float
    to_s: float
    model: str = ""
    version: str = ""
    route: str = ""
    thread: str = ""
    kind: str = ""
    request: str = ""
    capture: str = ""
    ends_by_s: float = math.inf
    """Slices that end later are left out: those that another profile has."""

    def allows(self, context: Context) -> bool:
        if context == ANY:
            return True
        hidden = not self.kind and context.kind == HIDDEN
        asked = (self.kind, self.thread, self.model, self.version, self.route)
        return not hidden and all(
            wanted in ("", value) for wanted, value in zip(asked, context, strict=True)
        )


@dataclass(frozen=True)
class Profile:
    """An answer. selected: as asked for, with its contexts. contexts: that there are to choose.

    begins_s: of the first slice, which may be before from_s. counts: None for imports. is_timed:
    False where all measures of an import count something else than time.
    """

    selected: CallTree
    contexts: list[Context]
    from_s: float
    to_s: float
    covered_s: float
    begins_s: float
    counts: Counts | None
    is_timed: bool = True

    @cached_property
    def tree(self) -> CallTree:
        """The same without contexts."""
        return without_contexts(self.selected)


class Profiler:
    """One of an engine. hz: looks a second; 0 looks only while a capture runs."""

    def __init__(
        self,
        hz: float,
        folder: Path | None,
        limit_bytes: int,
        tell: Callable[[str, str], None],
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hz = hz
        self.in_flight = InFlight()
        self._tell, self._wall, self._monotonic = tell, wall, monotonic
        self.sampler = Sampler(self.in_flight, TreeBuilder(GROWING_NODES))
        self.pace = Pace(self.sampler.look, hz)
        self.minutes = None if folder is None else Minutes(folder, limit_bytes, tell, wall)
        self.slices = Slices(self._swap, self._read, self._counts, self._write, monotonic())
        self.captures = Captures(self._switch, self._tree_of, self._counts, _after, wall, hz)
        self.samples_of: Callable[[str], Sequence[Sample]] = lambda request_id: ()
        self._reading = threading.Lock()
        self._keeper = Periodic(
            "profile-keeper", KEEP_EVERY_S, lambda: self.slices.keep(monotonic()), monotonic
        )
        self._last = (monotonic(), Counts(), 0)

    def start(self) -> None:
        self.pace.start()
        self._keeper.start()
        if self.minutes is not None:
            self.minutes.start()

    def stop(self) -> None:
        self.pace.stop()
        self._keeper.stop()
        self.slices.keep(self._monotonic())
        self.slices.fold_open()
        if self.minutes is not None:
            self.minutes.close()

    @property
    def threads(self) -> list[Supervised]:
        """What is to go on while it runs."""
        writer = [] if self.minutes is None else [self.minutes.thread]
        return [self.pace.thread, self._keeper.thread, *writer]

    # between the parts

    def _counts(self) -> Counts:
        pace = self.pace
        return Counts(pace.looks, pace.missed, pace.hz, self.sampler.elapsed_ns / 1e9)

    def _tree_of(self, builder: TreeBuilder) -> CallTree:
        with self.sampler.lock:
            self.sampler.settle()
            return builder.tree(self.sampler.table.frames, self.sampler.contexts.table)

    def _read(self) -> CallTree:
        return self._tree_of(self.sampler.target)

    def _swap(self, following: TreeBuilder) -> CallTree:
        sampler = self.sampler
        with sampler.lock:
            sampler.settle()
            tree = sampler.target.tree(sampler.table.frames, sampler.contexts.table)
            sampler.target = following
            if sampler.capture is None and len(sampler.contexts.table) > MANY_CONTEXTS:
                sampler.contexts = Contexts()
        return tree

    def _switch(self, builder: TreeBuilder | None, hz: float) -> None:
        with self.sampler.lock:
            self.sampler.begin_anew()
            self.sampler.capture = builder
        self.pace.set(self.hz if builder is None else max(hz, self.hz))

    def _write(self, minute: Slice) -> None:
        if self.minutes is not None and len(minute.tree):
            self.minutes.offer(_moved(minute, self._wall() - self._monotonic()))

    # for anybody

    def gauges(self) -> dict[str, float | None]:
        """What looking costs and reaches, since the last call."""
        now_s, counts, cpu_ns = self._monotonic(), self._counts(), self.pace.cpu_ns
        then_s, before, cpu_before = self._last
        self._last = (now_s, counts, cpu_ns)
        elapsed_s = max(1e-3, now_s - then_s)
        done = counts.since(before)
        return {
            "profiler_hz": done.looks / elapsed_s,
            "profiler_missed_per_s": done.missed / elapsed_s,
            "profiler_cpu_percent": (cpu_ns - cpu_before) / 1e7 / elapsed_s,
        }

    def status(self) -> dict[str, Any]:
        """The sampler and what is held, with its bounds."""
        counts = self._counts()
        looked_s = counts.looked_s
        return {
            "hz": self.hz,
            "achieved_hz": counts.looks / looked_s if looked_s else None,
            "missed": counts.missed,
            "cpu_percent": self.pace.cpu_ns / 1e7 / looked_s if looked_s else None,
            "running": self.pace.is_alive and self.pace.hz > 0,
            "slices": len(self.slices),
            "nodes": self.slices.nodes,
            "frames": len(self.sampler.table.frames),
            "contexts": len(self.sampler.contexts.table),
            "disk_bytes": self.minutes.used_bytes if self.minutes else 0,
            "problem": self.minutes.problem if self.minutes else None,
        }

    def stacks_in(self, record: Any, ended_ns: int) -> list[Sample]:
        """The newest samples that fell into a request, the last first.

        record: RequestMetrics. ended_ns: of perf_counter. A run that answered several requests
        is no single one's: its samples belong to each while its model ran.
        """
        began_ns, found = ended_ns - record.duration_ns, []
        after_ns = record.postprocess_ns + record.encode_ns + record.compress_ns + record.write_ns
        ran_ns = (ended_ns - after_ns - record.inference_ns, ended_ns - after_ns)
        for sample in reversed(tuple(self.sampler.newest)):
            if sample.at_ns < began_ns:
                break
            mark = sample.mark
            if mark.request_id:
                mine = mark.request_id == record.request_id
            else:
                same = (mark.model, mark.route) == (record.model, record.endpoint)
                mine = same and ran_ns[0] <= sample.at_ns <= ran_ns[1]
            if mine and sample.at_ns <= ended_ns:
                found.append(sample)
        return found

    def ask(self, question: Question) -> Profile:
        """What was sampled. Raises InvalidInput for a bad window, UnknownProfile."""
        if question.request:
            return self._of_request(question.request)
        if question.capture:
            return self._of_capture(question)
        offset_s = self._wall() - self._monotonic()
        if not 0 < question.to_s - question.from_s <= DAY_S + 60:
            raise InvalidInput("the window must be over 0 s and at most 24 h")
        from_s, to_s = question.from_s - offset_s, question.to_s - offset_s
        held = self.slices.within(from_s, to_s, self._monotonic())
        recent = [_moved(one, offset_s) for one in held]
        begins_s = recent[0].start_s if recent else question.to_s
        with self._reading:  # one at a time: a day is read in parts, but it is a day
            return self._merged(question, recent, begins_s)

    def _merged(self, question: Question, recent: list[Slice], begins_s: float) -> Profile:
        """Minutes before begins_s, read one after the other, and what is in memory."""
        taken: list[Slice] = []
        older = self._older(question.from_s, begins_s)
        for one in chain(older, recent):
            if one.end_s > question.ends_by_s + SAME_S:
                continue
            taken.append(one)
            if len(taken) > MOST_AT_ONCE:
                taken = [together(taken, MERGED_NODES)]
        tree = merge([one.tree for one in taken]) if taken else empty_tree()
        counts = summed(taken) if taken else Counts(asked_hz=self.hz)
        return Profile(
            select(tree, question.allows),
            _used(tree),
            question.from_s,
            question.to_s,
            counts.looked_s,
            taken[0].start_s if taken else question.from_s,
            counts,
        )

    def _older(self, from_s: float, to_s: float) -> Iterator[Slice]:
        if self.minutes is not None and from_s < to_s:
            yield from (
                one for one in self.minutes.within(from_s, to_s) if one.end_s <= to_s + SAME_S
            )

    def _of_capture(self, question: Question) -> Profile:
        capture = self.captures.find(question.capture)
        tree = self.captures.tree_of(capture)
        is_import = capture.kind == "import"
        counts = None if is_import else self.captures.counts_of(capture)
        return Profile(
            select(tree, question.allows),
            [] if is_import else _used(tree),
            capture.began,
            capture.began + capture.seconds,
            capture.seconds if counts is None else counts.looked_s,
            capture.began,
            counts,
            capture.is_timed,
        )

    def _of_request(self, request_id: str) -> Profile:
        samples = self.samples_of(request_id)
        if not samples:
            samples = [s for s in tuple(self.sampler.newest) if s.mark.request_id == request_id]
        if not samples:
            raise UnknownProfile(f"no samples are kept of request {request_id[:80]!r}")
        builder, contexts = TreeBuilder(GROWING_NODES), Contexts()
        for sample in samples:
            context = contexts.number(sample.context)
            builder.add(context, sample.stack, sample.wall_ns, sample.cpu_ns)
        tree = builder.tree(self.sampler.table.frames, contexts.table)
        offset_s = self._wall() - time.perf_counter()
        at_s = [sample.at_ns / 1e9 + offset_s for sample in samples]
        covered_s = sum(sample.wall_ns for sample in samples) / 1e9
        counts = Counts(len(samples), 0, self.hz, covered_s)
        window = (min(at_s), max(at_s))
        return Profile(tree, _used(tree), *window, covered_s, window[0], counts)


def _after(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def _moved(one: Slice, offset_s: float) -> Slice:
    return one._replace(start_s=one.start_s + offset_s, end_s=one.end_s + offset_s)


def _used(tree: CallTree) -> list[Context]:
    """The contexts of a tree's nodes."""
    return [tree.contexts[number] for number in sorted(set(tree.context.tolist()))]
