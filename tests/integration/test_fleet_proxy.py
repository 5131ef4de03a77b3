"""deploy/nginx-fleet.conf under a real nginx, in front of two real servers.

Only its addresses, and the folder of its own files, are changed.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, RunningServer, StartServer, free_port
from tests.waiting import until

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
CALLERS = 8
MODEL, COLUMNS = "breast_cancer", 30
CHECKED = 100
LINE = re.compile(r'"(?P<request>[^"]+)" (?P<status>\d+) upstream="(?P<to>[^"]*)" statuses="(.*?)"')
pytestmark = pytest.mark.skipif(
    NGINX is None and not os.environ.get("CI"), reason="nginx is not installed"
)


@dataclass
class Proxy:
    """nginx with the fleet's configuration."""

    port: int
    log: Path

    def lines(self, after: int = 0) -> list[re.Match[str]]:
        """What was asked of it, from the so-manieth request on."""
        found = [
            match for line in self.log.read_text().splitlines() if (match := LINE.search(line))
        ]
        return found[after:]

    def sent_to(self, after: int = 0) -> Counter[str]:
        """How often each server answered."""
        return Counter(line["to"].split(", ")[-1] for line in self.lines(after))


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Callable[[int, int], Proxy]]:
    """Starts nginx in front of two ports of this machine."""
    started: list[subprocess.Popen[bytes]] = []

    def start(first: int, second: int) -> Proxy:
        assert NGINX is not None, "CI installs nginx"
        port = free_port()
        text = (ROOT / "deploy/nginx-fleet.conf").read_text()
        for shipped, here in (
            ("pyrometer-a:8050", f"127.0.0.1:{first}"),
            ("pyrometer-b:8050", f"127.0.0.1:{second}"),
            ("listen 8080", f"listen 127.0.0.1:{port}"),
            ("/tmp/nginx", f"{tmp_path}/nginx"),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        (tmp_path / "nginx.conf").write_text(text)
        log = tmp_path / "access.log"
        command = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
        with log.open("wb") as file:
            started.append(subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL))

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens, 10, "nginx listens")
        return Proxy(port, log)

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


@dataclass
class Load:
    """Callers that ask one after the other, each row once; what they saw."""

    port: int
    right: list[tuple[list[list[float]], int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self.threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def _call(self, number: int) -> None:
        random = np.random.default_rng(number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stop.is_set():
            rows = random.normal(size=(1, COLUMNS)).round(6).tolist()
            try:
                status, label = infer(connection, rows)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
                connection.close()
                continue
            if status == 200 and isinstance(label, int):
                self.right.append((rows, label))
            else:
                self.wrong.append(f"{status} {label}")


def infer(connection: http.client.HTTPConnection, rows: list[list[float]]) -> tuple[int, object]:
    tensor = {"name": "input", "datatype": "FP64", "shape": [len(rows), COLUMNS], "data": rows}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "predict"}]})
    connection.request("POST", f"/v2/models/{MODEL}/infer", body)
    answer = connection.getresponse()
    told = json.loads(answer.read() or b"null")
    return answer.status, told["outputs"][0]["data"][0] if answer.status == 200 else told


def address(server: RunningServer) -> str:
    return f"127.0.0.1:{server.port}"


def test_a_server_that_is_taken_out_or_killed_costs_no_answer(
    start_server: StartServer,
    bundled_models: Path,
    shared_state: Path,
    server: RunningServer,
    tmp_path: Path,
    proxied: Callable[[int, int], Proxy],
) -> None:
    def begin(name: str, port: int | None = None) -> RunningServer:
        state = tmp_path / name
        if not state.exists():
            shutil.copytree(shared_state / "plans", state / "plans")
        flags = ("--trusted-hops", "1", "--insecure", "--preload", MODEL)
        return start_server(bundled_models, state, *flags, port=port)

    first, second = begin("a"), begin("b")
    proxy = proxied(first.port, second.port)
    load = Load(proxy.port)
    load.begin()
    try:
        until(lambda: len(load.right) > 300, 60, "answers through both")
        assert set(proxy.sent_to()) == {address(first), address(second)}

        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(40) == 0
        gone = len(proxy.lines())
        until(lambda: len(proxy.lines()) > gone + 300, 60, "answers while one is away")
        drained = proxy.lines()

        first = begin("a", port=first.port)
        until(lambda: proxy.sent_to(len(drained))[address(first)] > 50, 30, "it is back")

        killed = len(proxy.lines())
        second.process.kill()
        second.process.wait(10)
        until(lambda: len(proxy.lines()) > killed + 300, 60, "answers while one is dead")
        second = begin("b", port=second.port)
        back = len(proxy.lines())
        until(lambda: proxy.sent_to(back)[address(second)] > 50, 30, "it is back")
    finally:
        load.end()
    twice = [line for line in proxy.lines() if ", " in line["to"]]
    while_dead = [line for line in proxy.lines()[killed:] if ", " in line["to"]]
    print(
        f"{len(load.right)} answers, {len(load.wrong)} failed; asked of a second server: "
        f"{len(twice) - len(while_dead)} around the SIGTERM, {len(while_dead)} around the kill"
    )
    assert load.wrong == []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for rows, label in load.right[-CHECKED:]:
        assert infer(connection, rows) == (200, label)
    assert {line["status"] for line in proxy.lines()} == {"200"}
    # In flight at the kill, and those that found nobody listening before nginx marked it.
    assert len(twice) < 0.05 * len(proxy.lines())


class Hangup:
    """A server that reads each request and goes, as one that is killed does."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(65536).split(b"\r\n", 1)[0])

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def hangup() -> Iterator[Hangup]:
    found = Hangup()
    yield found
    found.close()


def test_a_session_stays_with_its_server(
    server: RunningServer, hangup: Hangup, proxied: Callable[[int, int], Proxy]
) -> None:
    proxy = proxied(server.port, hangup.port)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    cookies = ("pyrometer-1a=x", "other=y; __Host-pyrometer-1a=x")
    asked = [("GET", f"/v2/models/{MODEL}", {"cookie": cookie}) for cookie in cookies * 4]
    asked += [("POST", f"/v2/models/{MODEL}/infer", {"cookie": cookies[0]})] * 4
    asked += [("POST", "/v2/repository/index", {})] * 4
    for method, path, headers in asked:
        connection.request(method, path, "{}" if method == "POST" else None, headers)
        connection.getresponse().read()
    until(lambda: len(proxy.lines()) == len(asked), 5, "all of them in the log")
    assert hangup.asked == []
    assert proxy.sent_to() == {f"127.0.0.1:{server.port}": len(asked)}


def test_only_what_changes_nothing_is_sent_twice(
    server: RunningServer, hangup: Hangup, proxied: Callable[[int, int], Proxy]
) -> None:
    proxy = proxied(hangup.port, server.port)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    asked = 0
    while not hangup.asked and asked < 4:
        assert infer(connection, [[float(asked)] * COLUMNS])[0] == 200
        asked += 1
    assert hangup.asked == [f"POST /v2/models/{MODEL}/infer HTTP/1.1".encode()]
    hangup.asked.clear()
    connection.request("POST", "/performance/cache/clear", "{}")
    refused = connection.getresponse()
    refused.read()
    assert refused.status == 502
    assert hangup.asked == [b"POST /performance/cache/clear HTTP/1.1"]
    until(lambda: len(proxy.lines()) == asked + 1, 5, "all of them in the log")
    last = proxy.lines()[-1]
    assert last["to"] == f"127.0.0.1:{hangup.port}"
