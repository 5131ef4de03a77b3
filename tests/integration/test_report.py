"""The optimisation report of a fresh server after a short measurement, as data and as files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.reports.sources import figures_in
from tests.conftest import ROOT, RunningServer, StartServer
from tests.contract.http import call, tensor
from tests.waiting import until

PATH = "/performance/reports"
MODEL = "fraud_detector"
SECONDS, SCALE = "150", "0.2"


@pytest.fixture(scope="module")
def state(
    server: RunningServer, shared_state: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A state of this module's own, with the plans that the shared server has made."""
    folder = tmp_path_factory.mktemp("report") / "state"
    shutil.copytree(shared_state / "plans", folder / "plans")
    return folder


@pytest.fixture(scope="module")
def measured(state: Path, bundled_models: Path) -> dict[str, Any]:
    """A short measurement of one model, stored as `make bench` stores it."""
    command = [sys.executable, "-m", "bench.optimization", "--models", str(bundled_models)]
    command += ["--state", str(state), "--seconds", SECONDS, "--scale", SCALE]
    command += ["--only", MODEL, "--progress", "json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["type"] == "result"
    assert any(line["type"] == "progress" and line["steps"] for line in lines)
    run: dict[str, Any] = json.loads(Path(lines[-1]["path"]).read_text())
    return run


@pytest.fixture(scope="module")
def reporting(
    measured: dict[str, Any], start_server: StartServer, bundled_models: Path, state: Path
) -> RunningServer:
    """A fresh server over that state, asked a little."""
    running = start_server(bundled_models, state, "--report-at", "03:15")
    until(lambda: running.answers("/"), 30, "the console")
    body = {"inputs": [tensor([[1.0] * 13])]}
    for _ in range(40):
        assert call(running.port, "POST", f"/v2/models/{MODEL}/infer", body)[0] == 200

    def recorded() -> bool:
        status = call(running.port, "GET", "/performance/status")[2]
        return bool(status["requests"] >= 40)

    until(recorded, 10, "the requests on record")
    return running


def report_of(server: RunningServer, query: str = "") -> dict[str, Any]:
    status, _, report = call(server.port, "GET", f"{PATH}/optimization{query}")
    assert status == 200, report
    found: dict[str, Any] = report
    return found


def test_a_run_says_where_and_how_it_was_measured(measured: dict[str, Any]) -> None:
    assert measured["kind"] == "optimization"
    assert measured["valid"], measured["invalid_because"]
    assert measured["machine"]["cpus"] >= 1
    assert measured["versions"]["scikit-learn"]
    assert measured["ended"] - measured["started"] < 1.2 * float(SECONDS)
    for key, figure in measured["optimization"]["figures"].items():
        assert set(figure) == {"value", "unit", "n", "how", "window", "why"}, key
        assert (figure["value"] is None) == bool(figure["why"]), key
        if figure["value"] is not None:
            assert figure["n"] > 0, key
            assert figure["how"], key


def test_the_plan_is_faster_than_what_came_before(measured: dict[str, Any]) -> None:
    figures = measured["optimization"]["figures"]

    def value(form: str, name: str) -> float:
        found = figures[f"{form}/{MODEL}/{name}"]["value"]
        assert found is not None, (form, name)
        return float(found)

    assert value("plan", "warm_p50_ms") < value("before", "warm_p50_ms") / 20
    assert value("plan", "cold_start_ms") < value("before", "cold_start_ms")
    assert figures["plan/server/memory_base_mb"]["value"] > 20
    assert 0 < figures["plan/server/hit_percent"]["value"] <= 80
    assert figures["plan/server/gzip_ratio"]["value"] > 1


def test_every_figure_is_traceable_to_a_stored_run(
    reporting: RunningServer, measured: dict[str, Any], state: Path
) -> None:
    report = report_of(reporting)
    sources = {source["id"]: source for source in report["sources"]}
    figures = [figure for figure in figures_in(report) if figure["value"] is not None]
    assert len(figures) > 30
    of_runs = 0
    for figure in figures:
        source = sources[figure["run"]]
        assert source["command"]
        if source["kind"] != "optimization":
            continue
        of_runs += 1
        stored = json.loads((state / source["where"]).read_text())
        assert stored["optimization"]["figures"][figure["key"]]["value"] == figure["value"]
        assert source["machine"] == stored["machine"]
        assert source["versions"] == stored["versions"]
    assert of_runs > 30
    judged = [row for row in report["targets"] if row["status"] != "no data"]
    assert {row["figure"]["run"] for row in judged} == {measured["id"]}


def test_a_figure_of_the_window_is_what_history_says(reporting: RunningServer) -> None:
    report = report_of(reporting)
    found = next(one["figure"] for one in report["now"] if one["label"] == "p99")
    source = next(one for one in report["sources"] if one["id"] == found["run"])
    method, path = source["command"].split()
    asked = f"{path}&step=3600s&columns={found['key']}"
    status, _, history = call(reporting.port, method, asked)
    assert status == 200
    assert history["columns"] == ["t", "p99_ms"]
    (told,) = [row[1] for row in history["points"] if row[1] is not None]
    assert told == pytest.approx(found["value"])


def test_what_the_route_always_told_is_still_there(reporting: RunningServer) -> None:
    report = report_of(reporting)
    plans = {model["model"]: model for model in report["models"]}
    assert plans[MODEL]["speedup"] > 1
    assert plans[MODEL]["plan"]["candidates"]
    assert report["caches"]
    assert "p99_ms" in report["last_minute"]


def test_a_past_window_is_told_as_one(reporting: RunningServer) -> None:
    report = report_of(reporting, "?from=1700000000&to=1700003600")
    assert report["window"]["live"] is False
    assert report["window"]["covered_s"] == 0
    assert report["phases"] == []
    whys = {one["what"] for one in report["not_measured"]}
    assert {"where the time goes", "the flame graph"} <= whys


def test_html_and_markdown_say_the_same(reporting: RunningServer) -> None:
    kinds = {}
    for shape in ("html", "md"):
        path = f"{PATH}/optimization?format={shape}"
        status, headers, content = call(reporting.port, "GET", path)
        assert status == 200
        kinds[shape] = headers["content-type"]
        assert headers["x-content-type-options"] == "nosniff"
        if shape == "html":
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert "script-src" not in policy
        text = content.decode()
        assert "targets met" in text
        assert MODEL in text
        assert len(content) < 1_000_000
    assert kinds == {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8"}


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_pdf_and_png_are_drawn_by_the_server(reporting: RunningServer) -> None:
    for shape, begins in (("pdf", b"%PDF-"), ("png", b"\x89PNG")):
        address = f"{reporting.url}{PATH}/optimization?format={shape}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            content = answer.read()
        assert content.startswith(begins)
        assert len(content) > 20_000


def test_reports_are_stored_listed_and_deleted(reporting: RunningServer, state: Path) -> None:
    status, _, made = call(reporting.port, "POST", PATH, {})
    assert status == 200, made
    _, _, overview = call(reporting.port, "GET", PATH)
    assert [one["id"] for one in overview["reports"]] == [made["id"]]
    assert overview["schedule"]["at"] == "03:15"
    assert overview["schedule"]["next"] > overview["reports"][0]["made"]
    _, _, stored = call(reporting.port, "GET", f"{PATH}/{made['id']}")
    assert stored["summary"]["text"] in made["text"]
    assert (state / "reports" / f"{made['id']}.json").exists()
    status, _, page = call(reporting.port, "GET", f"{PATH}/{made['id']}?format=html")
    assert status == 200
    assert b"Optimisation report" in page
    assert call(reporting.port, "POST", f"{PATH}/delete", {"id": made["id"]})[0] == 200
    assert call(reporting.port, "GET", f"{PATH}/{made['id']}")[0] == 404
    assert call(reporting.port, "POST", f"{PATH}/delete", {"id": made["id"]})[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        (PATH, {"from": "x"}, "from"),
        (PATH, {"from": 2000, "to": 1000}, "from"),
        (PATH, {"window": "1h"}, "window"),
        (f"{PATH}/delete", {"id": 5}, "id"),
        (f"{PATH}/measure", {"seconds": 5}, "seconds"),
        (f"{PATH}/measure", {"seconds": True}, "seconds"),
    ],
)
def test_what_is_wrong_is_named(
    reporting: RunningServer, path: str, body: dict[str, Any], names: str
) -> None:
    status, _, answer = call(reporting.port, "POST", path, body)
    assert status == 400
    assert names in answer["error"]


def test_an_unknown_format_is_refused(reporting: RunningServer) -> None:
    status, _, answer = call(reporting.port, "GET", f"{PATH}/optimization?format=docx")
    assert (status, "format" in answer["error"]) == (400, True)


def test_the_button_measures_in_a_child_that_can_be_cancelled(reporting: RunningServer) -> None:
    status, _, begun = call(reporting.port, "POST", f"{PATH}/measure", {"seconds": 60})
    assert status == 202
    assert begun["running"]
    assert call(reporting.port, "POST", f"{PATH}/measure", {})[0] == 409

    def measurement() -> Any:
        return call(reporting.port, "GET", PATH)[2]["measurement"]

    until(lambda: (measurement()["progress"] or {}).get("step", 0) >= 1, 30, "its first step")
    assert call(reporting.port, "POST", f"{PATH}/measure/cancel", {})[0] == 200
    until(lambda: not measurement()["running"], 40, "its end")
    last = measurement()["last"]
    assert last["cancelled"]
    assert last["error"] is None
    assert last["run"]
    # A cancelled one is stored and not what the report is made of.
    assert last["run"] not in {source["id"] for source in report_of(reporting)["sources"]}


def test_the_command_line_writes_every_form(
    reporting: RunningServer, tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, begins in (("r.html", "<!DOCTYPE"), ("r.md", "# Optim"), ("r.json", "{")):
        out = tmp_path / name
        assert main(["report", "--url", reporting.url, "--out", str(out), "--window", "10m"]) == 0
        assert out.read_text().startswith(begins)
        assert main(["report", "--state", str(state), "--out", str(out)]) == 0
        assert out.read_text().startswith(begins)
    alone = json.loads((tmp_path / "r.json").read_text())
    assert alone["window"] is None
    assert alone["summary"]["met"] > 5
    capsys.readouterr()
    assert main(["report", "--state", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["report", "--url", "http://127.0.0.1:9", "--out", str(tmp_path / "x.md")]) == 1
    assert main(["report", "--state", str(state), "--format", "pdf"]) == 2


def test_a_measurement_that_is_stopped_leaves_no_server_behind(
    state: Path, bundled_models: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "bench.optimization", "--models", str(bundled_models)]
    command += ["--state", str(state), "--store", str(tmp_path), "--progress", "json"]
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if "process start" in json.loads(line).get("phase", ""):
            break
    child.send_signal(signal.SIGTERM)
    last = [json.loads(line) for line in child.stdout][-1]
    assert child.wait(30) == 0
    assert last["type"] == "result"
    run = json.loads(Path(last["path"]).read_text())
    assert (run["cancelled"], run["valid"]) == (True, False)
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
