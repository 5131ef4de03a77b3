"""A replica: one model's shipped forms on a node of a cluster. Runs in a worker of Ray's.

    shipment   {"plan": as Plan.as_dict, "format": of the artefact, "libraries": name -> version,
                "files": [[name, bytes], ...], "check": [bytes, bytes]} + the files, one after
               another, then the check's row and its expected answer as payloads
    run        rows in, answers out; what the forms cannot answer says so, and is answered at home

Nothing is unpickled: forms are ONNX graphs, treelite models and compiled trees, each compared
with the digest that its plan lists before it is opened.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine.caching.payload import dump_run, load_run
from engine.errors import ArtefactError, without_folders
from engine.models.backends import Backend, onnx_backend
from engine.models.files import sha256_of
from engine.models.forms import open_form
from engine.models.plan import Plan, plan_from_dict
from engine.models.plan_store import verify_files
from engine.models.signature import holds_nan
from engine.shipment import ARTEFACT, libraries
from engine.stacks import StackCounts

STATS_EVERY_S = 1.0
FAILED = (Exception, SystemExit)


class ShippedForms:
    """A plan's chosen forms, opened from files that were shipped; they answer as at home.

    Raises ArtefactError for a file that is not the plan's.
    """

    def __init__(self, shipment: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        self.plan: Plan = plan_from_dict(shipment["plan"])
        with tempfile.TemporaryDirectory(prefix="pyrometer-replica-") as name:
            folder = Path(name)
            for file, content in files.items():
                if Path(file).name != file:
                    raise ArtefactError(f"{file[:80]!r} is no name of a file")
                (folder / file).write_bytes(content)
            artefact = str(shipment.get("artefact") or "")
            self._ranges = [
                (most_rows, self._open(form, folder, artefact))
                for most_rows, form in self.plan.ranges
            ]
        finite_only = any(self.plan.candidate(form).finite_only for _, form in self.plan.ranges)
        self._may_hold_nan = sorted(self.plan.signature.nan_inputs) if finite_only else []

    def _open(self, form: str, folder: Path, artefact: str) -> Backend:
        candidate = self.plan.candidate(form)
        if not candidate.files:
            # A graph that serves as it is: the artefact itself was shipped.
            path = folder / ARTEFACT
            if not path.is_file() or sha256_of(path) != artefact:
                raise ArtefactError(f"the artefact of {form} is not what was shipped")
            return onnx_backend.OnnxBackend(form, path.read_bytes(), candidate.recipe)
        verify_files(folder, candidate)
        (file,) = candidate.files
        return open_form(form, folder / file, candidate.recipe)

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: tuple[str, ...]
    ) -> tuple[dict[str, np.ndarray], str] | None:
        """Answers and the form that gave them; None for what another form would answer.

        Raises whatever the form raises.
        """
        if any(holds_nan(inputs[name]) for name in self._may_hold_nan):
            return None
        rows = len(next(iter(inputs.values())))
        backend = next(backend for most_rows, backend in self._ranges if rows <= most_rows)
        if not backend.covers.issuperset(outputs):
            return None
        return backend.run(inputs, outputs), backend.name


class Replica:
    """What Ray Serve makes one of for each replica.

    Runs go one after another on one thread, so `max_ongoing_requests` is one that runs and those
    that wait here. Raises ArtefactError for a shipment that cannot serve on this node.
    """

    def __init__(self, shipment: Mapping[str, Any], content: bytes, hz: float = 0.0) -> None:
        _check_libraries(shipment["libraries"])
        files, at = {}, 0
        for name, size in shipment["files"]:
            files[name], at = content[at : at + size], at + size
        row_bytes, _ = shipment["check"]
        self._check_row, self._check_answer = (
            content[at : at + row_bytes],
            content[at + row_bytes :],
        )
        self._outputs = tuple(shipment["outputs"])
        self._forms = ShippedForms(shipment, files)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="run")
        self._process = psutil.Process()
        self._stats: dict[str, Any] = {}
        self._stats_s = 0.0
        self._started_s = time.time()
        self._waiting = self._requests = 0
        self._drained = False
        self._stacks = StackCounts(hz)
        self._node, self._name = _whereabouts()

    async def run(self, outputs: list[str], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Rows in, answers out, both as payloads; the head says what it cost, in ns and bytes.

        "kept_home": why this replica's forms do not answer these rows; the payload is empty.
        One that is drained answers until it is taken out: if it refused, it would be idle, and
        whoever looks for an idle replica would ask it again and again.
        """
        arrived_ns = time.perf_counter_ns()
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            head, data = await loop.run_in_executor(
                self._thread, self._run, tuple(outputs), payload, arrived_ns
            )
        finally:
            self._waiting -= 1
        self._requests += 1
        return {**head, **self.report()}, data

    def _run(
        self, outputs: tuple[str, ...], payload: bytes, arrived_ns: int
    ) -> tuple[dict[str, Any], bytes]:
        began_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        head: dict[str, Any] = {"queue_ns": began_ns - arrived_ns}
        data = b""
        try:
            with self._stacks.running():
                inputs, _ = load_run(payload)
                answer = self._forms.run(inputs, outputs)
                if answer is None:
                    head["kept_home"] = "another form answers these rows"
                else:
                    data = dump_run(*answer)
        except FAILED as error:
            # Whose fault it is, the model at home tells, in its own words.
            head["kept_home"] = f"{type(error).__name__}: {without_folders(str(error))}"[:300]
        head["run_ns"] = time.perf_counter_ns() - began_ns
        head["cpu_ns"] = time.thread_time_ns() - cpu_ns
        return head, data

    def report(self) -> dict[str, Any]:
        """Who this is and what it takes; figures of process and node at most STATS_EVERY_S old."""
        now_s = time.monotonic()
        if now_s - self._stats_s > STATS_EVERY_S:
            self._stats_s = now_s
            memory = psutil.virtual_memory()
            self._stats = {
                "cpu_percent": self._process.cpu_percent(),
                "resident_bytes": self._process.memory_info().rss,
                "node_cpu_percent": psutil.cpu_percent(),
                "node_resident_bytes": memory.total - memory.available,
                "uptime_s": round(time.time() - self._started_s, 1),
            }
        known = {"replica": self._name, "node": self._node, "pid": os.getpid()}
        return {
            **known,
            **self._stats,
            "queued": self._waiting,
            "requests": self._requests,
            "drained": self._drained,
        }

    async def look(self, drain: str = "") -> tuple[dict[str, Any], list[Any]]:
        """Its report, and the stacks seen since the last look. drain: the replica that is to go."""
        if drain and drain == self._name:
            self._drained = True
        return self.report(), self._stacks.take()

    async def check_health(self) -> None:
        """Answer the sample row as it was answered at home, to the byte; Ray replaces it if not."""
        if self._drained:
            raise RuntimeError("this replica is being drained")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._check)

    def _check(self) -> None:
        inputs, _ = load_run(self._check_row)
        answer = self._forms.run(inputs, self._outputs)
        if answer is None or dump_run(*answer) != self._check_answer:
            raise RuntimeError("this node answers the sample row otherwise than the server does")


class Echo:
    """Sends back what it is sent: how long the way there and back takes."""

    async def run(self, outputs: list[str], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, payload


def _check_libraries(shipped: Mapping[str, str]) -> None:
    own = libraries()
    other = [f"{k} {own.get(k)}, not {v}" for k, v in shipped.items() if own.get(k) != v]
    if other:
        raise ArtefactError(f"this node has {', '.join(other)}: a plan holds for its versions only")


def _whereabouts() -> tuple[str, str]:
    """The node's and the replica's id; of this process where it is none of Ray's."""
    try:
        import ray
        from ray import serve

        context = serve.get_replica_context()
        return ray.get_runtime_context().get_node_id(), str(context.replica_id.unique_id)
    except Exception:
        return "", str(os.getpid())
