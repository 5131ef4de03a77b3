"""The benchmarks' routes on a real server with the real load lab, through both doors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.http import call
from tests.waiting import until

PATH = "/performance/benchmarks"
SHORT = {"model": "breast_cancer", "rate_per_s": 50, "seconds": 1, "warmup_s": 0}


def overview(port: int, query: str = "") -> dict[str, Any]:
    status, _, body = call(port, "GET", PATH + query)
    assert status == 200, body
    return dict(body)


def running(port: int) -> dict[str, Any] | None:
    told: dict[str, Any] | None = overview(port, "?part=running")["running"]
    return told


@pytest.fixture(autouse=True)
def quiet(port: int) -> None:
    """Nothing of an earlier test's runs on."""
    call(port, "POST", f"{PATH}/cancel", {})
    until(lambda: running(port) is None, 30, "the end of an earlier run")


def test_a_run_is_started_watched_stored_read_and_deleted(port: int) -> None:
    status, _, begun = call(port, "POST", PATH, {**SHORT, "name": "of a test"})
    assert status == 202, begun
    assert begun["spec"]["url"] == f"http://127.0.0.1:{port}"
    assert begun["text"].startswith("started of a test: breast_cancer, 50 requests/s")
    status, _, refused = call(port, "POST", PATH, SHORT)
    assert (status, "runs already: of a test" in refused["error"]) == (409, True)
    until(lambda: running(port) is None, 30, "the end of the run")
    told = overview(port)
    assert told["last"]["error"] is None
    newest = told["runs"][0]
    assert newest["id"] == told["last"]["run"]
    assert (newest["name"], newest["model"], newest["loop"]) == (
        *("of a test", "breast_cancer", "open"),
    )
    status, _, run = call(port, "GET", f"{PATH}/{newest['id']}")
    assert status == 200
    assert run["spec"] == begun["spec"]
    assert run["requests"] > 20
    assert newest["p99_ms"] == run["latency_ms"]["p99"]
    assert call(port, "POST", f"{PATH}/delete", {"id": newest["id"]})[0] == 200
    assert call(port, "GET", f"{PATH}/{newest['id']}")[0] == 404
    assert call(port, "POST", f"{PATH}/delete", {"id": newest["id"]})[0] == 404
    assert overview(port)["revision"] != told["revision"]


def test_a_cancelled_run_is_stored_and_both_ends_are_events(port: int) -> None:
    assert call(port, "POST", PATH, {**SHORT, "seconds": 60, "name": "long"})[0] == 202
    until(lambda: (running(port) or {}).get("seq"), 30, "the first second")
    told = running(port)
    assert told is not None
    assert told["columns"][0] == "t"
    assert len(told["points"]) == min(told["seq"], 600)
    assert call(port, "POST", f"{PATH}/cancel", {})[0] == 200
    until(lambda: running(port) is None, 10, "the end of the run")
    last = overview(port, "?part=running")["last"]
    assert (last["cancelled"], last["error"]) == (True, None)
    run = call(port, "GET", f"{PATH}/{last['run']}")[2]
    assert (run["cancelled"], run["valid"]) == (True, False)
    assert call(port, "POST", f"{PATH}/cancel", {})[0] == 404
    snapshot = call(port, "GET", "/performance/metrics/real-time")[2]
    texts = [event["text"] for event in snapshot["events"] if event["kind"] == "benchmark"]
    assert any(text.startswith("started long") for text in texts)
    until(
        lambda: any(
            event["text"].startswith("cancelled long")
            for event in call(port, "GET", "/performance/metrics/real-time")[2]["events"]
        ),
        5,
        "the event of the end",
    )


def test_a_target_that_does_not_answer_is_told(port: int) -> None:
    assert call(port, "POST", PATH, {**SHORT, "url": "http://127.0.0.1:9"})[0] == 202
    until(lambda: running(port) is None, 30, "the end of the run")
    last = overview(port, "?part=running")["last"]
    assert last["run"] is None
    assert "127.0.0.1:9" in last["error"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 400, "model"),
        ({"model": "nobody"}, 404, "nobody"),
        ({**SHORT, "version": "77"}, 404, "77"),
        ({**SHORT, "rate_per_s": -1}, 400, "rate_per_s"),
        ({**SHORT, "rate": 5}, 400, "rate"),
        ({**SHORT, "url": "http://example.org"}, 400, "other machines"),
        ({**SHORT, "payload": {"source": "file", "path": "/etc/passwd"}}, 400, "payload.path"),
        ([], 400, "object"),
        (b"{", 400, "JSON"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(
    port: int, body: Any, status: int, word: str
) -> None:
    answered, _, told = call(port, "POST", PATH, body)
    assert answered == status, told
    assert word in told["error"]
    assert running(port) is None


@pytest.mark.parametrize("run", ["none", "..%2F..%2Fsecret", "20260101T000000Z-aaaaaa", "%00"])
def test_a_run_that_is_not_there_is_404(port: int, run: str) -> None:
    status, _, told = call(port, "GET", f"{PATH}/{run}")
    assert status == 404
    assert told["error"].startswith("no r"), "no run, or no route"


@pytest.mark.parametrize("query", ["?part=none", "?since=x", "?since=-1", "?since=9999999999"])
def test_a_bad_question_is_refused(port: int, query: str) -> None:
    assert call(port, "GET", PATH + query)[0] == 400


@pytest.mark.parametrize("body", [{}, {"id": 5}, {"run": "x"}])
def test_a_bad_deletion_is_refused(port: int, body: Any) -> None:
    assert call(port, "POST", f"{PATH}/delete", body)[0] == 400


def test_another_site_may_not_start_one(port: int) -> None:
    headers = {"Origin": "http://example.org"}
    assert call(port, "POST", PATH, SHORT, headers)[0] == 403
    assert running(port) is None


def test_a_form_has_what_it_needs(port: int) -> None:
    form = overview(port)["form"]
    assert form["target"] == f"http://127.0.0.1:{port}"
    assert form["bounds"]["connections"] == [1, 1000]
    assert form["defaults"]["rate_per_s"] == 500
    assert form["files"] == {"file": [], "traffic": []}
    assert "runs" not in overview(port, "?part=running")
