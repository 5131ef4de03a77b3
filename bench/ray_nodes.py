"""A Ray cluster on this machine, a head and two worker nodes, that does as it is told.

    python -m bench.ray_nodes PORT [CPUS]      port: of the head's control store

One command a line on standard input, one JSON object a line on standard output:

    kill N      worker node N and all on it end at once (SIGKILL)    {"nodes": [...]}
    add         a worker node joins
    stop        all of it ends
    start       all of it begins again, at the same address
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent
WORKERS, ADD_TRIES = 2, 3
OBJECT_STORE_BYTES = 80 * 1024 * 1024
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what keeps it on the loopback address
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
}


class RayNodes:
    """The cluster, as whoever tests against it holds it. Entering starts it.

    cpus: of each worker node, as Ray counts them. words: where what Ray says goes. ids: of the
    worker nodes.
    """

    def __init__(self, port: int, cpus: float, words: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port, self._cpus, self._words = port, cpus, words
        self._child: subprocess.Popen[str] | None = None
        self.ids: list[str] = []

    def __enter__(self) -> RayNodes:
        with self._words.open("wb") as words:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "bench.ray_nodes", str(self._port), str(self._cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                cwd=ROOT,
                env=os.environ | ENVIRONMENT,
                text=True,
            )
        self._told()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def tell(self, command: str) -> list[str]:
        """Have it do something; returns the ids of the worker nodes that are there afterwards."""
        assert self._child is not None
        assert self._child.stdin is not None
        print(command, file=self._child.stdin, flush=True)
        return self._told()

    def _told(self) -> list[str]:
        assert self._child is not None
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the Ray cluster ended: {self._words.read_text()[-2000:]}")
        self.ids = json.loads(line)["nodes"]
        return self.ids


class _Cluster:
    """Within the child."""

    def __init__(self, port: int, cpus: float) -> None:
        self._port, self._cpus = port, cpus
        self.cluster: Any = None
        self.workers: list[Any] = []

    def start(self) -> None:
        from ray.cluster_utils import Cluster

        head = {
            "num_cpus": 0,
            "gcs_server_port": self._port,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "include_log_monitor": False,
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(WORKERS):
            self.add()

    def add(self) -> None:
        for attempt in range(ADD_TRIES):
            try:
                node = self.cluster.add_node(
                    num_cpus=self._cpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_log_monitor=False,
                )
            except Exception:
                # Ray gives a node 30 s to start, which a machine with other work may not.
                if attempt + 1 == ADD_TRIES:
                    raise
            else:
                self.workers.append(node)
                return

    def kill(self, place: int) -> None:
        self.cluster.remove_node(self.workers.pop(place), allow_graceful=False)

    def stop(self) -> None:
        for _ in list(self.workers):
            self.kill(0)
        if self.cluster is not None:
            self.cluster.shutdown()
        self.cluster = None

    def obey(self, line: str) -> None:
        command, _, argument = line.strip().partition(" ")
        does = {"add": self.add, "stop": self.stop, "start": self.start}
        if command == "kill":
            self.kill(int(argument))
        else:
            does[command]()


def main(arguments: list[str]) -> int:
    """Be the cluster until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints is no answer
    cluster = _Cluster(int(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 1.0)
    cluster.start()
    try:
        while True:
            known = [node.node_id for node in cluster.workers]
            print(json.dumps({"nodes": known}), file=answers, flush=True)
            line = sys.stdin.readline()
            if not line:
                return 0
            cluster.obey(line)
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
