"""Experiments on a real server: who gets what, what is found, what a click changes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import experiments as known
from bench.experiments import MODEL, Behaviour, body_of
from engine.config import Settings
from engine.engine import Engine
from tests.conftest import RunningServer, StartServer
from tests.contract.http import call
from tests.waiting import until

PATH = f"/v2/models/{MODEL}/infer"
FIRST = {"1": 0.25, "2": 0.9, "3": 0.6}
"""What each version answers to any row."""


def ask(
    port: int, x: float, user: str = "", path: str = PATH, fresh: bool = False
) -> tuple[str, str, float, bool]:
    """Variant, version, the first probability, and whether it was kept."""
    headers = {"x-user-id": user} if user else {}
    if fresh:
        headers["cache-control"] = "no-cache"
    status, got, body = call(port, "POST", path, body_of(x), headers)
    assert status == 200, body
    hit = got["x-cache-hit"] == "true"
    return got.get("x-variant", ""), body["model_version"], body["outputs"][0]["data"][0], hit


def act(port: int, path: str, body: Any = None, status: int = 200) -> Any:
    """A POST below /performance/experiments that is answered with this status."""
    found, _, answer = call(port, "POST", f"/performance/experiments{path}", body or {})
    assert found == status, answer
    return answer


def look(port: int, number: str) -> Any:
    return call(port, "GET", f"/performance/experiments/{number}")[2]


def two(**fields: Any) -> dict[str, Any]:
    """An experiment of versions 1 and 2 that no guard rail stops."""
    body = {
        "name": "two",
        "model": MODEL,
        "candidates": [{"name": "new", "version": "2"}],
        "guards": {"disagreement": None},
        "header": "x-user-id",
        "start": True,
    }
    return body | fields


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three quick versions that answer everything otherwise; 1 serves."""
    folder = tmp_path_factory.mktemp("experiments")
    behaviours = {version: Behaviour(first=first) for version, first in FIRST.items()}
    known.write_models(folder, behaviours)
    return folder


@pytest.fixture(params=["front", "flask"])
def port(
    request: pytest.FixtureRequest, start_server: StartServer, repository: Path, tmp_path: Path
) -> Iterator[int]:
    """A server of its own, whichever door."""
    with served(start_server, repository, tmp_path, "--http-door", request.param) as running:
        until(lambda: running.answers("/"), 30, "the console, which is the flask door")
        yield running.port


class served:
    """A server over a repository, with the plans that another has made."""

    def __init__(self, start: StartServer, repository: Path, state: Path, *flags: str) -> None:
        plans = repository / "state/plans"
        if plans.is_dir() and not (state / "state").exists():
            shutil.copytree(plans, state / "state/plans")
        trust = ("--trust-file", str(repository / "trusted.sha256"))
        self.running = start(repository / "models", state / "state", *trust, *flags)
        self._keep = (state / "state/plans", plans)

    def __enter__(self) -> RunningServer:
        return self.running

    def __exit__(self, *_: object) -> None:
        self.running.stop()
        made, kept = self._keep
        if made.is_dir():
            shutil.copytree(made, kept, dirs_exist_ok=True)


def test_each_caller_gets_one_variant_and_its_answer_alone(port: int) -> None:
    """Both keep their answers, and neither ever gives the other's."""
    made = act(port, "", two(), 201)
    names = {"control": "1", "new": "2"}
    variants: dict[str, set[str]] = {}
    hits: set[str] = set()
    for again in range(3):
        for user in range(40):
            x = user % 4 / 4  # the same rows for callers of both
            variant, version, first, hit = ask(port, x, f"user {user}")
            assert version == names[variant]
            assert first == pytest.approx(FIRST[version])
            variants.setdefault(f"user {user}", set()).add(variant)
            if hit:
                hits.add(variant)
        assert again < 3
    assert {len(seen) for seen in variants.values()} == {1}
    assert hits == {"control", "new"}
    until(lambda: look(port, made["id"])["progress"]["requests"] > 20, 10, "counted")
    told = look(port, made["id"])["results"]["split"]
    assert (told["units"], told["by_header"], told["unit"]) == (40, 120, "x-user-id")


