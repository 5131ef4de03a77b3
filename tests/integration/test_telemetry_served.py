"""What a real server tells: exports, exemplars, alerts with their clean-up, notifications."""

from __future__ import annotations

import contextlib
import csv
import http.client
import http.server
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.waiting import until

ROW = [14.0, 20.0, 90.0, 600.0, 0.1, 0.1, 0.1, 0.05, 0.2, 0.06] * 3
SPEC = {"name": "input", "datatype": "FP64", "shape": [1, 30]}
PATH = "/v2/models/breast_cancer/infer"


def infer(server: RunningServer, number: float = 0.0, **headers: str) -> Any:
    body = {"inputs": [SPEC | {"data": [number, *ROW[1:]]}]}
    return call(server.port, "POST", PATH, body, headers)


def get(server: RunningServer, path: str) -> Any:
    return call(server.port, "GET", path)[2]


class Inbox:
    """A server that keeps what is posted to it."""

    def __init__(self) -> None:
        posted: list[tuple[str, bytes]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.posted = posted
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


RULES = """
[[rule]]
name = "memory"
metric = "memory_mb"
reduce = "last"
warning = {limit_mb}
window = "1s"
action = "trim"

[[rule]]
name = "latency"
metric = "p95_ms"
warning = 100000
window = "1m"
"""
FILLING_MB, WIDE_ROWS = 60, 100


@pytest.fixture(scope="module")
def told(
    start_server: StartServer,
    bundled_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
    inbox: Inbox,
) -> RunningServer:
    """A server over one model, its destinations three."""
    folder = tmp_path_factory.mktemp("told")
    shutil.copytree(bundled_models / "breast_cancer", folder / "models/breast_cancer")
    return start_server(
        folder / "models",
        folder / "state",
        *("--alert-webhook", f"http://127.0.0.1:{inbox.port}/hook?token=secret"),
        *("--alert-apprise", f"json://127.0.0.1:{inbox.port}/apprise"),
        *("--otlp-endpoint", f"http://127.0.0.1:{inbox.port}/v1/traces"),
    )


def states(server: RunningServer) -> dict[str, str]:
    return {a["key"]: a["state"] for a in get(server, "/performance/alerts")["alerts"]}


def fill_caches(server: RunningServer) -> None:
    """Have the server keep some FILLING_MB of answers; each is asked for twice, as caches like."""
    rest = json.dumps([*ROW[1:], *ROW * (WIDE_ROWS - 1)])[1:]
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    number = 0
    while cached_mb(server) < FILLING_MB:
        for _ in range(100):
            number += 1
            body = (
                f'{{"inputs": [{{"name": "input", "datatype": "FP64", "shape": [{WIDE_ROWS}, 30], '
                f'"data": [{number}.5, {rest}}}]}}'
            )
            for _ in range(2):
                connection.request("POST", PATH, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                assert answer.read()
                assert answer.status == 200
    connection.close()


def cached_mb(server: RunningServer) -> float:
    tiers = get(server, "/performance/cache")["tiers"]
    return float(sum(tier["bytes"] for tier in tiers if tier["tier"] != "models")) / 1e6


def test_a_memory_alert_fires_cleans_up_and_resolves(told: RunningServer, inbox: Inbox) -> None:
    fill_caches(told)
    resident_mb = get(told, "/performance/system")["process"]["memory_mb"]
    rules = RULES.format(limit_mb=round(resident_mb - FILLING_MB / 5))
    body = {"rules": rules, "author": "ada"}
    assert call(told.port, "POST", "/performance/alerts/rules", body)[0] == 200

    def events() -> list[Any]:
        found = get(told, "/performance/alerts")["history"]
        return [event for event in reversed(found) if event["rule"] == "memory"]

    until(lambda: events()[-1:] and events()[-1]["state"] == "resolved", 20, "all of it")
    happened = [event["state"] for event in events()]
    assert happened[0] == "firing"
    assert "cleaned up" in happened
    cleaned = next(event for event in events() if event["state"] == "cleaned up")
    before_mb, after_mb = cleaned["text"].split("resident memory ")[1].split(" MB")[0].split(" -> ")
    assert float(after_mb) < float(before_mb)
    times = [event["t"] for event in events()]
    assert times == sorted(times)
    assert all(abs(t - time.time()) < 60 for t in times)
    until(lambda: any(path.startswith("/hook") for path, _ in inbox.posted), 10, "the webhook")
    until(lambda: any(path.startswith("/apprise") for path, _ in inbox.posted), 10, "Apprise")
    hooked = json.loads(next(body for path, body in inbox.posted if path.startswith("/hook")))
    assert hooked["alerts"][0]["key"] == "memory/warning"


def test_a_test_notification_names_destinations_and_no_secret(
    told: RunningServer, inbox: Inbox
) -> None:
    status, _, body = call(told.port, "POST", "/performance/alerts/test", {})
    assert status == 200
    assert body["destinations"] == ["log", "webhook 127.0.0.1", "apprise json"]
    until(lambda: any(b"this is a test" in body for _, body in inbox.posted), 10, "the test")
    shown = json.dumps(get(told, "/performance/alerts")["notifications"])
    assert "secret" not in shown


def test_rules_are_previewed_on_history_and_wrong_ones_refused(told: RunningServer) -> None:
    rules = "[[rule]]\nname = 'any'\nmetric = 'memory_mb'\nreduce = 'last'\nwarning = 1"
    body = {"rules": rules, "window": "2m"}
    status, _, seen = call(told.port, "POST", "/performance/alerts/preview", body)
    assert status == 200
    assert seen["alerts"][0]["fired"] == 1
    assert "any/warning" not in states(told)
    body = {"rules": "[[rule]]\nname = 'x'\nmetric = 'p95_mss'\nwarning = 1", "author": "ada"}
    status, _, said = call(told.port, "POST", "/performance/alerts/rules", body)
    assert status == 400
    assert "p95_mss" in said["error"]


def test_a_silence_is_made_shown_and_ended(told: RunningServer) -> None:
    body = {"rule": "lat*", "for": "10m", "author": "ada", "reason": "known"}
    status, _, made = call(told.port, "POST", "/performance/alerts/silence", body)
    assert status == 200
    (shown,) = get(told, "/performance/alerts")["silences"]
    assert (shown["author"], shown["reason"]) == ("ada", "known")
    call(told.port, "POST", "/performance/alerts/unsilence", {"id": made["id"]})
    assert get(told, "/performance/alerts")["silences"] == []


def test_a_traceparent_is_honoured_on_the_exemplar_and_exported(
    told: RunningServer, inbox: Inbox
) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    status, _, _ = infer(told, 7.5, traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    assert status == 200

    def exported() -> bool:
        return any(bytes.fromhex(trace_id) in b for path, b in inbox.posted if "traces" in path)

    until(exported, 20, "the span")

    def on_record() -> bool:
        recent = get(told, "/performance/metrics")["recent"]
        return any(record["trace_id"] == trace_id for record in recent)

    assert on_record()


def test_exports_are_complete_and_in_utc(told: RunningServer) -> None:
    for number in range(20):
        infer(told, 1000.0 + number)
    time_of_newest = time.time()

    def rows() -> list[dict[str, str]]:
        with urllib.request.urlopen(f"{told.url}/performance/export/csv?window=1h") as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            return list(csv.DictReader(io.StringIO(answer.read().decode())))

    until(lambda: rows()[-1]["time_utc"] > utc(time_of_newest), 10, "the newest second")
    table = rows()
    times = [row["time_utc"] for row in table]
    assert times == sorted(set(times))
    requests = sum(float(row["requests_per_s"]) for row in table)
    assert requests == pytest.approx(get(told, "/performance/status")["requests"], rel=0.02)
    with urllib.request.urlopen(f"{told.url}/performance/export/json?window=1h") as answer:
        found = json.load(answer)
    assert found["columns"] == list(table[0])
    assert len(found["rows"]) >= len(table)


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def test_the_slowest_requests_are_kept_without_their_payloads(told: RunningServer) -> None:
    infer(told, 31415.5)
    until(lambda: get(told, "/performance/slow-requests")["exemplars"] != [], 5, "an exemplar")
    kept = get(told, "/performance/slow-requests")["exemplars"]
    assert {one["why"] for one in kept} == {"slowest", "sample"}
    assert "31415" not in json.dumps(kept)
    for one in kept:
        assert sum(one["phases_ms"].values()) == pytest.approx(one["duration_ms"])


def test_promtool_finds_nothing_wrong(told: RunningServer) -> None:
    with urllib.request.urlopen(f"{told.url}/metrics") as answer:
        text = answer.read()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    request = urllib.request.Request(
        f"{told.url}/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


def test_killed_under_load_it_loses_at_most_ten_seconds(
    start_server: StartServer, bundled_models: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundled_models / "breast_cancer", tmp_path / "models/breast_cancer")
    server = start_server(tmp_path / "models", tmp_path / "state")
    ended = threading.Event()

    def load() -> None:
        number = 0.0
        while not ended.is_set():
            number += 1
            with contextlib.suppress(OSError, http.client.HTTPException):
                infer(server, number)  # the last one is cut off by the kill

    thread = threading.Thread(target=load)
    thread.start()
    written = tmp_path / "state/history.sqlite"
    until(lambda: written.exists(), 20, "the file")
    began = time.time()
    until(lambda: time.time() - began > 14, 20, "some history")
    ended.set()
    os.kill(server.process.pid, signal.SIGKILL)
    killed_at = time.time()
    thread.join()
    server.process.wait(10)
    with sqlite3.connect(written) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    until(lambda: time.time() - killed_at > 4, 10, "the gap")
    again = start_server(tmp_path / "models", tmp_path / "state")
    answer = get(again, "/performance/metrics/history?window=60s&step=1s")
    starts = [event["t"] for event in answer["events"] if event["kind"] == "start"]
    assert len(starts) == 2
    assert starts[0] < killed_at < starts[1]
    at = answer["columns"].index("requests_per_s")
    known = [point[0] for point in answer["points"] if point[at] is not None]
    before = [t for t in known if t < killed_at]
    assert before, "history from before the kill"
    # Buckets of ten seconds: the last one begins at most ten seconds before its end.
    assert killed_at - max(before) <= 20
    with sqlite3.connect(written) as db:
        (last,) = db.execute(
            "SELECT max(t + seconds) FROM rows WHERE tier = 10 AND series = 0 AND t < ?",
            (killed_at,),
        ).fetchone()
    assert killed_at - last <= 10
    gap = [point for point in answer["points"] if killed_at + 1 <= point[0] <= killed_at + 3]
    assert gap
    assert all(point[at] is None for point in gap)
