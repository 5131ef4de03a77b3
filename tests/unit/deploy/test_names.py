"""What the files of deploy/ call by name is there: settings, routes, metrics, users, times."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.access.reach import check_settings, others_reach
from app.cli import build_parser, overrides_from
from app.routes import ROUTES
from app.server import DRAIN_S
from engine.config import PREFIX, Settings, load_settings
from engine.telemetry.catalogue import FAMILIES
from tests.conftest import ROOT
from tests.unit.deploy import files

KEY = "k" * 32
CONTAINER_ENV = re.compile(r"(PYROMETER_[A-Z_]+)=(\S+)")


def image_environ() -> dict[str, str]:
    """What the image sets."""
    return dict(CONTAINER_ENV.findall((files.DEPLOY / "Containerfile").read_text()))


def env_file() -> dict[str, str]:
    lines = (files.DEPLOY / "pyrometer.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def kubernetes_environ() -> dict[str, str]:
    """What a container of the Deployment finds in its environment."""
    (container,) = files.manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    environ = image_environ() | files.manifest("ConfigMap")["data"]
    environ |= files.manifest("Secret")["stringData"]
    for given in container["env"]:
        value = given.get("value", "10.1.2.3")  # the one of the downward API: the pod's address
        environ[given["name"]] = value.replace("$(POD_IP)", "10.1.2.3")
    return environ


def compose_environ(service: str) -> dict[str, str]:
    return image_environ() | env_file() | files.compose()["services"][service]["environment"]


def environs() -> Iterator[tuple[str, dict[str, str]]]:
    yield "image", image_environ() | {"PYROMETER_API_KEY": KEY}
    yield "kubernetes", kubernetes_environ()
    yield from ((name, compose_environ(name)) for name in ("pyrometer-a", "pyrometer-b"))


@pytest.mark.parametrize(("where", "environ"), environs())
def test_every_variable_is_a_setting_and_its_value_is_taken(
    where: str, environ: dict[str, str]
) -> None:
    assert any(name.startswith(PREFIX) for name in environ), where
    settings = load_settings(environ)
    check_settings(settings)
    assert others_reach(settings)
    assert len(settings.api_key) >= 24


@pytest.mark.parametrize("where", ["kubernetes", "pyrometer-a"])
def test_a_fleet_knows_its_peers_and_shows_them_a_key_that_they_know(where: str) -> None:
    settings = load_settings(dict(environs())[where])
    assert settings.peers
    assert settings.redis_url.startswith("redis://redis")
    assert settings.peers_key == settings.api_key


def test_peers_are_asked_for_by_names_that_they_serve() -> None:
    settings = load_settings(compose_environ("pyrometer-a"))
    asked = set(re.findall(r"http://([^:]+):8050", settings.peers))
    assert asked == set(settings.allowed_hosts.split(","))
    assert asked == {name for name in files.compose()["services"] if name.startswith("pyrometer")}
    assert "10.1.2.3" in load_settings(kubernetes_environ()).allowed_hosts.split(",")


def test_the_peers_name_is_that_of_the_headless_service() -> None:
    headless = files.manifest("Service", "pyrometer-peers")
    assert headless["spec"]["clusterIP"] == "None"
    name = f"{headless['metadata']['name']}.{headless['metadata']['namespace']}.svc.cluster.local"
    port = headless["spec"]["ports"][0]["port"]
    assert files.manifest("ConfigMap")["data"]["PYROMETER_PEERS"] == f"dns://{name}:{port}"


def test_the_flags_of_the_serving_runtime_are_settings() -> None:
    args = files.runtime()["spec"]["containers"][0]["args"]
    words = [word.replace("{{.Name}}", "iris").replace("{{.Namespace}}", "team") for word in args]
    settings = Settings(**overrides_from(build_parser().parse_args(words)))
    check_settings(settings)
    assert (str(settings.models), settings.preload) == ("/mnt/models", "iris")


def probe_paths() -> Iterator[tuple[str, str]]:
    for name, pod in files.pods():
        for container in pod["containers"]:
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "httpGet" in container.get(kind, {}):
                    yield f"{name} {kind}", container[kind]["httpGet"]["path"]


@pytest.mark.parametrize(("where", "path"), probe_paths())
def test_probes_ask_for_routes_that_need_no_key(where: str, path: str) -> None:
    assert ("GET", path) in {(method, route) for method, route, _ in ROUTES}
    assert path == ("/v2/health/ready" if "readiness" in where else "/v2/health/live")


def test_pyrometers_have_all_three_probes_and_the_image_its_own() -> None:
    probed = [where for where, _ in probe_paths()]
    assert len(probed) == 2 * 3
    assert "/v2/health/ready" in (files.DEPLOY / "Containerfile").read_text()


def test_compose_checks_health_as_the_image_does() -> None:
    image = (files.DEPLOY / "Containerfile").read_text()
    for name in ("pyrometer-a", "pyrometer-b"):
        check = files.compose()["services"][name]["healthcheck"]
        kind, program, flag, words = check["test"]
        assert (kind, flag) == ("CMD", "-c")
        assert f'CMD ["{program}", "-c"' in image
        assert f'"{words}"]' in image
        assert f"--start-period={check['start_period']}" in image


def test_nginx_knows_the_cookie_of_a_session() -> None:
    text = (files.DEPLOY / "nginx-fleet.conf").read_text()
    (wanted,) = re.findall(r'"~(\S.*)"\s+console;', text)
    for name in ("pyrometer-1a2b3c", "__Host-pyrometer-1a2b3c"):
        assert re.search(wanted, f"{name}=x")
        assert re.search(wanted, f"other=y; {name}=x")
    for other in ("", "other=pyrometer-", "not-pyrometer-1=x"):
        assert not re.search(wanted, other)
    assert "{prefix}pyrometer-{self" in (ROOT / "app/access/cookies.py").read_text()


def test_a_caller_stays_with_a_pod() -> None:
    service = files.manifest("Service", "pyrometer")
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_the_autoscaler_looks_at_a_gauge_that_is_exported_and_adapted() -> None:
    metrics = files.manifest("HorizontalPodAutoscaler")["spec"]["metrics"]
    (name,) = (m["pods"]["metric"]["name"] for m in metrics if m["type"] == "Pods")
    (family,) = (family for family in FAMILIES if family.name == name)
    assert family.kind == "gauge"
    (adapted,) = files.documents(files.DEPLOY / "prometheus-adapter-values.yaml")
    (rule,) = adapted["rules"]["custom"]
    assert rule["seriesQuery"].startswith(name + "{")
    assert rule["name"]["as"] == name


def test_who_scales_is_not_overruled_by_a_number_of_replicas() -> None:
    assert "replicas" not in files.manifest("Deployment")["spec"]


def test_there_is_time_to_drain() -> None:
    pod = files.manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    waits_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= waits_s + DRAIN_S
    for name in ("pyrometer-a", "pyrometer-b"):
        given = files.compose()["services"][name]["stop_grace_period"]
        assert int(given.removesuffix("s")) > DRAIN_S


def test_nginx_gives_up_connections_first_and_patience_last() -> None:
    text = (files.DEPLOY / "nginx-fleet.conf").read_text()
    kept_s = [int(found) for found in re.findall(r"keepalive_timeout (\d+)s", text)]
    (reads_s,) = re.findall(r"proxy_read_timeout (\d+)s", text)
    assert len(kept_s) == 2
    assert max(kept_s) < Settings().keep_alive_s
    assert int(reads_s) > Settings().load_wait_s


@pytest.mark.parametrize(("name", "pod"), files.pods())
def test_pods_need_no_rights(name: str, pod: files.Document) -> None:
    writable = {volume["name"] for volume in pod.get("volumes", []) if "emptyDir" in volume}
    for container in pod["containers"]:
        rights = pod.get("securityContext", {}) | container["securityContext"]
        assert rights["runAsNonRoot"] is True
        assert rights["runAsUser"] > 0
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "memory" in container["resources"]["limits"]
        mounts = container.get("volumeMounts", [])
        assert all(m["name"] in writable or m.get("readOnly") for m in mounts)


@pytest.mark.parametrize("name", sorted(files.compose()["services"]))
def test_services_of_compose_need_no_rights(name: str) -> None:
    service = files.compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    published = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    assert published == []


def test_the_image_runs_as_the_user_that_the_manifests_name_and_holds_no_secret() -> None:
    text = (files.DEPLOY / "Containerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    for _, pod in files.pods():
        for container in pod["containers"]:
            if container["image"].startswith("pyrometer:"):
                rights = pod.get("securityContext", {}) | container["securityContext"]
                assert rights["runAsUser"] == int(user)
    assert text.count("\nFROM ") == 2
    secret = {name for name in Settings.__dataclass_fields__ if "key" in name or "secret" in name}
    given = {name.removeprefix(PREFIX).lower() for name in image_environ()}
    assert not secret & given
    kept = (files.ROOT / ".dockerignore").read_text().splitlines()
    assert kept[0] == "*"
    assert not any("models" in line or "state" in line for line in kept)


def test_what_the_image_leaves_out_is_not_what_a_server_needs() -> None:
    command = [sys.executable, str(files.DEPLOY / "unneeded.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    left_out = set(done.stdout.split())
    assert {"pytest", "ruff", "mypy", "hypothesis", "playwright"} <= left_out
    assert not {"numpy", "onnxruntime", "flask", "dash", "uvloop", "werkzeug", "pip"} & left_out
