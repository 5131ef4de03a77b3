"""Asking peers: who they are, one small question each every few seconds, off every request's path.

    thread "fleet"        says who is due; takes what this process served itself
    pool "fleet-ask"      at most ASKERS threads: the questions, and the looking up of names

Nothing of this is there where `peers` is empty.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import orjson

from app.outgoing import Answer, Outgoing, OutgoingError
from engine.engine import Engine
from engine.errors import Overloaded
from engine.executors.pool import WorkerPool
from engine.fleet.addresses import MAX_PEERS, Peers, ray_addresses, read_peers, url_of
from engine.fleet.export import MOST_BYTES
from engine.fleet.fleet import Ask, Fleet
from engine.fleet.steps import RING_S
from engine.fleet_export import figures_of, fleet_export
from engine.supervised import Supervised

log = logging.getLogger("pyrometer.fleet")
PATH = "/performance/fleet/export"
ASKERS = 4
TIMEOUT_S = 2.0
LOOK_UP_S = 10.0
ROUNDS = 4
"""Of the thread, in an interval, at most: peers that are due soon after each other share one."""
SAME_KEY = (
    "peers_key is api_key: whoever answers at a peer's address learns a key of all scopes; "
    "give peers a key of scope view"
)
Look = Callable[[str, int], Iterable[str]]


def look_up(name: str, port: int) -> list[str]:
    """Every address of a name, A and AAAA. Raises OSError."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return sorted({str(address[4][0]) for address in found})


