"""Three real processes that watch each other: load, loss, return, keys."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.fleet import Process, compared, free_ports, start, told_of_all, under_load, write_model
from bench.serving import Client
from tests.conftest import ROOT
from tests.waiting import until

INTERVAL_S = 0.5
KEY = "fleet-" + "k" * 40


def fleet_of(process: Process) -> dict[str, Any]:
    found: dict[str, Any] = Client(process.port).call("GET", "/performance/fleet")[1]["fleet"]
    return found


def row(process: Process, peer: Process) -> dict[str, Any]:
    url = f"http://127.0.0.1:{peer.port}"
    found: dict[str, Any] = next(one for one in fleet_of(process)["peers"] if one["url"] == url)
    return found


def is_ready(process: Process) -> bool:
    assert process.child.poll() is None, "the server ended while starting"
    try:
        return Client(process.port).call("GET", "/v2/health/ready")[0] == 200
    except OSError:
        return False


class Three:
    """Three processes that are each other's peers; any may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, free_ports(3)
        write_model(folder)
        self.all = [self.start(number) for number in range(3)]
        for process in self.all:
            until(lambda process=process: is_ready(process), 60, "ready")  # type: ignore[misc]

    def start(self, number: int) -> Process:
        peers = ",".join(f"http://127.0.0.1:{port}" for port in self.ports)
        flags = ("--peers", peers, "--peers-interval-s", str(INTERVAL_S))
        return start(self.folder, number, self.ports[number], *flags)

    def begin_again(self, number: int) -> None:
        self.all[number] = process = self.start(number)
        until(lambda: is_ready(process), 60, "ready again")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    made = Three(tmp_path_factory.mktemp("fleet"))
    yield made
    for process in made.all:
        process.child.terminate()
    for process in made.all:
        process.child.wait(30)


def test_each_sees_three_processes_and_itself_once(three: Three) -> None:
    for process in three.all:
        until(lambda process=process: fleet_of(process)["states"] == {"self": 1, "up": 2}, 15, "up")  # type: ignore[misc]
        assert row(process, process)["state"] == "self"
        assert fleet_of(process)["merged"]["processes"] == 3
    runs = {row(three.all[0], peer)["run"] for peer in three.all}
    assert len(runs) == 3


def test_merged_percentiles_are_those_of_the_pooled_samples(three: Three) -> None:
    under_load(three.all[:2], 6)
    for watcher in (three.all[2], three.all[0]):
        fleet = told_of_all([watcher, *(one for one in three.all if one is not watcher)])
        for found in compared(three.all, fleet):
            assert found["error_percent"] == pytest.approx(0, abs=1.0), found
        (model,) = [one for one in fleet["models"] if one["name"] == "known"]
        assert model["requests"] == fleet["merged"]["requests"]
        assert (model["differs"], model["missing"]) == ([], [])
    wrong = {one["name"]: abs(one["mean_error_percent"]) for one in compared(three.all, fleet)}
    assert max(wrong.values()) > 10, "the mean of percentiles would have been wrong"


def test_scrapers_are_told_of_the_fleet(three: Three) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", three.ports[2], timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    assert 'pyrometer_fleet_peers{state="up"} 2.0' in text
    assert 'pyrometer_fleet_duration_seconds{quantile="0.99"}' in text


def test_a_killed_peer_is_lost_within_three_intervals_and_back_as_another_run(
    three: Three,
) -> None:
    watcher, victim = three.all[0], three.all[1]
    before = row(watcher, victim)
    victim.child.kill()
    victim.child.wait(10)
    # Three intervals, and as long again for a machine that does other things beside.
    until(lambda: row(watcher, victim)["state"] == "lost", 6 * INTERVAL_S, "lost")
    lost = row(watcher, victim)
    assert (lost["run"], lost["live"], lost["version"]) == (before["run"], False, before["version"])
    assert lost["heard"] is not None
    assert fleet_of(watcher)["merged"]["processes"] == 2
    three.begin_again(1)
    until(lambda: row(watcher, victim)["state"] == "up", 20, "back")
    assert row(watcher, victim)["run"] != before["run"]


def test_outgoing_connections_are_bounded_and_shown(three: Three) -> None:
    told = Client(three.ports[0]).call("GET", "/performance/fleet")[1]["outgoing"]
    (peers,) = [one for one in told if one["kind"] == "peers"]
    assert peers["limit"] == 4
    assert peers["used"] <= 4
    assert 1 <= peers["open"] <= 3
    assert peers["asked"] > 10


def test_peers_that_ask_for_a_key_are_told_it(tmp_path: Path) -> None:
    write_model(tmp_path)
    ports = free_ports(3)
    urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    given = [{"PYROMETER_PEERS_KEY": KEY}, {}, {"PYROMETER_PEERS_KEY": "wrong-" + "x" * 40}]
    children = []
    for number, further in enumerate(given):
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(ports[number])]
        command += ["--models", str(tmp_path / "models"), "--state", str(tmp_path / str(number))]
        command += ["--trust-file", str(tmp_path / "trusted.sha256")]
        command += ["--peers", urls, "--peers-interval-s", str(INTERVAL_S)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYROMETER_")}
        environ = clean | {"PYROMETER_API_KEY": KEY} | further
        children.append(subprocess.Popen(command, cwd=ROOT, env=environ))
    try:

        def states(number: int) -> dict[str, int]:
            connection = http.client.HTTPConnection("127.0.0.1", ports[number], timeout=10)
            try:
                connection.request(
                    "GET", "/performance/fleet", headers={"authorization": f"Bearer {KEY}"}
                )
                found: dict[str, Any] = json.loads(connection.getresponse().read())["fleet"]
                states: dict[str, int] = found["states"]
                if number:
                    assert "answered 401" in str([one["problem"] for one in found["peers"]])
                return states
            except (OSError, AssertionError):
                return {}
            finally:
                connection.close()

        until(lambda: states(0) == {"self": 1, "up": 2}, 60, "the right key opens")
        for number in (1, 2):
            until(
                lambda number=number: states(number) == {"self": 1, "refused": 3},  # type: ignore[misc]
                30,
                "no key, or a wrong one, does not",
            )
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)
