"""Callers that check every answer, and count what they did not get."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.faults.repository import Ask, Question

FRESH: Mapping[str, str] = {"Cache-Control": "no-cache"}
REFUSED = 0
PAUSE_S = 0.01
"""After a refused connection: a server that is down is not asked in a tight loop."""


@dataclass(slots=True)
class Tally:
    """What callers saw. failed, words: by status; words of lost requests at -1."""

    requests: int = 0
    right: int = 0
    wrong: int = 0
    lost: int = 0
    failed: Counter[int] = field(default_factory=Counter)
    words: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.requests += other.requests
        self.right += other.right
        self.wrong += other.wrong
        self.lost += other.lost
        self.failed += other.failed
        self.words |= other.words

    def problems(self, allowed: set[int], lost: int = 0) -> tuple[str, ...]:
        """What is not promised. allowed: statuses that the fault itself says."""
        found = []
        unexpected = {s: n for s, n in self.failed.items() if s not in allowed}
        if unexpected:
            words = next((self.words[s] for s in unexpected if s in self.words), "")
            found.append(f"failed with {unexpected}: {words}")
        if self.lost > lost:
            found.append(f"{self.lost} lost: {self.words.get(-1, '')}")
        if self.wrong:
            found.append(f"{self.wrong} wrong answers")
        if not self.right:
            found.append("no right answer at all")
        return tuple(found)


class Caller:
    """One connection, opened anew when it must be. Not for several threads."""

    def __init__(
        self, port: int, headers: Mapping[str, str] = FRESH, timeout_s: float = 60
    ) -> None:
        self.port, self._headers, self._timeout_s = port, dict(headers), timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._used = False

    def ask(self, question: Question, tally: Tally, accepted: threading.Event | None = None) -> int:
        """One request, counted; its status, 0 refused, -1 lost.

        accepted: while set, a request without an answer counts as lost; afterwards as refused.
        """
        was_accepting = accepted is None or accepted.is_set()
        tally.requests += 1
        try:
            status, content = self._exchange(question)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if isinstance(error, ConnectionRefusedError) or not was_accepting:
                tally.failed[REFUSED] += 1
                time.sleep(PAUSE_S)
                return REFUSED
            tally.lost += 1
            tally.words[-1] = f"{type(error).__name__}: {error}"
            return -1
        if status not in (200, question.status):
            tally.failed[status] += 1
            tally.words[status] = content[:200].decode(errors="replace")
        elif status == question.status and (status != 200 or _is_right(question, content)):
            tally.right += 1
        else:
            tally.wrong += 1
        return status

    def _exchange(self, question: Question) -> tuple[int, bytes]:
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._timeout_s)
            connection.connect()
            self._connection = connection
        connection.request("POST", question.path, question.body, self._headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.close()
        return answer.status, content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_right(question: Question, content: bytes) -> bool:
    return question.is_answered_by(json.loads(content)["outputs"][0]["data"])


class Crowd:
    """Callers that go on until they are told to stop.

    accepting: cleared when the server is told to end; see `Caller.ask`.
    """

    def __init__(self, port: int, timeout_s: float = 60) -> None:
        self.port, self.timeout_s = port, timeout_s
        self.accepting, self._stop = threading.Event(), threading.Event()
        self.accepting.set()
        self._threads: list[threading.Thread] = []
        self._tallies: list[Tally] = []

    def call(
        self, count: int, ask: Ask, headers: Mapping[str, str] = FRESH, pause_s: float = 0.0
    ) -> None:
        """Have so many more callers ask."""

        def go_on(number: int, tally: Tally) -> None:
            caller, step = Caller(self.port, headers, self.timeout_s), 0
            while not self._stop.is_set():
                caller.port = self.port
                caller.ask(ask(number, step), tally, self.accepting)
                step += 1
                if pause_s:
                    time.sleep(pause_s)
            caller.close()

        for number in range(count):
            tally = Tally()
            thread = threading.Thread(target=go_on, args=(number, tally), daemon=True)
            self._tallies.append(tally)
            self._threads.append(thread)
            thread.start()

    @property
    def right(self) -> int:
        """Right answers so far."""
        return sum(tally.right for tally in self._tallies)

    def end(self) -> Tally:
        """Stop all, and what they saw."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout_s + 5)
        found = Tally()
        for tally in self._tallies:
            found.add(tally)
        return found


@contextlib.contextmanager
def crowd(
    port: int, count: int, ask: Ask, tally: Tally, headers: Mapping[str, str] = FRESH, **more: Any
) -> Iterator[Crowd]:
    """Callers for the time of a block; what they saw is added to the tally."""
    found = Crowd(port, **more)
    found.call(count, ask, headers)
    try:
        yield found
    finally:
        tally.add(found.end())
