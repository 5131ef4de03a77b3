"""What a server refuses to start with, and what it prints."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.contract.http import call
from tests.integration.access.conftest import API_KEY, StartWith
from tests.waiting import until


def ended(state: Path, *flags: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "app.cli", "serve", "--state", str(state), *flags]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
    done = subprocess.run(
        command, cwd=ROOT, env=clean | (environ or {}), capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def test_a_reachable_address_without_a_key_says_what_is_needed(tmp_path: Path) -> None:
    status, said = ended(tmp_path, "--host", "0.0.0.0", "--port", "0")
    assert status == 2
    for part in ("PYROMETER_API_KEY", "pyrometer keys create", "--insecure", "loopback"):
        assert part in said


def test_a_key_is_no_flag(tmp_path: Path) -> None:
    status, said = ended(tmp_path, "--api-key", API_KEY)
    assert status == 2
    assert "unrecognized arguments" in said


def test_a_short_key_is_refused_without_being_told(tmp_path: Path) -> None:
    status, said = ended(tmp_path, environ={"PYROMETER_API_KEY": "hunter2"})
    assert status == 2
    assert "24" in said
    assert "hunter2" not in said


def test_a_reachable_address_with_a_key_asks_for_it(start_with: StartWith) -> None:
    running = start_with("--host", "0.0.0.0")
    assert call(running.port, "GET", "/v2/health/ready")[0] == 200
    assert call(running.port, "GET", "/v2")[0] == 401
    assert call(running.port, "GET", "/v2", headers={"x-api-key": API_KEY})[0] == 200


def test_loopback_without_keys_asks_nobody(start_with: StartWith) -> None:
    running = start_with(environ={})
    assert call(running.port, "POST", "/performance/cache/clear", {})[0] == 200
    told = call(running.port, "GET", "/performance/session")[2]
    assert (told["required"], told["scopes"]) == (False, ["infer", "view", "operate"])
    answer = call(running.port, "GET", "/performance/audit")[2]
    assert answer["entries"][0]["who"] == "without a key"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_tls_by_flag(start_with: StartWith, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    flags = ("--tls-cert", str(cert), "--tls-key", str(key))
    running = start_with(*flags, ready=False)
    context = ssl.create_default_context(cafile=str(cert))
    url = f"https://127.0.0.1:{running.port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/v2/health/ready", context=context, timeout=5):
                return True
        except OSError:
            return False

    until(answers, 120, "ready by https")
    form = f"key={API_KEY}&next=/models".encode()
    asked = urllib.request.Request(f"{url}/login", form, {"Origin": url})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), NoRedirect())
    answer = opener.open(asked, timeout=10)
    assert (answer.status, answer.headers["location"]) == (303, "/models")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-pyrometer-")
    for part in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert f"; {part}" in cookie
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(cert)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):  # noqa: PT011  # which one depends on OpenSSL
        urllib.request.urlopen(f"{url}/v2/health/ready", context=old, timeout=5)
    with pytest.raises(OSError):  # noqa: PT011
        urllib.request.urlopen(f"http://127.0.0.1:{running.port}/v2/health/ready", timeout=5)
    assert answers(), "a client without TLS does no harm"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Answers of 303 as they are."""

    def http_error_303(self, req, fp, code, msg, headers):  # type: ignore[no-untyped-def]
        fp.status = code
        return fp


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    flags = ("--port", "0", "--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem")
    status, said = ended(tmp_path, *flags)
    assert status == 2
    assert "nowhere.pem" in said
