"""The fleet as one process sees it: whom it asks, what they answered, and all of it merged.

    Ask -> (app fetches) -> answered() | missed() -> view()

Nothing here asks anybody: app/fleet does. Processes are told apart by their run, so that one
with two addresses, or this one among its own peers, is counted once; of two answers that overlap
the second is not added.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.fleet.addresses import MAX_PEERS
from engine.fleet.export import BadExport, Export, Incompatible, read_export
from engine.fleet.peers import SELF_S, Address, Process, Skew
from engine.fleet.steps import RING_S, STEPS, Step

MAX_PROCESSES = 2 * MAX_PEERS
"""Kept at once: those that answer, and those that served within the ring and began anew."""
STUCK_S = 60.0
"""A question that nothing became of in so long is asked again."""


class Ask(NamedTuple):
    """A question to ask. run and since: what of it is there already."""

    url: str
    run: str
    since: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One row of the fleet, copied.

    url: "" for this process where no peer is itself. of: the address that a duplicate repeats.
    """

    url: str
    state: str
    since_s: float
    run: str | None
    problem: str | None = None
    of: str = ""
    heard_s: float | None = None
    asked: int = 0
    failed: int = 0
    answer_bytes: int = 0
    skew: Skew | None = None
    latest: Export | None = None
    steps: Sequence[Step] = ()

    @property
    def is_live(self) -> bool:
        """Whether it counts in what the fleet does now."""
        return self.state in ("up", "self")


@dataclass(frozen=True, slots=True)
class View:
    """Everything at one moment. past: what processes served that are no row any more."""

    now_s: float
    rows: Sequence[Seen]
    past: Sequence[Sequence[Step]]
    left_out: int
    problems: Sequence[str]


