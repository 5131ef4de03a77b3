"""The auditor: takes the rows of a run now and then, and has them run again off the request path.

    every interval_s  a model's tap is set; its next run hands over copies of rows and answers
    one thread        asks the child about them, one sample at a time, and times the form here

A model without a tap pays one look at a field a run. The thread rests after each audit, so
that audits take at most CPU_SHARE of one core; a model whose sample waits is not tapped again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.effectiveness.audits import Audit, Example, ModelAudits
from engine.effectiveness.child import Child, ChildFailed
from engine.errors import without_folders
from engine.periodic import Periodic
from engine.supervised import Supervised

log = logging.getLogger(__name__)
CPU_SHARE = 0.03
MOST_WAITING = 16
MOST_ROWS = 256
MOST_ELEMENTS = 16_384
"""Of the inputs of a sample; the first rows of a larger run are taken."""
FIRST_ANSWER_S, ANSWER_S = 120.0, 60.0
REST_AFTER_FAILURE_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows of one run, and what callers were answered. run_ns: what the run took."""

    subject: Subject
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    form: str
    run_ns: int

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


Take = Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray], str, int], None]


class Subject(Protocol):
    """A loaded model that can be audited, the same object as long as it is loaded.

    forms: those that may be audited; what another has answered, is not.
    """

    name: str
    version: str
    judged: bool
    forms: frozenset[str]

    def set_tap(self, take: Take) -> None:
        """Have the next run hand over (inputs, outputs, form, ns)."""
        ...

    def job(self, sample: Sample) -> dict[str, Any]:
        """What the child is asked."""
        ...

    def served_us(self, sample: Sample) -> float | None:
        """Processor time of a run of the sample's form in this process; None where it differs."""
        ...

    def planned_us(self, sample: Sample) -> tuple[float, float]:
        """The plan's times, of the model as it is and of the form."""
        ...


@dataclass(slots=True, eq=False)
class _Watched:
    subject: Subject
    audits: ModelAudits
    tapped_s: float


