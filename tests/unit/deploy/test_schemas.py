"""Every file of deploy/ against the schema or the program that judges it."""

from __future__ import annotations

import shutil
from pathlib import Path

import kubernetes_validate
import pytest

from app.cli import build_parser
from tests.unit.deploy import files

KUBERNETES = ("1.32", "1.37")
NO_SCHEMA = {"ServiceMonitor"}
"""Of the Prometheus operator: its schema is no part of Kubernetes."""
KSERVE_FIELDS = {
    *("supportedModelFormats", "protocolVersions", "multiModel"),
    *("containers", "volumes"),
}
"""Those of ServingRuntimeSpec that are used here, as KServe 0.21's client has them."""


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize(("name", "found"), files.kubernetes(), ids=lambda given: str(given)[:60])
def test_manifests_keep_the_schema_of_kubernetes(
    name: str, found: files.Document, version: str
) -> None:
    if found["kind"] in NO_SCHEMA:
        assert found["apiVersion"] == "monitoring.coreos.com/v1"
        return
    kubernetes_validate.validate(found, version, strict=True)


def test_a_misspelt_field_does_not_pass() -> None:
    wrong = files.manifest("PodDisruptionBudget")
    wrong["spec"]["maxUnavailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailabel"):
        kubernetes_validate.validate(wrong, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_containers_of_the_serving_runtime_are_those_of_a_pod(version: str) -> None:
    pod = dict(files.pods())["kserve"]
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pyrometer"}, "spec": pod}
    kubernetes_validate.validate(whole, version, strict=True)


def test_the_serving_runtime_has_fields_that_kserve_knows() -> None:
    found = files.runtime()
    assert (found["apiVersion"], found["kind"]) == ("serving.kserve.io/v1alpha1", "ServingRuntime")
    assert found["spec"].keys() == KSERVE_FIELDS
    assert found["spec"]["protocolVersions"] == ["v2"]
    assert found["spec"]["containers"][0]["name"] == "kserve-container"
    formats = [each["name"] for each in found["spec"]["supportedModelFormats"]]
    assert formats == ["sklearn", "onnx"]


def test_compose_keeps_its_specification() -> None:
    checker = files.tool("check-jsonschema")
    path = str(files.DEPLOY / "compose.yaml")
    files.passes(checker, "--builtin-schema", "compose-spec", path)


def test_hadolint_finds_nothing_in_the_containerfile() -> None:
    files.passes(files.tool("hadolint"), str(files.DEPLOY / "Containerfile"))


def test_promtool_takes_the_scrape_configuration(tmp_path: Path) -> None:
    text = (files.DEPLOY / "prometheus.yml").read_text()
    (tmp_path / "key").write_text("k" * 32)
    given = tmp_path / "prometheus.yml"
    given.write_text(text.replace("/run/secrets/prometheus.key", str(tmp_path / "key")))
    files.passes(files.tool("promtool"), "check", "config", str(given))


def test_nginx_takes_the_configuration_of_the_fleet(tmp_path: Path) -> None:
    text = (files.DEPLOY / "nginx-fleet.conf").read_text()
    # Names that only compose's network knows; the rest is as shipped.
    given = tmp_path / "nginx.conf"
    given.write_text(text.replace("pyrometer-a:", "127.0.0.1:").replace("pyrometer-b:", "[::1]:"))
    files.passes(files.tool("nginx"), "-t", "-e", "stderr", "-c", str(given))


def test_nginx_takes_the_configuration_with_tls(tmp_path: Path) -> None:
    key, chain = tmp_path / "key.pem", tmp_path / "fullchain.pem"
    files.passes(
        *(files.tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"),
        *("ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=models.example.org"),
        *("-keyout", str(key), "-out", str(chain)),
    )
    given = tmp_path / "nginx.conf"
    text = (files.DEPLOY / "nginx.conf").read_text()
    given.write_text(text.replace("/etc/nginx/tls", str(tmp_path)))
    files.passes(
        *(files.tool("nginx"), "-t", "-e", "stderr", "-c", str(given)),
        *("-g", f"pid {tmp_path}/nginx.pid;"),
    )


def test_the_procfile_starts_the_server_on_the_port_it_is_given() -> None:
    kind, command = (files.DEPLOY.parent / "Procfile").read_text().strip().split(": ", 1)
    words = command.replace("$PORT", "8123").split()
    assert kind == "web"
    assert shutil.which(words[0], path=str(files.TOOLS)) is not None
    given = build_parser().parse_args(words[1:])
    assert (given.host, given.port) == ("0.0.0.0", "8123")