class Fleet:
    """Thread-safe. own_run: of this process. interval_s: between two questions to a peer."""

    def __init__(
        self,
        own_run: str,
        interval_s: float,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval_s = interval_s
        self.problems: tuple[str, ...] = ()
        self._wall, self._monotonic = wall, monotonic
        self._own = Process(own_run)
        self._addresses: dict[str, Address] = {}
        self._processes: dict[str, Process] = {own_run: self._own}
        self._left_out = 0
        self._lock = threading.Lock()

    # who is asked

    def follow(self, urls: Iterable[str], current: Iterable[str] | None = None) -> None:
        """These are the peers from now on, in this order; over MAX_PEERS are left out.

        current: those of them that are asked; the others are shown as lost. All, if None.
        """
        wanted = list(dict.fromkeys(urls))
        now_s = self._wall()
        with self._lock:
            self._left_out = max(0, len(wanted) - MAX_PEERS)
            have = self._addresses
            self._addresses = {
                url: have.get(url) or Address(url, now_s) for url in wanted[:MAX_PEERS]
            }
            asked = set(wanted if current is None else current)
            for url, address in self._addresses.items():
                address.is_there(url in asked, now_s)

    @property
    def followed(self) -> int:
        """How many addresses are asked."""
        return len(self._asked())

    def is_asked(self, url: str) -> bool:
        """Whether it is still one of them."""
        return any(one.url == url for one in self._asked())

    def _asked(self) -> list[Address]:
        return [one for one in tuple(self._addresses.values()) if not one.absent]

    def due(self) -> list[Ask]:
        """What is to be asked now; each is answered or missed before it is due again."""
        now_s = self._monotonic()
        with self._lock:
            asks = []
            for address in self._asked():
                if address.due_s > now_s:
                    continue
                address.asked_s, address.due_s = now_s, now_s + STUCK_S
                address.asked += 1
                process = self._processes.get(address.run or "")
                asks.append(
                    Ask(address.url, process.run, process.seq)
                    if process is not None
                    else Ask(address.url, "", 0)
                )
            return asks

    def next_due_s(self) -> float:
        """Seconds until anything is due; at most interval_s."""
        with self._lock:
            first = min((one.due_s for one in self._asked()), default=math.inf)
        return min(self.interval_s, max(0.0, first - self._monotonic()))

    # what came of it

    def answered(self, url: str, content: bytes, sent_s: float, received_s: float) -> None:
        """Take an answer. sent_s, received_s: our wall clock before and after."""
        try:
            export = read_export(content)
        except Incompatible as error:
            self._turned_away(url, "incompatible", str(error))
            return
        except BadExport as error:
            self._turned_away(url, "refused", str(error))
            return
        now_s = self._wall()
        with self._lock:
            address = self._addresses.get(url)
            if address is None or address.absent:
                return
            address.answered(now_s)
            address.run, address.answer_bytes = export.run, len(content)
            skew = Skew(export.time - (sent_s + received_s) / 2, max(0.0, received_s - sent_s))
            address.skews.append(skew)
            address.enter("up", now_s, None)
            address.due_s = self._again(address)
            if export.run == self._own.run:
                address.due_s = self._monotonic() + SELF_S
                return
            surest = address.skew or skew
            self._process(export.run, now_s).take(export, now_s, surest.offset_s)

    def unchanged(self, url: str) -> None:
        """It answered that there is no second since."""
        with self._lock:
            address = self._addresses.get(url)
            known = address is not None and address.run in self._processes
            if address is not None and known and not address.absent:
                now_s = self._wall()
                address.answered(now_s)
                address.enter("up", now_s, None)
                address.due_s = self._again(address)
        if not known:
            self.refused(url, "it told that nothing is new before it told anything")

    def told_by_itself(self, export: Export) -> None:
        """What this process served itself since `own_seq`."""
        with self._lock:
            self._own.take(export, self._wall(), 0.0)

    @property
    def own_seq(self) -> int:
        """The last second of this process that is there."""
        return self._own.seq

    def missed(self, url: str, problem: str) -> None:
        """No answer came."""
        now_s = self._wall()
        with self._lock:
            address = self._addresses.get(url)
            if address is not None and not address.absent:
                address.missed(now_s, problem[:200])
                address.due_s = self._again(address)

    def refused(self, url: str, problem: str) -> None:
        """It answered with an error: it is there, but tells us nothing."""
        self._turned_away(url, "refused", problem)

    def _turned_away(self, url: str, state: str, problem: str) -> None:
        now_s = self._wall()
        with self._lock:
            address = self._addresses.get(url)
            if address is None or address.absent:
                return
            address.answered(now_s)
            address.failed += 1
            address.enter(state, now_s, problem[:200])
            address.due_s = self._again(address)

    def _again(self, address: Address) -> float:
        """When it is asked next: an interval after the last question, however long that took."""
        return max(self._monotonic(), address.asked_s + address.pause_s(self.interval_s))

    def _process(self, run: str, now_s: float) -> Process:
        found = self._processes.get(run)
        if found is None:
            self._forget(now_s)
            found = self._processes[run] = Process(run)
        return found

    def _forget(self, now_s: float) -> None:
        """Drop processes that no address has and whose steps are all old, then the oldest."""
        held = {address.run for address in self._addresses.values()} | {self._own.run}
        gone = [one for one in self._processes.values() if one.run not in held]
        gone.sort(key=lambda one: one.heard_s)
        spare = max(0, len(self._processes) - MAX_PROCESSES + 1)
        for place, process in enumerate(gone):
            if place < spare or process.heard_s < now_s - RING_S:
                del self._processes[process.run]

    # what it amounts to

    def view(self) -> View:
        """Everything, copied under the lock; figures are computed from it elsewhere."""
        now_s = self._wall()
        with self._lock:
            rows: list[Seen] = []
            first_of: dict[str, str] = {}
            for address in self._addresses.values():
                if address.state == "up" and address.run is not None:
                    first_of.setdefault(address.run, address.url)
            own_url = first_of.get(self._own.run)
            if own_url is None:
                rows.append(self._seen_self(now_s))
            rows += [self._seen(one, first_of, now_s) for one in self._addresses.values()]
            shown = {row.run for row in rows if row.steps}
            past = [
                process.newest(STEPS, now_s)
                for process in self._processes.values()
                if process.run not in shown
            ]
            return View(now_s, rows, past, self._left_out, self.problems)

    def _seen_self(self, now_s: float) -> Seen:
        own = self._own
        since_s = own.latest.started if own.latest else now_s
        steps = own.newest(STEPS, now_s)
        return Seen("", "self", since_s, own.run, heard_s=now_s, latest=own.latest, steps=steps)

    def _seen(self, address: Address, first_of: dict[str, str], now_s: float) -> Seen:
        state, run, of = address.state, address.run, ""
        if state == "up" and run is not None:
            if first_of[run] != address.url:
                state, of = "duplicate", first_of[run]
            elif run == self._own.run:
                state = "self"
        process = self._processes.get(run or "")
        shown = process if state != "duplicate" else None
        return Seen(
            address.url,
            state,
            address.since_s,
            run,
            address.problem,
            of,
            address.heard_s,
            address.asked,
            address.failed,
            address.answer_bytes,
            address.skew,
            process.latest if process is not None else None,
            shown.newest(STEPS, now_s) if shown is not None else (),
        )
