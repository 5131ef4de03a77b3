"""The server's end of its bridge to Ray: a child process, begun anew whenever it ends.

    Link.call(head, payload) -> frame -> bridge -> Ray
                             <- frame <-

The child holds the connection to Ray, because a process that is connected ends with its Ray
node and has hundreds of threads. Both ends of their socket are made here and one is
inherited, so nobody else can connect. Once the child is lost every call under way fails
at once with RemoteLost, and so do all until the next child has connected.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from engine.errors import without_folders
from engine.executors.frames import BadFrame, Message, frame_of, read_frame
from engine.executors.remote import RemoteLost
from engine.supervised import Supervised

log = logging.getLogger(__name__)
LEAST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
CALM_S = 30.0
"""A bridge that was up so long is begun anew after the least pause."""
END_WAIT_S = 5.0
CONNECT_S = 90.0
SILENCE_S = 20.0
"""A bridge that is up reports every second; one that says nothing for so long is ended."""
STARTING, UP, AWAY = "starting", "up", "away"
BRIDGE = "engine.executors.ray_bridge"
ROOT = Path(__file__).parent.parent.parent
HIDDEN_PREFIX = "PYROMETER_"
"""Settings may be secrets, and a cluster is not the server."""

Spawn = Callable[[int, IO[bytes]], "subprocess.Popen[bytes]"]


def spawn_bridge(descriptor: int, words: IO[bytes]) -> subprocess.Popen[bytes]:
    """The bridge, in a session of its own; descriptor: its end of the socket."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(HIDDEN_PREFIX)}
    return subprocess.Popen(
        [sys.executable, "-m", BRIDGE, str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=words,
        stderr=words,
        cwd=ROOT,
        env=environment,
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def nothing_at(address: str) -> str:
    """Why nobody is to be reached at host:port, in words; "" for another form of address."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return ""
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
            return ""
    except OSError as error:
        return f"no Ray at {address}: {error.strerror or error}"


class _Waiting:
    """A call under way. answer: None where the bridge was lost."""

    __slots__ = ("answer", "ended")

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.answer: Message | None = None


class Link:
    """See above. config: what the bridge is told first. folder: for what it says on its output.
    away: why there is nothing to connect to, in words, so that no bridge is begun in vain; ""
    where there may be.

    state: STARTING, UP or AWAY; since_s: when that began, unix seconds. problem: why it is away,
    in words. report: the bridge's newest, as its head. on_report: told each. on_change: told
    when the state changes. Both are called on a thread of the link's, and must not wait for it.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        on_change: Callable[[str], None] = lambda state: None,
        on_report: Callable[[dict[str, Any]], None] = lambda report: None,
        spawn: Spawn = spawn_bridge,
        away: Callable[[], str] = lambda: "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state, self.since_s, self.problem = STARTING, time.time(), ""
        self.report: dict[str, Any] = {}
        self.starts = 0
        self.thread = Supervised("ray-link", self._work)
        self._folder, self._config = folder, config
        self._on_change, self._spawn, self._away = on_change, spawn, away
        self._on_report, self._monotonic = on_report, monotonic
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._socket: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._spoken_s = 0.0

    def start(self) -> None:
        self.thread.start()

    @property
    def process_id(self) -> int | None:
        """Of the bridge, while there is one."""
        child = self._child
        return child.pid if child is not None else None

    def call(self, head: Mapping[str, Any], payload: bytes, timeout_s: float) -> Message:
        """Send a message and wait for its answer. Raises RemoteLost."""
        number, waiting = next(self._ids), _Waiting()
        data = frame_of({**head, "id": number}, payload)
        with self._lock:
            if self.state != UP:
                raise RemoteLost(self.problem or "Ray is not connected yet")
            self._waiting[number] = waiting
        try:
            self._send(data)
            if not waiting.ended.wait(timeout_s):
                raise RemoteLost(f"no answer within {timeout_s:g} s")
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if waiting.answer is None:
            raise RemoteLost(self.problem or "the bridge to Ray ended")
        return waiting.answer

    def _send(self, data: bytes) -> None:
        with self._sending:
            connection = self._socket
            if connection is None:
                raise RemoteLost("the bridge to Ray ended")
            try:
                connection.sendall(data)
            except OSError as error:
                # Part of a frame may have gone: nothing that follows would be understood.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                raise RemoteLost(f"the bridge to Ray ended: {error}") from None

    def close(self, wait_s: float = END_WAIT_S) -> None:
        """Let the bridge take its deployments down and end; after wait_s it is ended."""
        self._stop.set()
        with contextlib.suppress(RemoteLost):
            self._send(frame_of({"op": "end"}))
        self.thread.join(wait_s)
        self._end_child()

    def _work(self) -> None:
        pause_s = LEAST_PAUSE_S
        while not self._stop.is_set():
            began_s = self._monotonic()
            try:
                if why := self._away():
                    self._lost(why)
                else:
                    self._connect_once()
            except (OSError, BadFrame, ValueError) as error:
                self._lost(without_folders(str(error)))
            except Exception as error:
                log.exception("the bridge to Ray is begun anew")
                self._lost(without_folders(f"{type(error).__name__}: {error}"))
            finally:
                self._end_child()
            if self._monotonic() - began_s > CALM_S:
                pause_s = LEAST_PAUSE_S
            self._stop.wait(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _connect_once(self) -> None:
        """One bridge, from its start to its end."""
        ours, its = socket.socketpair()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._config.get("folder") and not self._config.get("address"):
            # An embedded Ray leaves its session behind, and the next one makes its own.
            shutil.rmtree(self._folder / "session", ignore_errors=True)
        with ours, (self._folder / "bridge.log").open("wb") as words:
            self.starts += 1
            with its:
                self._child = self._spawn(its.fileno(), words)
            ours.settimeout(CONNECT_S)
            ours.sendall(frame_of({"op": "hello", **self._config}))
            with self._sending:
                self._socket = ours
            try:
                self._listen(ours)
            except RemoteLost as lost:
                self._lost(str(lost))
            except TimeoutError:
                self._lost(f"the bridge to Ray said nothing for {ours.gettimeout():g} s")
            finally:
                with self._sending:
                    self._socket = None

    def _listen(self, connection: socket.socket) -> None:
        why, stream = "the bridge to Ray ended", connection.makefile("rb")
        while (message := read_frame(stream)) is not None:
            head, _ = message
            match head.get("op"):
                case "answer":
                    self._answered(message)
                case "report":
                    self.report = head
                    self._tell(self._on_report, head)
                case "up":
                    connection.settimeout(SILENCE_S)
                    self._set(UP, "")
                case "away":
                    why = str(head.get("why", why))[:300]
        self._lost(why)

    def _answered(self, message: Message) -> None:
        with self._lock:
            waiting = self._waiting.pop(int(message[0].get("id", 0)), None)
        if waiting is not None:  # else whoever asked has gone
            waiting.answer = message
            waiting.ended.set()

    def _lost(self, why: str) -> None:
        self._set(AWAY, "closed" if self._stop.is_set() else why)

    def _set(self, state: str, problem: str) -> None:
        """Whoever waits for an answer that cannot come is told first."""
        waiting: list[_Waiting] = []
        with self._lock:
            changes = state != self.state
            self.state, self.problem = state, problem
            if changes:
                self.since_s = time.time()
            if state == AWAY:
                waiting, self._waiting = list(self._waiting.values()), {}
        for one in waiting:
            one.ended.set()
        if changes:
            log.info("Ray is %s%s", state, f": {problem}" if problem else "")
            self._tell(self._on_change, state)

    def _tell(self, whom: Callable[[Any], None], what: Any) -> None:
        """What those who are told make of it must not end the link."""
        try:
            whom(what)
        except Exception:
            log.exception("what Ray's bridge said was not taken")

    def _end_child(self) -> None:
        child = self._child
        if child is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_WAIT_S if self._stop.is_set() else 0.2)
        # Also what it began and left behind: an embedded Ray's agents outlive their node.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        self._child = None
