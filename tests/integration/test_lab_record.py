"""Recording traffic through the proxy, and playing it back."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.lab import traffic
from bench.lab.lab import Cancel, run
from bench.lab.spec import spec_from
from tests.conftest import ROOT, RunningServer
from tests.integration import lab_targets
from tests.integration.lab_targets import Foreign, foreign

BODY = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["secret"]}]}
INFER = "/v2/models/m/infer"


@contextmanager
def recording(url: str, out: Path, *flags: str) -> Iterator[int]:
    """`pyrometer bench record` while the block runs; its port."""
    command = [sys.executable, "-m", "app.cli", "bench", "record", "--listen", "0"]
    command += ["--to", url, "--out", str(out), *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+) ->", process.stdout.readline())
        assert found
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def ask(
    port: int, body: bytes, headers: dict[str, str] | None = None, path: str = INFER
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_requests_pass_as_they_are_and_are_kept_redacted(tmp_path: Path) -> None:
    out = tmp_path / "traffic.jsonl"
    content = json.dumps(BODY).encode()
    with foreign() as target, recording(target.url, out) as port:
        status, answer = ask(port, content, {"Authorization": "Bearer token", "X-Mine": "a"})
    assert (status, answer) == (200, b"{}")
    assert target.seen.bodies == [content]
    assert b"X-Mine: a" in target.seen.heads[0]
    assert target.seen.paths == {"/base" + INFER: 1}
    kept = out.read_text()
    assert "secret" not in kept
    assert "token" not in kept
    assert out.stat().st_mode & 0o077 == 0
    (entry,) = traffic.read(out)
    (tensor,) = json.loads(entry.body)["inputs"]
    assert len(tensor["data"][0]) == len("secret")
    assert entry.path == INFER


@pytest.mark.parametrize("answer", [lab_targets.chunked, lab_targets.until_close])
def test_every_way_to_end_an_answer_passes(tmp_path: Path, answer: lab_targets.Answer) -> None:
    with foreign(answer) as target, recording(target.url, tmp_path / "t.jsonl") as port:
        assert ask(port, b"{}") == (200, b"{}")


def test_packed_and_binary_requests_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "traffic.jsonl"
    numbers = np.array([1.0, 2.0])
    tensor = {"name": "x", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [tensor]}).encode()
    with foreign() as target, recording(target.url, out) as port:
        ask(port, gzip.compress(json.dumps(BODY).encode()), {"Content-Encoding": "gzip"})
        ask(port, head + numbers.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
    first, second = traffic.read(out)
    assert json.loads(first.body)["inputs"][0]["name"] == "x"
    assert second.header_bytes is not None
    assert second.body[second.header_bytes :] == numbers.tobytes()


def test_what_cannot_be_read_passes_and_is_not_kept(tmp_path: Path) -> None:
    out = tmp_path / "traffic.jsonl"
    with foreign() as target, recording(target.url, out) as port:
        assert ask(port, b"no json")[0] == 200
        assert ask(port, b"{}", {"Content-Encoding": "br"})[0] == 200
        assert ask(port, b"{}", path="/v2/models/m/other")[0] == 404
    assert target.seen.bodies == [b"no json", b"{}"]
    assert traffic.read(out) == []


def test_a_server_that_is_away_is_502_and_a_foreign_host_403(tmp_path: Path) -> None:
    with foreign() as target:
        url = target.url
    with recording(url, tmp_path / "t.jsonl") as port:
        assert ask(port, b"{}")[0] == 502
        assert ask(port, b"{}", {"Host": "evil.example"})[0] == 403


def test_a_message_that_is_not_http_is_refused(tmp_path: Path) -> None:
    def said(port: int, message: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(message)
            return client.recv(1000)

    line = b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    with foreign() as target, recording(target.url, tmp_path / "t.jsonl") as port:
        both = line + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
        assert said(port, both).startswith(b"HTTP/1.1 501")
        assert said(port, line + b"content-length: -1\r\n\r\n").startswith(b"HTTP/1.1 400")
        assert said(port, line + b"content-length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert not target.seen.paths


def replay(target: Foreign, file: Path, **changes: Any) -> dict[str, Any]:
    given = {"url": target.url, "loop": "open", "connections": 4, "seconds": 10, "timeout_s": 2}
    payload = {"source": "traffic", "path": str(file), "speed": 2.0}
    return run(spec_from(given | {"payload": payload} | changes), lambda line: None, Cancel())


def recorded(path: Path, times_s: list[float]) -> Path:
    with path.open("wb") as file:
        file.write(traffic.head_line(0.0, "replaced", 0.0))
        for number, time_s in enumerate(times_s):
            body = {"inputs": [], "id": str(number)}
            file.write(traffic.entry_line(time_s, f"/v2/models/m{number % 2}/infer", body, b""))
    return path


def test_traffic_is_played_at_its_own_times_at_another_speed(tmp_path: Path) -> None:
    file = recorded(tmp_path / "t.jsonl", [0.0, 0.1, 0.5, 2.0])
    with foreign() as target:
        record = replay(target, file)
    assert [json.loads(body)["id"] for body in target.seen.bodies] == ["0", "1", "2", "3"]
    assert target.seen.paths == {"/base/v2/models/m0/infer": 2, "/base/v2/models/m1/infer": 2}
    assert record["valid"], record["invalid_because"]
    assert record["requests"] == 4
    assert record["ended"] - record["started"] == pytest.approx(1.0, abs=0.4)


def test_traffic_of_one_model_or_at_a_rate_of_its_own(tmp_path: Path) -> None:
    file = recorded(tmp_path / "t.jsonl", [0.0, 1.0, 2.0, 3.0])
    payload = {"source": "traffic", "path": str(file)}
    with foreign() as target:
        record = replay(
            target, file, model="m1", payload=payload, rate_per_s=20, seconds=0.5, connections=1
        )
    assert record["requests"] == 10
    assert target.seen.paths == {"/base/v2/models/m1/infer": 10}
    assert [json.loads(body)["id"] for body in target.seen.bodies][:4] == ["1", "3", "1", "3"]


def test_what_pyrometer_was_asked_can_be_asked_again(server: RunningServer, tmp_path: Path) -> None:
    out = tmp_path / "traffic.jsonl"
    with recording(server.url, out, "--jitter", "1") as port:
        url = f"http://127.0.0.1:{port}"
        given = {"url": url, "model": "risk_scorer", "loop": "open", "rate_per_s": 50}
        first = run(spec_from(given | {"seconds": 1}), lambda line: None, Cancel())
    assert first["errors"] == 0
    assert len(traffic.read(out)) == 50
    again = {"url": server.url, "loop": "open", "seconds": 10}
    payload = {"source": "traffic", "path": str(out), "speed": 1.0}
    second = run(spec_from(again | {"payload": payload}), lambda line: None, Cancel())
    assert second["requests"] == 50
    assert second["errors"] == 0, second["error_texts"]