def test_who_names_a_version_takes_no_part(port: int) -> None:
    act(port, "", two(), 201)
    for version in "123":
        path = f"/v2/models/{MODEL}/versions/{version}/infer"
        for user in range(10):
            assert ask(port, 0.5, f"user {user}", path)[:2] == ("", version)


def test_without_the_header_equal_rows_get_the_same_variant(port: int) -> None:
    act(port, "", two(), 201)
    first = {x / 64: ask(port, x / 64)[0] for x in range(40)}
    assert set(first.values()) == {"control", "new"}
    assert {x: ask(port, x, fresh=True)[0] for x in first} == first


def test_a_stop_brings_everybody_back_at_once(port: int) -> None:
    made = act(port, "", two(), 201)
    with ThreadPoolExecutor(4) as callers:
        under_way = [callers.submit(ask, port, n / 997, f"user {n}") for n in range(200)]
        stopped = act(port, f"/{made['id']}/stop", {"reason": "enough"})
        after = [ask(port, n / 991, f"user {n}") for n in range(50)]
        assert all(answer.result()[1] in "12" for answer in under_way)
    assert {answer[:3] for answer in after} == {("", "1", FIRST["1"])}
    assert (stopped["state"], stopped["stopped_by"], stopped["reason"]) == (
        "stopped",
        "hand",
        "enough",
    )
    assert act(port, f"/{made['id']}/start", status=409)["error"].startswith("start: ")


def test_requests_of_the_fast_lane_take_part_too(port: int) -> None:
    """A lane that was open when the experiment began answers nobody past it."""
    until(lambda: ask(port, 0.5)[3], 10, "a kept answer")
    for n in range(20):
        ask(port, n / 50)
    made = act(port, "", two(candidates=[{"name": "new", "version": "2", "weight": 1000}]), 201)
    seen = [ask(port, n / 50, "") for n in range(20)]
    assert sum(variant == "new" for variant, *_ in seen) >= 18
    act(port, f"/{made['id']}/stop")
    assert {ask(port, n / 50)[0] for n in range(20)} == {""}


def test_what_cannot_be_is_refused_by_name(port: int) -> None:
    assert "unknown model" in act(port, "", two(model="none"), 404)["error"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"candidates": [{"name": "new", "version": "9"}]}, "candidates[0].version"),
        ({"candidates": [{"name": "new", "backend": "abacus"}]}, "candidates[0].backend"),
        ({"candidates": [{"name": "new", "batching": "on"}]}, "candidates[0].batching"),
        ({"candidates": [{"name": "new", "weight": "much"}]}, "candidates[0].weight"),
        ({"guards": {"p99": {"limit": 0.1}}}, "guards.p99.limit"),
        ({"start": "now"}, "start"),
    ]
    for fields, words in cases:
        assert words in act(port, "", two(**fields), 400)["error"]
    assert call(port, "GET", "/performance/experiments")[2]["experiments"] == []
    assert act(port, "/none/start", status=404)["error"] == "unknown experiment 'none'"


def test_one_runs_on_a_model_at_a_time(port: int) -> None:
    act(port, "", two(), 201)
    assert "runs on" in act(port, "", two(), 409)["error"]
    problem = call(port, "GET", f"/performance/experiments/options?model={MODEL}")[2]["problem"]
    assert "'two' runs on" in problem