class Auditor:
    """subjects: what is loaded now. event: told (kind, text) when a model begins to differ.

    drift_percent: a speed below this share of the plan's is told.
    """

    def __init__(
        self,
        interval_s: float,
        child: Child,
        subjects: Callable[[], Iterable[Subject]],
        event: Callable[[str, str], None],
        drift_percent: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.interval_s, self.child = interval_s, child
        self._subjects, self._event, self._drift_percent = subjects, event, drift_percent
        self._monotonic, self._wall = monotonic, wall
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._samples: deque[Sample] = deque(maxlen=MOST_WAITING)
        self._rest_until_s = float("-inf")
        self._told: set[tuple[str, str, str]] = set()
        self.cpu_s = 0.0
        period_s = min(1.0, max(0.05, interval_s / 2))
        self._periodic = Periodic("audit", period_s, self.step, monotonic)

    def start(self) -> None:
        self._periodic.start()

    @property
    def thread(self) -> Supervised:
        return self._periodic.thread

    def pace(self, interval_s: float) -> None:
        """Audit this often from now on; 0 never, and what waits is dropped."""
        self.interval_s = interval_s or float("inf")
        if not interval_s:
            self._samples.clear()

    def stop(self) -> None:
        self.child.close()
        self._periodic.stop()
        self.child.end()

    # the thread's

    def step(self) -> None:
        """Set taps that are due, and do at most one audit."""
        now_s = self._monotonic()
        self._follow(now_s)
        if now_s < self._rest_until_s:
            return
        if self._samples:
            self._audit(self._samples.popleft())
        else:
            self.child.end_if_idle()

    def _follow(self, now_s: float) -> None:
        waiting = {(s.subject.name, s.subject.version) for s in tuple(self._samples)}
        found: dict[tuple[str, str], _Watched] = {}
        for subject in self._subjects():
            key = (subject.name, subject.version)
            watched = self._watched.get(key)
            if watched is None or watched.subject is not subject:
                # Loaded anew: what was found of the one before says nothing of it.
                audits = ModelAudits(*key, subject.judged)
                watched = _Watched(subject, audits, now_s)
                self._told -= {told for told in self._told if told[:2] == key}
            found[key] = watched
            due = now_s - watched.tapped_s >= self.interval_s
            if due and key not in waiting and len(self._samples) < MOST_WAITING:
                watched.tapped_s = now_s
                subject.set_tap(self._taker(subject))
        self._watched = found

    def _taker(self, subject: Subject) -> Take:
        def take(
            inputs: Mapping[str, np.ndarray],
            outputs: Mapping[str, np.ndarray],
            form: str,
            run_ns: int,
        ) -> None:
            """Called in the thread of the run: copies, nothing else."""
            if form not in subject.forms:
                return
            rows = len(next(iter(inputs.values())))
            width = max(1, sum(array.size for array in inputs.values()) // max(1, rows))
            most = min(rows, MOST_ROWS, max(1, MOST_ELEMENTS // width))
            if any(len(array) != rows for array in outputs.values()):
                return
            copied = {name: array[:most].copy() for name, array in inputs.items()}
            answers = {name: array[:most].copy() for name, array in outputs.items()}
            self._samples.append(Sample(subject, copied, answers, form, run_ns))

        return take

    def _audit(self, sample: Sample) -> None:
        watched = self._watched.get((sample.subject.name, sample.subject.version))
        if watched is None or watched.subject is not sample.subject:
            return
        timeout_s = ANSWER_S if self.child.is_alive else FIRST_ANSWER_S
        began_ns = time.thread_time_ns()
        try:
            answer = self.child.ask(sample.subject.job(sample), timeout_s)
            problem = answer.get("error")
            spent_s = float(answer.get("cpu_ms", 0.0)) / 1e3
        except ChildFailed as error:
            answer, problem, spent_s = {}, str(error), REST_AFTER_FAILURE_S * CPU_SHARE
        if problem:
            watched.audits.fail(without_folders(str(problem))[:500])
        else:
            watched.audits.add(self._audit_of(sample, answer))
            self._tell(watched)
        own_s = (time.thread_time_ns() - began_ns) / 1e9
        self.cpu_s += own_s
        self._rest_until_s = self._monotonic() + (spent_s + own_s) / CPU_SHARE

    def _audit_of(self, sample: Sample, answer: Mapping[str, Any]) -> Audit:
        now = self._wall()
        planned_oracle_us, planned_form_us = sample.subject.planned_us(sample)
        examples = [
            Example(now, one["digest"], one["output"], one["difference"])
            for one in answer["examples"]
        ]
        return Audit(
            self._monotonic(),
            now,
            sample.form,
            sample.rows,
            answer["differing"],
            answer["largest"],
            planned_oracle_us,
            planned_form_us,
            answer["oracle_us"],
            answer["form_us"],
            sample.subject.served_us(sample),
            sample.run_ns / 1e3,
            examples,
        )

    def _tell(self, watched: _Watched) -> None:
        """An event where a model begins to differ, or to be slower than planned, or ends to."""
        audits, now_s = watched.audits, self._monotonic()
        name = f"{audits.name} {audits.version}"
        recent = audits.figures(now_s)["recent"]
        differing, speed = audits.differing_rows(now_s), recent["speed_percent"]
        self._note(
            (audits.name, audits.version, "answers"),
            bool(differing),
            f"{name}: {differing} of {recent['rows']} rows served lately differ from the model "
            "as it is",
            f"{name}: all {recent['rows']} rows run again lately agree",
        )
        if speed is None:
            return
        speeds = (
            f"{recent['served_speedup']:.3g}x as fast as the model as it is, "
            f"{recent['planned_speedup']:.3g}x when planned"
        )
        self._note(
            (audits.name, audits.version, "speed"),
            speed < self._drift_percent,
            f"{name} is slower than planned: {speeds}",
            f"{name} is as fast as planned again: {speeds}",
        )

    def _note(self, key: tuple[str, str, str], drifts: bool, begun: str, ended: str) -> None:
        if drifts == (key in self._told):
            return
        self._told ^= {key}
        self._event("audit", begun if drifts else ended)

    # for any thread

    def audits(self) -> dict[tuple[str, str], ModelAudits]:
        """Of the models that are loaded, by name and version."""
        return {key: watched.audits for key, watched in self._watched.items()}

    def differing_rows(self) -> int | None:
        """Rows that differ in the recent audits of all models; None without audits."""
        now_s = self._monotonic()
        found = [audits.differing_rows(now_s) for audits in self.audits().values()]
        known = [count for count in found if count is not None]
        return sum(known) if known else None

    def speed_percent(self) -> float | None:
        """What is left of its planned speed to the form that has lost most; None without audits."""
        now_s = self._monotonic()
        found = [audits.speed_percent(now_s) for audits in self.audits().values()]
        return min((share for share in found if share is not None), default=None)

    def figures(self) -> dict[str, Any]:
        """The thread and the child, with their bounds."""
        child = self.child
        return {
            "interval_s": self.interval_s,
            "waiting": len(self._samples),
            "waiting_limit": MOST_WAITING,
            "cpu_share_limit": CPU_SHARE,
            "cpu_s": self.cpu_s,
            "child": {
                "alive": child.is_alive,
                "starts": child.starts,
                "too_large": child.too_large,
                "cpu_s": child.cpu_s,
                "memory_mb": None if child.memory_bytes is None else child.memory_bytes / 1e6,
                "peak_mb": child.peak_bytes / 1e6 or None,
            },
        }