class Sources:
    """Where peers are now: those named, and those found by name or by Ray.

    What was found stays for RING_S after it was last found: a process that is gone is to be
    shown as lost, and its figures of these minutes are still there. It is not asked any more:
    its address may be another's by now, and a question carries a key.
    """

    def __init__(
        self,
        peers: Peers,
        nodes: Callable[[], Sequence[str]],
        look: Look = look_up,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peers, self._nodes = peers, nodes
        self._look, self._monotonic = look, monotonic
        self._found: dict[str, float] = {}
        self._current: dict[tuple[str, int], frozenset[str]] = {}
        self._under_way: set[tuple[str, int]] = set()
        self._problems: dict[str, str] = {}
        self._looked: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()

    def due(self) -> list[tuple[str, int]]:
        """Names to look up now; each is due again after LOOK_UP_S, once it is `looked` up."""
        now_s = self._monotonic()
        with self._lock:
            names = [
                name
                for name in self._peers.names
                if name not in self._under_way
                and now_s - self._looked.get(name, -LOOK_UP_S) >= LOOK_UP_S
            ]
            self._under_way |= set(names)
        self._looked |= dict.fromkeys(names, now_s)
        return names

    def looked(self, name: tuple[str, int]) -> None:
        """Its look-up is over, or was never begun."""
        with self._lock:
            self._under_way.discard(name)

    def resolve(self, name: str, port: int) -> None:
        """Look a name up and keep what it has."""
        try:
            urls = [url_of(host, port) for host in self._look(name, port)]
        except OSError as error:
            with self._lock:
                self._problems[name] = f"dns://{name}:{port}: {error.strerror or 'no address'}"
            return
        finally:
            self.looked((name, port))
        with self._lock:
            self._problems.pop(name, None)
            self._current[name, port] = frozenset(urls)
            self._found |= dict.fromkeys(urls, self._monotonic())

    def urls(self) -> tuple[list[str], list[str]]:
        """All that are shown, and those of them that are asked.

        Asked are those named, and what the last look-up that succeeded had; of the others those
        that were there last come first.
        """
        now_s = self._monotonic()
        nodes = self._nodes() if self._peers.ray else ()
        with self._lock:
            self._found |= dict.fromkeys(nodes, now_s)
            self._found = {
                url: seen_s for url, seen_s in self._found.items() if now_s - seen_s <= RING_S
            }
            there = set(nodes).union(*self._current.values()) & self._found.keys()
            gone = sorted(self._found.keys() - there, key=lambda url: (-self._found[url], url))
            asked = [*self._peers.fixed, *sorted(there)]
            return [*asked, *gone], asked

    @property
    def problems(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._problems.values())


class Puller:
    """Keeps a fleet up to date. own: what this process served after a second of its own."""

    def __init__(
        self,
        fleet: Fleet,
        sources: Sources,
        own: Callable[[int], Any],
        ask: Callable[[Ask], Answer],
    ) -> None:
        self.fleet = fleet
        self._sources, self._own, self._ask = sources, own, ask
        self.pool = WorkerPool("fleet-ask", ASKERS, 2 * MAX_PEERS)
        self._under_way: set[str] = set()
        self._failing: set[str] = set()
        self._stopping = threading.Event()
        self.thread = Supervised("fleet", self._run)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self.thread.join(2)
        self.pool.close(wait_s=0)

    @property
    def threads(self) -> list[Supervised]:
        return [self.thread, *self.pool.threads]

    def _run(self) -> None:
        while True:
            self.round()
            pause_s = max(self.fleet.interval_s / ROUNDS, self.fleet.next_due_s())
            if self._stopping.wait(pause_s):
                return

    def round(self) -> None:
        """Give what is due to the pool."""
        for part in (self._tell_own, self._follow):
            try:
                part()
                self._failing.discard(part.__name__)
            except Exception:
                # Peers must be asked whatever this process cannot tell.
                if part.__name__ not in self._failing:
                    log.exception("the fleet's round goes on without %s", part.__name__)
                self._failing.add(part.__name__)
        for ask in self.fleet.due():
            if ask.url in self._under_way:
                continue  # one peer never takes two of the askers
            self._under_way.add(ask.url)
            if not self._give(partial(self._pull, ask)):
                self._under_way.discard(ask.url)
                self.fleet.missed(ask.url, "it could not be asked: too many wait to be")

    def _tell_own(self) -> None:
        self.fleet.told_by_itself(self._own(self.fleet.own_seq))

    def _follow(self) -> None:
        for name in self._sources.due():
            if not self._give(partial(self._sources.resolve, *name)):
                self._sources.looked(name)
        self.fleet.follow(*self._sources.urls())
        self.fleet.problems = self._sources.problems

    def _give(self, job: Callable[[], None]) -> bool:
        try:
            self.pool.submit(job)
        except Overloaded:
            return False
        return True

    def _pull(self, ask: Ask) -> None:
        """One question, and what came of it."""
        try:
            if not self.fleet.is_asked(ask.url):
                return  # it went while it waited
            sent_s = time.time()
            answer = self._ask(ask)
            self._take(ask, answer, sent_s)
        except OutgoingError as error:
            self.fleet.missed(ask.url, str(error))
        except Exception as error:
            # Whatever it was: this peer must be asked again.
            log.exception("%s could not be asked", ask.url)
            self.fleet.missed(ask.url, type(error).__name__)
        finally:
            self._under_way.discard(ask.url)

    def _take(self, ask: Ask, answer: Answer, sent_s: float) -> None:
        if answer.status == 200:
            self.fleet.answered(ask.url, answer.content, sent_s, time.time())
        elif answer.status == 304:
            self.fleet.unchanged(ask.url)
        elif answer.status >= 500 or answer.status == 429:
            self.fleet.missed(ask.url, f"answered {answer.status}{_why(answer.content)}")
        else:
            hint = "; see peers_key" if answer.status in (401, 403) else ""
            self.fleet.refused(ask.url, f"answered {answer.status}{_why(answer.content)}{hint}")


def _why(content: bytes) -> str:
    """The words of an error of a Pyrometer, or nothing."""
    try:
        words = orjson.loads(content)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return f": {words[:120]}" if isinstance(words, str) else ""


def asker(http: Outgoing, key: str) -> Callable[[Ask], Answer]:
    """Asks peers by HTTP. Raises OutgoingError."""
    known = {"authorization": f"Bearer {key}"} if key else {}

    def ask(wanted: Ask) -> Answer:
        url = f"{wanted.url}{PATH}?since={wanted.since}&run={wanted.run}"
        headers = {**known, "if-none-match": f'"{wanted.run}-{wanted.since}"'}
        return http.ask("GET", url, headers, most_bytes=MOST_BYTES)

    return ask


def puller_of(engine: Engine) -> Puller:
    """The puller of an engine's settings, not yet started. Raises ConfigurationError."""
    settings = engine.settings
    peers = read_peers(settings.peers)
    engine.fleet = Fleet(engine.recorder.run_id, settings.peers_interval_s)
    fleet, most = engine.fleet, 2 * MAX_PEERS
    if settings.api_key and settings.peers_key == settings.api_key:
        engine.ticker.event("fleet", SAME_KEY)
    http = Outgoing("peers", "", ASKERS, MAX_PEERS, TIMEOUT_S)
    sources = Sources(peers, lambda: ray_addresses(figures_of(engine.remote), engine.listening[1]))
    puller = Puller(
        fleet,
        sources,
        lambda since: fleet_export(engine, since, engine.recorder.run_id),
        asker(http, settings.peers_key),
    )

    def outgoing() -> list[dict[str, Any]]:
        queue = {"waiting": puller.pool.queued, "waiting_limit": most}
        return [http.figures(to=f"{fleet.followed} addresses", **queue)]

    engine.outgoing.append(outgoing)
    engine.monitoring.watched.append(lambda: puller.threads)
    return puller