def test_promoted_survives_a_restart_and_can_be_undone(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    with served(start_server, repository, tmp_path) as server:
        made = act(server.port, "", two(), 201)
        path = f"/{made['id']}/promote"
        assert "planned requests; send force" in act(server.port, path, status=409)["error"]
        promoted = act(server.port, path, {"force": True})
        assert (promoted["state"], promoted["promoted"]) == ("promoted", "new")
        assert {ask(server.port, n / 64)[:3] for n in range(30)} == {("", "2", FIRST["2"])}
    with served(start_server, repository, tmp_path) as server:
        assert ask(server.port, 0.3)[:2] == ("", "2")
        told = call(server.port, "GET", "/performance/experiments")[2]
        (promotion,) = told["promotions"]
        assert (promotion["version"], promotion["variant"]) == ("2", "new")
        assert told["experiments"][0]["state"] == "promoted"
        assert "serves again" in act(server.port, "/undo", {"model": MODEL})["text"]
        assert ask(server.port, 0.3)[:2] == ("", "1")
        assert look(server.port, made["id"])["state"] == "rolled_back"
        assert act(server.port, "/undo", {"model": MODEL}, 409)["error"].startswith("nothing is")
    with served(start_server, repository, tmp_path) as server:
        assert ask(server.port, 0.3)[:2] == ("", "1")


def test_control_that_did_not_serve_is_put_in_place(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    with served(start_server, repository, tmp_path) as server:
        made = act(server.port, "", two(control={"version": "3"}), 201)
        seen = {ask(server.port, n / 64, f"user {n}")[1] for n in range(40)}
        assert seen == {"3", "2"}
        act(server.port, f"/{made['id']}/rollback")
        assert {ask(server.port, n / 64, f"user {n}")[1] for n in range(20)} == {"3"}
        act(server.port, "/undo", {"model": MODEL})
        assert ask(server.port, 0.1)[1] == "1"


def test_nothing_fails_while_versions_change_places(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    with served(start_server, repository, tmp_path) as server:
        port = server.port
        with known.callers(port, 4, random.Random.random) as seen:
            for _ in range(3):
                made = act(port, "", two(), 201)
                act(port, f"/{made['id']}/promote", {"force": True})
                act(port, f"/{made['id']}/rollback")
                act(port, f"/{made['id']}/delete")
        assert seen.failures == []
        assert sum(seen.answers.values()) > 100
        wrong = {("control", "2"), ("new", "1")} & set(seen.answers)
        assert not wrong


def test_a_running_experiment_goes_on_after_a_restart(
    start_server: StartServer, repository: Path, tmp_path: Path
) -> None:
    users = [f"user {n}" for n in range(60)]
    with served(start_server, repository, tmp_path) as server:
        made = act(server.port, "", two(), 201)
        before = {user: ask(server.port, 0.5, user)[0] for user in users}
        until(
            lambda: (
                sum(v["requests"] for v in look(server.port, made["id"])["results"]["variants"])
                == 60
            ),
            10,
            "counted",
        )
    with served(start_server, repository, tmp_path) as server:
        until(lambda: ask(server.port, 0.5, users[0])[0], 60, "resumed")
        assert {user: ask(server.port, 0.5, user)[0] for user in users} == before
        until(
            lambda: (
                sum(v["requests"] for v in look(server.port, made["id"])["results"]["variants"])
                >= 120
            ),
            10,
            "counts of both lives",
        )
        assert look(server.port, made["id"])["results"]["split"]["units"] == 60


def test_the_variant_is_in_the_metrics_and_the_records(port: int) -> None:
    act(port, "", two(), 201)
    for user in range(20):
        ask(port, 0.5, f"user {user}")
    records = call(port, "GET", "/performance/metrics")[2]["recent"]
    seen = {record["variant"] for record in records if record["model"] == MODEL}
    assert seen == {"control", "new"}

    def scraped() -> bool:
        text = call(port, "GET", "/metrics")[2].decode()
        return 'variant="control"' in text and 'variant="new"' in text

    until(scraped, 10, "both variants at the scraper")


@pytest.mark.parametrize("flags", [(), known.NO_CACHES], ids=["caches-on", "caches-off"])
def test_not_one_caller_gets_a_shadow_answer(tmp_path: Path, flags: tuple[str, ...]) -> None:
    found, seen = known.shadow_leaks(tmp_path, 4000, *flags)
    assert known.leaks_of(found, seen, 4000) == []
    assert bool(seen.hits) is not bool(flags)
    assert found["results"]["split"] is None


def test_the_slow_and_the_wrong_candidate_are_found(tmp_path: Path) -> None:
    """Looked at twice a second, which an always-valid interval forgives."""
    found, seen = known.slow_and_wrong(
        tmp_path, "split", {"kind": "always-valid"}, known.wait_found, rounds=8000
    )
    assert seen.failures == []
    stopped = {variant["name"]: variant["stopped"] for variant in found["variants"]}
    assert stopped["slow"] is None
    assert stopped["wrong"]["by"] == "disagreement"
    (mean,) = [row for row in found["results"]["comparisons"] if row["figure"] == "mean"]
    assert mean["candidate"] == "slow"
    assert mean["verdict"] == "slower"
    own = known.own_ratios(tmp_path, found, seen)
    assert mean["ratio_low"] < own["mean"] < mean["ratio_high"], "what the models measured"
    assert own["mean"] == pytest.approx(known.TRUE_RATIO, abs=0.1)
    wrong = next(a for a in found["results"]["agreement"] if a["candidate"] == "wrong")
    assert wrong["low_percent"] < 100 * known.WRONG_SHARE < wrong["high_percent"]
    right = next(a for a in found["results"]["agreement"] if a["candidate"] == "slow")
    assert right["rows_differing"] == 0
    assert not found["results"]["split"]["mismatch"]
    # Whoever had the wrong one got control's version after it was taken out.
    assert ("", "1") in seen.answers


def test_an_experiment_ends_at_its_planned_number(port: int) -> None:
    """Until then nothing is shown; then everybody is back with control and the figures stay."""
    body = two(analysis={"kind": "planned", "requests": 400}, header=None)
    made = act(port, "", body, 201)
    with known.callers(port, 2, random.Random.random, 0.002):
        until(lambda: look(port, made["id"])["progress"]["requests"] > 100, 60, "some requests")
        early = look(port, made["id"])
        until(lambda: look(port, made["id"])["state"] == "finished", 90, "the planned end")
        assert ask(port, 0.5)[:2] == ("", "1")
    if early["state"] == "running":
        assert early["results"]["comparisons"] == []
        assert early["results"]["variants"][0]["p50_ms"] is None
        assert "hidden until" in early["results"]["hidden_why"]
    until(lambda: look(port, made["id"])["results"]["verdict"], 30, "a verdict")
    found = look(port, made["id"])
    assert [row["figure"] for row in found["results"]["comparisons"]] == ["p50", "p95", "p99"]
    assert "promote" in found["actions"]
    assert act(port, f"/{made['id']}/promote")["state"] == "promoted"
    assert ask(port, 0.5)[:2] == ("", "2")


@pytest.fixture
def engine(bundled_models: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine over one bundled model, without a server."""
    shutil.copytree(bundled_models / "breast_cancer", tmp_path / "models/breast_cancer")
    engine = Engine(Settings(models=tmp_path / "models", state=tmp_path / "state"))
    engine.start()
    until(lambda: not engine.unready(), 120, "warm")
    yield engine
    engine.close()


def test_an_engine_without_an_experiment_runs_its_own_begin(engine: Engine) -> None:
    """Not one look-up more: what an experiment adds is put there at its start."""
    assert "begin" not in vars(engine)
    body = {
        "name": "forms",
        "model": "breast_cancer",
        "candidates": [{"name": "plain", "backend": "scikit-learn", "caches": "off"}],
    }
    experiment = engine.trials.create(body)
    engine.trials.begin_trial(experiment)
    assert "begin" in vars(engine)
    engine.trials.stop(experiment, "")
    assert "begin" not in vars(engine)


def test_a_form_is_promoted_and_undone(engine: Engine) -> None:
    planned = engine.registry.slot("breast_cancer").model
    assert planned is not None
    assert planned.form != "scikit-learn"
    body = {
        "name": "forms",
        "model": "breast_cancer",
        "candidates": [{"name": "plain", "backend": "scikit-learn"}],
    }
    experiment = engine.trials.create(body)
    engine.trials.begin_trial(experiment)
    rows = planned.sample_rows(8)
    tensors = {spec.name: rows[spec.name] for spec in planned.signature.inputs}

    def forms() -> set[str]:
        found = set()
        for row in range(8):
            one = {name: array[row : row + 1] for name, array in tensors.items()}
            call = engine.begin("breast_cancer", None, one, (), False)
            engine.runs.compute(call)
            found.add(call.result().backend)
            call.close()
        return found

    assert forms() == {planned.form, "scikit-learn"}
    engine.trials.promote(experiment, None, force=True)
    assert forms() == {"scikit-learn"}
    promoted = engine.registry.slot("breast_cancer").model
    assert promoted is not None
    assert promoted.digest != planned.digest
    engine.trials.undo("breast_cancer")
    assert forms() == {planned.form}
    back = engine.registry.slot("breast_cancer").model
    assert back is not None
    assert back.digest == planned.digest
