"""Deployments on Ray Serve, as the bridge makes them and looks after them; blocking calls."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

POLL_S = 0.1
ECHO = "echo"
MOST_NODES = 64
"""Nodes of a report, those alive first."""


class Failed(Exception):
    """A request of the server's cannot be met; its words go back."""


@dataclass(slots=True)
class App:
    """One deployment that serves. handle: Ray Serve's."""

    name: str
    handle: Any
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)


class Apps:
    """The deployments of one server. config: what the bridge was told; prefix: of their names.

    connected: those that serve, by name. gcs: the address of Ray's control store.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.prefix = f"{config['prefix']}-"
        self.connected: dict[str, App] = {}
        self.gcs = ""
        self._building = threading.Lock()

    def connect(self) -> None:
        """Join Ray, or begin one of our own; raises what Ray raises."""
        import ray
        from ray import serve

        address = self._config["address"]
        options: dict[str, Any] = {
            "namespace": self._config["namespace"],
            "log_to_driver": False,
            "configure_logging": False,
        }
        if address:
            options["address"] = address
        else:
            options |= {"address": "local", "include_dashboard": False}
            options |= {"_node_ip_address": "127.0.0.1", "num_cpus": self._config["cpus"]}
            options |= {"object_store_memory": self._config["object_store_bytes"]}
            if self._config["folder"]:
                options |= {"_temp_dir": self._config["folder"]}
        ray.init(**options)
        self.gcs = ray.get_runtime_context().gcs_address
        serve.start(proxy_location="Disabled")
        self._deploy_echo()

    def _deploy_echo(self) -> None:
        shipped = {"name": ECHO, "kind": self._config["echo"], "arguments": []}
        self.deploy(ECHO, shipped, light=True)

    def get(self, app: str) -> App:
        """One that serves, by its name without the prefix. Raises Failed."""
        found = self.connected.get(f"{self.prefix}{app}")
        if found is None:
            raise Failed(f"{app} is not deployed")
        return found

    def deploy(self, app: str, spec: Mapping[str, Any], light: bool = False) -> None:
        """Deploy, unless it is there already, and wait until it is healthy. Raises Failed.

        spec: name of the deployment, kind of its replicas as module:class, their arguments.
        """
        from ray import serve

        name, timeout_s = f"{self.prefix}{app}", self._config["deploy_timeout_s"]
        status = _statuses().get(name)
        if status is not None and status[0] == "RUNNING":
            self.connected[name] = App(name, serve.get_app_handle(name))
            return
        module, _, kind = spec["kind"].partition(":")
        replica = serve.deployment(getattr(importlib.import_module(module), kind))
        options = self._options(light)
        with self._building:  # it registers modules for pickling: one at a time
            bound = replica.options(name=spec["name"], **options).bind(*spec["arguments"])
            target = serve.RunTarget(bound, name=name, route_prefix=None)
            (handle,) = serve.run_many([target], wait_for_applications_running=False)
        until_s = time.monotonic() + timeout_s
        while True:
            state, words = _statuses().get(name, ("", ""))
            if state == "RUNNING":
                self.connected[name] = App(name, handle)
                return
            late = time.monotonic() > until_s
            if late or state in ("DEPLOY_FAILED", "UNHEALTHY"):
                serve.delete(name, _blocking=False)
                raise Failed(f"not healthy within {timeout_s:g} s: {words}" if late else words)
            time.sleep(POLL_S)

    def _options(self, light: bool) -> dict[str, Any]:
        """How replicas are made; light: one, for which no processor is set aside."""
        config = self._config
        options: dict[str, Any] = {
            "max_ongoing_requests": 64 if light else config["max_ongoing"],
            "max_queued_requests": 2 * config["in_flight"] + 8,  # tries again, samples, trips
            "health_check_period_s": config["health_period_s"],
            "health_check_timeout_s": config["health_timeout_s"],
            "graceful_shutdown_wait_loop_s": 0.2,
            "graceful_shutdown_timeout_s": config["try_timeout_s"],
            "max_constructor_retry_count": 2,
            "logging_config": {"log_level": "ERROR", "enable_access_log": False},
            "ray_actor_options": {"num_cpus": 0 if light else config["replica_cpus"]},
        }
        least, most = config["min_replicas"], config["max_replicas"]
        if light or least == most:
            options["num_replicas"] = 1 if light else most
        else:
            options["autoscaling_config"] = {
                "min_replicas": least,
                "max_replicas": most,
                "target_ongoing_requests": 1,
                "upscale_delay_s": 3,
                "downscale_delay_s": 60,
            }
        return options

    def remove(self, app: str) -> None:
        """Take one down; what it has in hand is finished."""
        from ray import serve

        name = f"{self.prefix}{app}"
        self.connected.pop(name, None)
        serve.delete(name, _blocking=False)

    def take_down(self) -> None:
        """Remove what is ours, and leave."""
        import ray
        from ray import serve

        with contextlib.suppress(Exception):
            for name in [name for name in _statuses() if name.startswith(self.prefix)]:
                serve.delete(name, _blocking=False)
            time.sleep(2 * POLL_S)
        with contextlib.suppress(Exception):
            ray.shutdown()


def _statuses() -> dict[str, tuple[str, str]]:
    """State and words of every application, by its name."""
    from ray import serve

    return {
        name: (str(app.status.value), app.message or _words_of(app))
        for name, app in serve.status().applications.items()
    }


def _words_of(app: Any) -> str:
    return "; ".join(d.message for d in app.deployments.values() if d.message)[:300]


def cluster(prefix: str) -> dict[str, Any]:
    """Nodes, and our applications with their replicas."""
    import ray
    from ray.serve.context import _get_global_client

    details = _get_global_client().get_serve_details()
    apps = {}
    for name, app in details.get("applications", {}).items():
        if not name.startswith(prefix):
            continue
        replicas = [
            {
                "id": one["replica_id"],
                "node": one.get("node_id"),
                "state": str(getattr(one["state"], "value", one["state"])),
                "started_s": one.get("start_time_s"),
            }
            for deployment in app["deployments"].values()
            for one in deployment["replicas"]
        ]
        status = app["status"]
        apps[name] = {"state": str(getattr(status, "value", status)), "replicas": replicas}
    nodes = [
        {
            "id": node["NodeID"],
            "address": node["NodeManagerAddress"],
            "alive": node["Alive"],
            "cpus": node["Resources"].get("CPU", 0.0),
            "memory_bytes": int(node["Resources"].get("memory", 0)),
        }
        for node in ray.nodes()
    ]
    return {"nodes": sorted(nodes, key=lambda node: not node["alive"])[:MOST_NODES], "apps": apps}


def drain_node(node_id: str) -> None:
    """Let Ray move what runs on a node elsewhere. Raises Failed where it will not."""
    import ray
    from ray.core.generated import autoscaler_pb2

    client = ray._private.worker.global_worker.gcs_client
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    taken, why = client.drain_node(node_id, reason, "drained by its operator", 2**62)
    if not taken:
        raise Failed(f"Ray does not drain {node_id[:16]}: {why}")
