"""The bridge: a process that is connected to Ray on behalf of the server.

    python -m engine.executors.ray_bridge DESCRIPTOR PARENT

server -> bridge   hello (configuration), deploy, remove, run, echo, drain, end
bridge -> server   up, away (why), answer (to one of those, by its id), report (every second)

It knows nothing of models: shipments, rows and answers are bytes that it passes on. It ends with
the server, and whenever its own connection to Ray is of no more use.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.executors.frames import BadFrame, Message, frame_of, read_frame, read_frame_async
from engine.executors.ray_link import nothing_at
from engine.executors.ray_serve import ECHO, App, Apps, Failed, cluster, drain_node

PR_SET_PDEATHSIG = 1
REPORT_EVERY_S = 1.0
CLUSTER_EVERY, REPLICAS_EVERY = 3, 2
"""Reports from one look at the cluster, and at all replicas, to the next: each costs Ray work."""
LOOK_S = 3.0
CLUSTER_SILENCE_S = 30.0
"""A bridge whose cluster answers nothing for so long ends; one that is refused, sooner."""
MOST_REFUSED = 2
PAUSE_S = 0.05
DEPLOYS_AT_ONCE = 4
DRAIN_TRIES = 3
MOST_BY_GRPC = 4 * 1024 * 1024 - 64 * 1024
"""Bytes of rows that a replica's own server takes; more go by Ray's object store."""
NO_FRAME = (BadFrame, TypeError)
"""What an answer that is too large, or is no JSON, raises."""
OF_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ROTATION_MAX_BYTES": str(1024 * 1024),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback address for an embedded Ray
    "RAY_worker_niceness": "0",  # Ray's own 15 lets replicas starve beside anything else
    "RAY_SERVE_USER_HEALTH_CHECK_PROBE_MAX_FAIL": "0",
    # Batches go straight to a replica's own server, and the router runs in this loop, not in a
    # thread beside it: a batch costs the bridge half the processor time.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),  # of the answers that come
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",  # embedded; Ray's own is 0.1
}


class Bridge:
    """See above; `config` is what hello said."""

    def __init__(self, connection: socket.socket, config: Mapping[str, Any]) -> None:
        self._connection, self._config = connection, config
        self._apps = Apps(config)
        self._writer: asyncio.StreamWriter | None = None
        self._deploys = ThreadPoolExecutor(DEPLOYS_AT_ONCE, thread_name_prefix="serve")
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._refused = 0
        self._cluster: dict[str, Any] = {"nodes": [], "apps": {}}
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        """Join Ray, or begin one of our own. Raises what Ray raises."""
        self._apps.connect()

    async def serve(self) -> None:
        """Answer the server until it ends, or says so."""
        reader, self._writer = await asyncio.open_connection(sock=self._connection)
        await self._say({"op": "up"})
        reports = asyncio.create_task(self._report_forever())
        try:
            await self._listen(reader)
        except BadFrame:
            return  # the server lives, and its next bridge finds what is deployed
        finally:
            reports.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._apps.take_down)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while (message := await read_frame_async(reader)) is not None:
            if message[0]["op"] == "end":
                break
            task = asyncio.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _say(self, head: Mapping[str, Any], payload: bytes = b"") -> None:
        assert self._writer is not None
        self._writer.write(frame_of(head, payload))
        await self._writer.drain()

    async def _answer(self, message: Message) -> None:
        head, payload = message
        does: dict[str, Callable[..., Awaitable[Message]]] = {
            "run": self._run,
            "deploy": self._on_deploy,
            "remove": self._on_remove,
            "drain": self._on_drain,
        }
        try:
            answer, data = await does[head["op"]](head, payload)
        except Failed as error:
            answer, data = {"failed": str(error)}, b""
        except Exception as error:
            answer, data = {"failed": _words_of(error)}, b""
        answered = {"op": "answer", "id": head["id"]}
        with contextlib.suppress(ConnectionError):
            try:
                await self._say({**answer, **answered}, data)
            except NO_FRAME as error:
                await self._say({"failed": f"no answer to send: {_first_line(error)}", **answered})

    async def _run(self, head: Mapping[str, Any], payload: bytes) -> Message:
        """One batch: on a replica, or on others as often as it may be tried again."""
        from grpc.aio import AioRpcError
        from ray.exceptions import RayActorError, RaySystemError, TaskCancelledError
        from ray.serve import exceptions as serve

        lost = (
            *(RayActorError, RaySystemError, TaskCancelledError),
            *(serve.BackPressureError, serve.DeploymentUnavailableError),
            *(serve.ReplicaUnavailableError, AioRpcError),
        )
        app = self._apps.get(head["app"])
        large = len(payload) > MOST_BY_GRPC
        run = (app.handle.options(_by_reference=True) if large else app.handle).run
        tries, why = 0, ""
        while tries <= self._config["retries"]:
            if tries:
                await asyncio.sleep(PAUSE_S * tries)
            tries += 1
            try:
                response = run.remote(head["outputs"], payload)
                answer, data = await asyncio.wait_for(_of(response), self._config["try_timeout_s"])
            except TimeoutError:
                response.cancel()
                why = f"no answer within {self._config['try_timeout_s']:g} s"
                break  # what took so long here would take as long elsewhere
            except lost as error:
                why = _words_of(error)
                continue
            if "replica" in answer:
                app.reports[answer["replica"]] = answer
            return {**answer, "tries": tries}, data
        return {"lost": why, "tries": tries}, b""

    async def _on_deploy(self, head: Mapping[str, Any], payload: bytes) -> Message:
        spec = {
            "name": head["model"],
            "kind": self._config["replica"],
            "arguments": [head["shipment"], payload, self._config["stack_hz"]],
        }
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._deploys, self._apps.deploy, head["app"], spec)
        return {}, b""

    async def _on_remove(self, head: Mapping[str, Any], payload: bytes) -> Message:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._deploys, self._apps.remove, head["app"])
        return {}, b""

    async def _on_drain(self, head: Mapping[str, Any], payload: bytes) -> Message:
        """Of a replica, or of all on a node."""
        target = head["target"]
        if any(node["id"] == target for node in self._cluster["nodes"]):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._looks, drain_node, target)
            return {"drained": "node"}, b""
        for app in self._apps.connected.values():
            if app.name == f"{self._apps.prefix}{ECHO}":
                continue
            if target in app.reports or target in self._replicas_of(app):
                await self._drain_replica(app, target)
                return {"drained": "replica"}, b""
        raise Failed(f"no node or replica {target[:64]!r}")

    async def _drain_replica(self, app: App, target: str) -> None:
        """Tell it, and hear that it was told; another that has just died must not hinder that."""
        why = ""
        for _ in range(DRAIN_TRIES):
            try:
                answers = await _looks(app, 3.0, target)
            except Exception as error:
                why = _words_of(error)
                await asyncio.sleep(1.0)
                continue
            if any(report["drained"] and report["replica"] == target for report, _ in answers):
                return
            why = "it is gone already"
        raise Failed(f"replica {target} does not answer: {why}")

    async def _report_forever(self) -> None:
        """Figures of replicas and cluster, every second; ends the bridge when Ray is mute."""
        loop = asyncio.get_running_loop()
        answered_s = time.monotonic()
        looking: asyncio.Future[dict[str, Any]] | None = None
        replicas: dict[str, Any] = {}
        for turn in itertools.count():
            if looking is None and turn % CLUSTER_EVERY == 0:
                looking = loop.run_in_executor(self._looks, cluster, self._apps.prefix)
            if looking is not None:
                done, _ = await asyncio.wait({looking}, timeout=REPORT_EVERY_S)
                if done:
                    with contextlib.suppress(Exception):
                        self._cluster, answered_s = looking.result(), time.monotonic()
                    looking = None
            if why := await self._lost_cluster(answered_s):
                await self._say({"op": "away", "why": why})
                os._exit(1)  # what waits for Ray in other threads would keep it
            replicas.pop("stacks", None)  # they are told once
            if turn % REPLICAS_EVERY == 0:
                with contextlib.suppress(TimeoutError):
                    replicas = await asyncio.wait_for(self._look_at_replicas(), LOOK_S)
            try:
                await self._say({"op": "report", **self._cluster, **replicas})
            except NO_FRAME:
                replicas.pop("stacks", None)
                await self._say({"op": "report", **self._cluster})
            await asyncio.sleep(REPORT_EVERY_S)

    async def _lost_cluster(self, answered_s: float) -> str:
        """Why the cluster is of no more use, in words; "" while it is."""
        if time.monotonic() - answered_s > CLUSTER_SILENCE_S:
            return "the Ray cluster does not answer"
        loop = asyncio.get_running_loop()
        why = await loop.run_in_executor(None, nothing_at, self._apps.gcs)
        self._refused = self._refused + 1 if why else 0
        return why if self._refused >= MOST_REFUSED else ""

    def _replicas_of(self, app: App) -> set[str]:
        """Ids, as the cluster told them last."""
        alive = self._cluster["apps"].get(app.name, {}).get("replicas", [])
        return {one["id"] for one in alive}

    async def _look_at_replicas(self) -> dict[str, Any]:
        """Ask every replica how it is; those that do not answer in time are left out."""
        replicas, stacks = {}, []
        for app in list(self._apps.connected.values()):
            app_name = app.name.removeprefix(self._apps.prefix)
            if app_name == ECHO:
                continue
            with contextlib.suppress(Exception):
                for report, seen in await _looks(app, 2.0):
                    app.reports[report["replica"]] = report
                    stacks += [[app_name, *one] for one in seen]
            known = self._replicas_of(app)
            app.reports = {k: v for k, v in app.reports.items() if not known or k in known}
            replicas[app_name] = list(app.reports.values())
        return {"replicas": replicas, "stacks": stacks}


async def _of(response: Any) -> Any:
    return await response


async def _looks(app: App, timeout_s: float, *drained: str) -> list[Any]:
    """What every replica says of itself; those that have just died are left out."""
    response = app.handle.broadcast("look", *drained)
    answers = await response.results_async(timeout_s=timeout_s, return_exceptions=True)
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def _words_of(error: BaseException) -> str:
    if hasattr(error, "details") and hasattr(error, "code"):  # gRPC's own words are many lines
        return f"{error.code().name}: {str(error.details())[:200]}"
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the server has ended")


def main(arguments: list[str]) -> int:
    """Be the bridge of the server whose socket was inherited; returns the exit status."""
    descriptor, parent = int(arguments[0]), int(arguments[1])
    _die_with(parent)
    os.set_inheritable(descriptor, False)
    os.environ.update(OF_RAY)
    connection = socket.socket(fileno=descriptor)
    unread: Any = connection.makefile("rb", buffering=0)  # what follows is another reader's
    hello = read_frame(unread)
    if hello is None:
        return 0
    config = hello[0]
    os.environ.update(config.get("environment", {}))
    try:
        bridge = Bridge(connection, config)
        bridge.connect()
    except (Exception, SystemExit) as error:
        connection.sendall(frame_of({"op": "away", "why": _words_of(error)}))
        return 1
    asyncio.run(bridge.serve())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
