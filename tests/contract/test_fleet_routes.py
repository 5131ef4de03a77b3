"""The fleet's routes on a server without peers and without an executor."""

from __future__ import annotations

import pytest

from engine.fleet.export import read_export
from engine.fleet.fleet import Fleet
from engine.fleet.report import fleet_report
from tests.contract.http import call, tensor
from tests.waiting import until

FLEET, EXPORT = "/performance/fleet", "/performance/fleet/export"


def test_without_peers_nothing_is_merged_and_the_rest_is_told(port: int) -> None:
    status, _, body = call(port, "GET", FLEET)
    assert status == 200
    assert body == {
        "configured": False,
        "fleet": None,
        "remote": None,
        "shared": None,
        "outgoing": [],
    }


def test_without_peers_scrapers_are_told_no_fleet(port: int) -> None:
    assert b"pyrometer_fleet" not in call(port, "GET", "/metrics")[2]


def test_an_export_is_one_that_peers_take(port: int) -> None:
    status, headers, told = call(port, "GET", EXPORT)
    assert status == 200
    assert told["run"]
    assert headers["etag"] == f'"{told["run"]}-{told["seq"]}"'
    assert told["address"].endswith(f":{port}")
    assert {model["name"] for model in told["models"]} >= {"breast_cancer", "digits"}


def test_what_was_served_is_in_the_next_export_once(port: int) -> None:
    def newest() -> dict[str, int]:
        told: dict[str, int] = call(port, "GET", EXPORT)[2]
        return told

    begun = newest()["seq"]
    until(lambda: newest()["seq"] > begun, 5, "a second without requests of other tests")
    first = newest()
    rows = {"inputs": [tensor([[0.5] * 30])]}
    for _ in range(3):
        assert call(port, "POST", "/v2/models/breast_cancer/infer", rows)[0] == 200

    def further() -> list[dict[str, int]]:
        told = call(port, "GET", f"{EXPORT}?since={first['seq']}&run={first['run']}")[2]
        assert told["since"] == first["seq"]
        return [
            step["models"]["breast_cancer"]
            for step in told["steps"]
            if "breast_cancer" in step["models"]
        ]

    until(lambda: sum(part["requests"] for part in further()) == 3, 5, "three requests")


def test_nothing_new_is_a_304(port: int) -> None:
    def again() -> int:
        told = call(port, "GET", EXPORT)[1]
        status, headers, body = call(port, "GET", EXPORT, headers={"if-none-match": told["etag"]})
        assert headers["etag"]
        return status if not body else 0

    until(lambda: again() == 304, 5, "two questions within a second")


def test_another_run_is_told_everything(port: int) -> None:
    told = call(port, "GET", f"{EXPORT}?since=1&run=another")[2]
    assert told["since"] == 0


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 16, "%F0"])
def test_a_bad_since_is_named(port: int, since: str) -> None:
    status, _, body = call(port, "GET", f"{EXPORT}?since={since}")
    assert status == 400
    assert body["error"].startswith("since is ")


@pytest.mark.parametrize(
    ("action", "body", "words"),
    [
        ("drain", {"id": "replica-1"}, "no executor but this process"),
        ("restart", {"model": "digits"}, "no executor but this process"),
        ("drain", {}, "id must be a text"),
        ("drain", {"id": 7}, "id must be a text"),
        ("drain", {"id": "x", "more": 1}, "unknown field 'more'"),
        ("restart", {"model": ""}, "model must be a text"),
    ],
)
def test_actions_need_an_executor_and_say_what_is_wrong(
    port: int, action: str, body: dict[str, object], words: str
) -> None:
    status, _, answer = call(port, "POST", f"{FLEET}/{action}", body)
    assert status == 400
    assert words in answer["error"]


def test_a_model_that_is_not_there_is_404(port: int) -> None:
    assert call(port, "POST", f"{FLEET}/restart", {"model": "nobody"})[0] == 404


def test_actions_are_audited(port: int) -> None:
    call(port, "POST", f"{FLEET}/drain", {"id": "replica-7"})
    newest = call(port, "GET", "/performance/audit")[2]["entries"][0]
    assert newest["what"] == f"POST {FLEET}/drain"
    assert newest["target"] == {"id": "replica-7"}


def test_the_answer_is_read_by_a_fleet(port: int) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", EXPORT)
    content = connection.getresponse().read()
    connection.close()
    export = read_export(content)
    fleet = Fleet("watcher", 2.0)
    fleet.follow(["http://there"])
    fleet.answered("http://there", content, export.time, export.time)
    row = fleet_report(fleet.view(), 2.0)["peers"][1]
    assert (row["state"], row["run"]) == ("up", export.run)
