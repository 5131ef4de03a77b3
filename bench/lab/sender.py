"""Open and closed loop over kept connections, on one event loop.

    due times -> alarm -> a free connection, else the backlog   open loop
    connection ready -> the next request at once                closed loop
    answer -> tally; timeouts, refusals, broken answers -> tally.failed

Open loop: a request that is due is sent as soon as a connection is free, late ones first; none
is skipped. Should the oldest be more than GIVE_UP_S (or the timeout) late, the run is given up.
Nothing that is sent in the warm-up is counted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from bench.lab.clocks import Alarm, now_ns
from bench.lab.connection import Connection, Shot, opening_words
from bench.lab.tally import Tally
from bench.lab.target import Target
from engine.errors import PyrometerError

GIVE_UP_S = 10.0
AGAIN_S = 0.05
MOST_BACKLOG = 2_000_000
OPENING_AT_ONCE = 128
LEAST_OPENING_S = 1.0
JUDGED_SHARE = 0.1
"""Lag is judged by the last tenth of an open loop's sends."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sender needs. due_s: None is a closed loop, which ends at `until_s`."""

    target: Target
    shots: Iterator[Shot]
    connections: int
    timeout_s: float
    warmup_s: float
    until_s: float
    due_s: Iterator[float] | None


class Sender:
    """One run's sending. `warm` has what the warm-up saw, `tally` the rest."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._shots = plan, plan.shots
        self._loop = asyncio.get_running_loop()
        self.warm, self.tally = Tally(), Tally()
        self._connections = [Connection(self) for _ in range(plan.connections)]
        self._free: deque[Connection] = deque()
        self._backlog: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ssl = ssl.create_default_context() if plan.target.scheme == "https" else None
        self._in_flight = 0
        self._sending = self._stopping = False
        self._exhausted = plan.due_s is None
        self._next_ns = 0
        self._over = asyncio.Event()
        self._last_error = ""
        self.start_ns = self.measured_from_ns = self.end_ns = 0
        self._judged_from_ns = 0
        self.lag = 0.0
        self.gave_up = False
        self.finished_in_time = 0

    async def open(self) -> None:
        """Open all connections. Raises PyrometerError where not one could be."""
        limit = asyncio.Semaphore(OPENING_AT_ONCE)

        async def first(connection: Connection) -> bool:
            async with limit:
                return await self._connect(connection)

        made = await asyncio.gather(*(first(one) for one in self._connections))
        for connection, was_made in zip(self._connections, made, strict=True):
            if not was_made:
                self._start(self._reopen(connection))
        if not any(made):
            url = self._plan.target.url
            raise PyrometerError(f"no server answers at {url}: {self._last_error}")

    async def run(self) -> None:
        """Send until the end or `stop`; return when every answer is there or has timed out."""
        self.start_ns = now_ns()
        self.measured_from_ns = self.start_ns + int(self._plan.warmup_s * 1e9)
        self.end_ns = self.start_ns + int(self._plan.until_s * 1e9)
        self._judged_from_ns = self.end_ns - int(
            JUDGED_SHARE * (self.end_ns - self.measured_from_ns)
        )
        self._sending = True
        sweep = asyncio.ensure_future(self._sweep())
        alarm = Alarm(self._loop, self._due)
        self._alarm = alarm
        try:
            if self._plan.due_s is None:
                self._closed_begin()
            else:
                self._advance()
                self._due()
            await self._over.wait()
        finally:
            alarm.close()
            sweep.cancel()
            self.close()

    def stop(self) -> None:
        """Send no more and wait for no answer."""
        self._stopping = True
        self._sending = False
        self._over.set()

    def tick(self) -> None:
        """Once a second: is the run beyond catching up?"""
        if not self._backlog:
            return
        late_s = (now_ns() - self._backlog[0]) / 1e9
        if late_s > max(GIVE_UP_S, self._plan.timeout_s) or len(self._backlog) > MOST_BACKLOG:
            self.gave_up = True
            self.lag = self._lag_of(self._backlog[0], int(late_s * 1e9))
            self.stop()

    # open loop

    def _advance(self) -> None:
        due_s = next(self._plan.due_s, None) if self._plan.due_s is not None else None
        if due_s is None:
            self._exhausted = True
            self._finish_if_done()
        else:
            self._next_ns = self.start_ns + int(due_s * 1e9)

    def _due(self) -> None:
        """Send or queue every request whose time has come, then set the alarm for the next."""
        while self._sending and not self._exhausted:
            due_ns = self._next_ns
            if due_ns > now_ns():
                self._alarm.set(due_ns)
                return
            if due_ns >= self.measured_from_ns:
                self.tally.due += 1
            else:
                self.warm.due += 1
            if self._free:
                self._send(self._free.popleft(), due_ns)
            else:
                self._backlog.append(due_ns)
            self._advance()

    def _send(self, connection: Connection, due_ns: int) -> None:
        self._in_flight += 1
        connection.send(next(self._shots), due_ns)
        late_ns = connection.sent_ns - connection.intended_ns
        if due_ns >= self.measured_from_ns:
            self.tally.late.waiting.append(late_ns)
            if due_ns < self._judged_from_ns:
                self.lag = self._lag_of(due_ns, late_ns)
            else:
                self.lag = min(self.lag, self._lag_of(due_ns, late_ns))

    def _lag_of(self, due_ns: int, late_ns: int) -> float:
        """The share of its schedule that the sender is behind when it sends this one.

        Of the warm-up's schedule where that is not over.
        """
        began_ns = self.start_ns if due_ns < self.measured_from_ns else self.measured_from_ns
        return late_ns / max(1, due_ns - began_ns + late_ns)

    # closed loop

    def _closed_begin(self) -> None:
        self._loop.call_at(self._loop.time() + self._plan.until_s, self._closed_end)
        while self._free:
            self.ready(self._free.popleft())

    def _closed_end(self) -> None:
        self._sending = False
        self.finished_in_time = self.tally.requests
        self._finish_if_done()

    # what connections report

    def ready(self, connection: Connection) -> None:
        if not self._sending:
            self._free.append(connection)
            if self.start_ns:
                self._finish_if_done()
        elif self._plan.due_s is None:
            self._in_flight += 1
            connection.send(next(self._shots), 0)
        elif self._backlog:
            self._send(connection, self._backlog.popleft())
        else:
            self._free.append(connection)
            if self._exhausted:
                self._finish_if_done()

    def answered(self, connection: Connection, status: int, done_ns: int) -> None:
        self._in_flight -= 1
        tally = self._tally_of(connection.intended_ns)
        shot = connection.shot
        tally.statuses[status] += 1
        if not 200 <= status < 300:
            if shot is None or status not in shot.expected:
                tally.failed(f"status {status}")
                return
            tally.expected_errors += 1
        tally.requests += 1
        tally.latency.waiting.append(done_ns - connection.intended_ns)
        tally.service.waiting.append(done_ns - connection.sent_ns)
        if connection.server_ns >= 0:
            tally.server.waiting.append(connection.server_ns)

    def broken(self, connection: Connection, text: str) -> None:
        self._in_flight -= 1
        self._tally_of(connection.intended_ns).failed(text)

    def gone(self, connection: Connection) -> None:
        if self._stopping:
            return
        if connection in self._free:
            self._free.remove(connection)
        self._start(self._reopen(connection))
        self._finish_if_done()

    def _tally_of(self, intended_ns: int) -> Tally:
        return self.tally if intended_ns >= self.measured_from_ns else self.warm

    def _finish_if_done(self) -> None:
        over = self._exhausted and not self._backlog and not self._in_flight
        if over and (self._plan.due_s is not None or not self._sending):
            self._over.set()

    # connections and timeouts

    def _start(self, work: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: Connection) -> bool:
        target = self._plan.target
        try:
            async with asyncio.timeout(max(LEAST_OPENING_S, self._plan.timeout_s)):
                await self._loop.create_connection(
                    lambda: connection, target.host, target.port, ssl=self._ssl
                )
        except (OSError, TimeoutError) as error:
            self._last_error = opening_words(error)
            return False
        if not connection.is_made:
            self._last_error = "the connection was closed as soon as it was open"
            return False
        connection.is_open = True
        self.ready(connection)
        return True

    async def _reopen(self, connection: Connection) -> None:
        """Open it again; each vain attempt is the fate of one request that waits to be sent."""
        while not self._stopping and not await self._connect(connection):
            if self._backlog:
                self._tally_of(self._backlog.popleft()).failed(self._last_error)
                self._finish_if_done()
            elif self._plan.due_s is None and self._sending:
                self._tally_of(now_ns()).failed(self._last_error)
            await asyncio.sleep(AGAIN_S)

    async def _sweep(self) -> None:
        """Fail what has waited too long for its answer."""
        limit_ns = int(self._plan.timeout_s * 1e9)
        text = f"no answer within {self._plan.timeout_s:g} s"
        while True:
            await asyncio.sleep(min(0.05, self._plan.timeout_s / 4))
            now = now_ns()
            for connection in self._connections:
                if connection.shot is None or now - connection.sent_ns < limit_ns:
                    continue
                tally = self._tally_of(connection.intended_ns)
                tally.latency.waiting.append(now - connection.intended_ns)
                tally.service.waiting.append(now - connection.sent_ns)
                self._in_flight -= 1
                tally.failed(text)
                connection.abort()
                self._finish_if_done()

    def close(self) -> None:
        """Close every connection; nothing is counted any more."""
        self._stopping = True
        self._sending = False
        for task in self._tasks:
            task.cancel()
        for connection in self._connections:
            connection.abort()
