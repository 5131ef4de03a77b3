"""What is shipped of a model, and what a replica makes of it; no Ray takes part."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from engine import shipment
from engine.caching.payload import dump_run, load_run
from engine.config import Settings
from engine.deploying import _identity, most_rows_of
from engine.engine import Engine
from engine.errors import ArtefactError, ConfigurationError, ModelFailed, UnknownModel
from engine.executors.frames import Message
from engine.executors.placement import Placement, read_words
from engine.executors.remote import LOCAL, RemoteLost
from engine.models.loaded import LoadedModel, open_planned
from engine.models.plan import NO_LIMIT
from engine.models.repository import read_repository
from engine.models.tournament import run_tournament
from engine.models.trust import TrustFile
from engine.placed import Placed
from engine.remote_models import RemoteModels, remote_of
from engine.replica import Echo, Replica, ShippedForms
from engine.stacks import StackCounts
from engine.types import InferRequest
from tests.waiting import until

ROWS = np.round(np.random.default_rng(3).normal(size=(400, 4)), 3)
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)


def opened(folder: Path, estimator: Any) -> LoadedModel:
    """A fitted estimator, planned and opened."""
    version = folder / "models/m/1"
    version.mkdir(parents=True)
    skops.io.dump(estimator.fit(ROWS, LABELS), version / "model.skops")
    (entry,) = read_repository(folder / "models").entries
    forms, trust = folder / "forms", TrustFile(folder / "none")
    forms.mkdir()
    plan = run_tournament(entry, forms, 1e-5, trust)
    return open_planned(entry, plan, forms, trust)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return opened(tmp_path_factory.mktemp("line"), LogisticRegression())


@pytest.fixture(scope="module")
def packed(model: LoadedModel) -> shipment.Shipment:
    return shipment.pack(model)


def files_of(packed: shipment.Shipment) -> dict[str, bytes]:
    files, at = {}, 0
    for name, size in packed.head["files"]:
        files[name], at = packed.content[at : at + size], at + size
    return files


def run(made: Replica, inputs: Mapping[str, np.ndarray], *outputs: str) -> Message:
    return asyncio.run(made.run(list(outputs), dump_run(dict(inputs), "")))


def test_a_replica_answers_as_the_server_does(
    model: LoadedModel, packed: shipment.Shipment
) -> None:
    made = Replica(packed.head, packed.content)
    for rows in (1, 9, 300):
        inputs = {"input": ROWS[:rows]}
        for output in ("predict", "predict_proba"):
            head, data = run(made, inputs, output)
            answers, form = load_run(data)
            ours = model.run(inputs, (output,))
            assert form == ours.form
            assert answers[output].tobytes() == ours.outputs[output].tobytes()
            assert head["run_ns"] > 0
            assert head["cpu_ns"] >= 0
            assert head["resident_bytes"] > 1_000_000
    asyncio.run(made.check_health())


def test_no_pickle_is_shipped(packed: shipment.Shipment) -> None:
    assert [name.rpartition(".")[2] for name, _ in packed.head["files"]] == ["onnx"]
    assert b"sklearn" not in packed.content


def test_what_another_form_answers_is_kept_home(packed: shipment.Shipment) -> None:
    made = Replica(packed.head, packed.content)
    head, data = run(made, {"input": ROWS[:2]}, "decision_function")
    assert (head["kept_home"], data) == ("another form answers these rows", b"")


def test_what_a_form_raises_is_kept_home(packed: shipment.Shipment) -> None:
    made = Replica(packed.head, packed.content)
    head, data = run(made, {"input": np.ones((2, 9))}, "predict")
    assert data == b""
    assert ":" in head["kept_home"]


def test_a_file_that_is_not_the_plans_is_not_opened(packed: shipment.Shipment) -> None:
    ((name, content),) = files_of(packed).items()
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(ArtefactError, match="is not what its plan lists"):
        ShippedForms(packed.head, {name: damaged})
    with pytest.raises(ArtefactError, match="no name of a file"):
        ShippedForms(packed.head, {f"../{name}": content})


def test_a_node_with_other_libraries_is_refused(packed: shipment.Shipment) -> None:
    other = packed.head | {"libraries": packed.head["libraries"] | {"numpy": "1.0"}}
    with pytest.raises(ArtefactError, match=r"this node has numpy .*, not 1\.0"):
        Replica(other, packed.content)


def test_a_node_that_answers_otherwise_is_unhealthy(packed: shipment.Shipment) -> None:
    content = packed.content[:-1] + bytes([packed.content[-1] ^ 1])
    made = Replica(packed.head, content)
    with pytest.raises(RuntimeError, match="otherwise than the server"):
        asyncio.run(made.check_health())


def test_a_drained_replica_is_unhealthy_and_answers_until_it_is_replaced(
    packed: shipment.Shipment,
) -> None:
    made = Replica(packed.head, packed.content)
    report, stacks = asyncio.run(made.look())
    assert (report["drained"], stacks) == (False, [])
    before = run(made, {"input": ROWS[:1]}, "predict")[1]
    asyncio.run(made.look("another"))
    asyncio.run(made.check_health())
    report, _ = asyncio.run(made.look(report["replica"]))
    assert report["drained"]
    assert run(made, {"input": ROWS[:1]}, "predict")[1] == before
    with pytest.raises(RuntimeError, match="being drained"):
        asyncio.run(made.check_health())


def test_stacks_of_runs_are_counted_and_taken_once() -> None:
    stacks = StackCounts(200.0)
    found: list[Any] = []

    def busy() -> bool:
        sum(n * n for n in range(20_000))
        found.extend(stacks.take())
        return bool(found)

    with stacks.running():
        until(busy, 20, "a sample")
    frames, nanoseconds = found[0]
    assert nanoseconds > 0
    assert any(name == "until" for name, _, _ in frames)
    stacks.take()
    assert stacks.take() == []


def test_echo_sends_back_what_it_is_sent() -> None:
    assert asyncio.run(Echo().run([], b"rows")) == ({}, b"rows")


def test_a_model_that_would_have_to_be_unpickled_cannot_be_shipped(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shipment.obstacle(model) is None
    monkeypatch.setattr(shipment, "MOST_BYTES", 100)
    assert "at most 100 are shipped" in str(shipment.obstacle(model))
    version = tmp_path / "models/m/1"
    version.mkdir(parents=True)
    skops.io.dump(LogisticRegression().fit(ROWS, LABELS), version / "model.skops")
    settings = Settings(models=tmp_path / "models", state=tmp_path / "state", optimise=False)
    engine = Engine(settings)
    try:
        slot = engine.registry.slot("m")
        plain = engine.registry.load(slot).result(60)
        assert "would have to be unpickled" in str(shipment.obstacle(plain))
    finally:
        engine.close()


class ReplicasHere:
    """A link whose replicas are in this process: of known behaviour, and taken away at will."""

    def __init__(self) -> None:
        self.state, self.problem, self.since_s, self.starts = "up", "", 0.0, 1
        self.report: dict[str, Any] = {}
        self.apps: dict[str, Replica] = {}
        self.lost = self.full = False
        self.said: list[tuple[str, str]] = []
        self.thread = threading.current_thread()

    def start(self) -> None: ...

    def close(self) -> None: ...

    def call(self, head: Mapping[str, Any], payload: bytes, timeout_s: float) -> Message:
        app = str(head.get("app", ""))
        if self.state != "up":
            raise RemoteLost("it is away")
        if head["op"] != "run":
            self.said.append((head["op"], app))
        if head["op"] == "deploy":
            if self.full and self.apps:
                return {"failed": "no room"}, b""
            self.apps[app] = Replica(head["shipment"], payload)
        elif head["op"] == "remove":
            self.apps.pop(app, None)
        elif head["op"] == "drain":
            known = head["target"] == "r1"
            return ({"drained": "replica"} if known else {"failed": "no node or replica"}), b""
        elif app == "echo":
            return {}, payload
        elif self.lost or app not in self.apps:
            return {"lost": "ActorDiedError", "tries": 3}, b""
        else:
            answer, data = asyncio.run(self.apps[app].run(head["outputs"], payload))
            return answer | {"tries": 1}, data
        return {}, b""


@contextlib.contextmanager
def placed(folder: Path, link: ReplicasHere, **more: Any) -> Iterator[tuple[Engine, RemoteModels]]:
    """An engine with one planned model, warm, and its replicas; nothing looks but the test."""
    settings = Settings(
        models=folder / "models",
        state=folder / "state",
        result_cache=False,
        batching=False,
        reload_interval_s=0,
        audit_interval_s=0,
        **more,
    )
    engine = Engine(settings)
    engine.remote = remote = RemoteModels(engine, link)  # type: ignore[arg-type]
    try:
        for slot in engine.registry.slots():
            engine.registry.load(slot).result(120)
        yield engine, remote
    finally:
        remote.scheduler.close(wait_s=2)
        engine.remote = None
        engine.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in a repository, to be copied with its state."""
    folder = tmp_path_factory.mktemp("placed")
    version = folder / "models/m/1"
    version.mkdir(parents=True)
    skops.io.dump(LogisticRegression().fit(ROWS, LABELS), version / "model.skops")
    (version.parent / "model.toml").write_text('executor = "ray"\n')
    return folder


REQUEST = InferRequest("m", {"input": ROWS[:3]}, outputs=("predict_proba",))


def test_a_model_moves_to_replicas_and_home_again(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        before = engine.infer(REQUEST)
        quick_rows = engine.registry.slot("m").model.quick_rows  # type: ignore[union-attr]
        assert remote.placement("m", "1") is None
        remote.look()
        assert [op for op, _ in link.said] == ["deploy"]
        where = remote.placement("m", "1")
        assert where is not None
        assert (where["where"], where["reason"], where["state"]) == (
            "ray",
            "model.toml says ray",
            "healthy",
        )
        there = engine.infer(REQUEST)
        counts = remote.ray_figures.counts
        assert counts.sent == 1
        assert there.outputs["predict_proba"].tobytes() == before.outputs["predict_proba"].tobytes()
        assert there.timings.queue_ns > 0
        remote.look()
        assert len(link.said) == 1, "what is in place is left alone"

        link.state = "away"
        remote._changed("away")
        assert engine.infer(REQUEST).backend == before.backend
        remote.look()
        model = engine.registry.slot("m").model
        assert model is not None
        assert (model.sent, model.quick_rows) == (None, quick_rows)
        assert counts.sent == 1

        link.state, link.starts = "up", 2
        remote.look()
        engine.infer(REQUEST)
        assert counts.sent == 2


def test_lost_replicas_rest_until_they_answer_a_sample(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        remote.look()
        link.lost = True
        engine.infer(REQUEST)
        counts = remote.ray_figures.counts
        assert (counts.fallbacks, counts.sent, counts.retries) == (1, 0, 2)
        engine.infer(REQUEST)
        assert counts.fallbacks == 1, "it is not asked again by requests"
        remote.probe()
        assert remote.figures()["deployments"][0]["state"] == "away"
        link.lost = False
        remote.probe()
        engine.infer(REQUEST)
        assert counts.sent == 2, "the sample and the request"
        assert remote.figures()["deployments"][0]["state"] == "healthy"


def test_a_deployment_that_is_gone_is_made_again(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        remote.look()
        link.apps.clear()
        engine.infer(REQUEST)
        remote.probe()
        remote.look()
        assert link.said[1:] == [], "its replicas may come back by themselves"
        monkeypatch.setattr("engine.remote_models.GONE_S", -1.0)
        remote.look()
        assert [op for op, _ in link.said] == ["deploy", "deploy"]
        engine.infer(REQUEST)
        counts = remote.ray_figures.counts
        assert (counts.fallbacks, counts.sent) == (1, 0), "a sample is answered first"
        remote.probe()
        engine.infer(REQUEST)
        assert (counts.fallbacks, counts.sent) == (1, 2)
        remote.look()
        assert len(link.said) == 2, "what answers is left alone"


def test_a_bridge_begun_anew_between_two_looks_deploys_again(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        remote.look()
        remote._changed("away")
        link.apps.clear()
        link.starts = 2
        remote.look()
        engine.infer(REQUEST)
        assert remote.ray_figures.counts.sent == 1
        remote.look()
        assert [op for op, _ in link.said] == ["deploy", "deploy"]


def test_a_model_that_raises_hinders_no_other(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        remote._placed["gone", "1"] = gone = Placed(None, Placement(LOCAL, ""), app="gone-1")  # type: ignore[arg-type]
        gone.older = frozenset({"gone-0"})
        with monkeypatch.context() as patched:
            patched.setattr(remote._deployer, "decide", lambda *_: 1 / 0)
            remote.look()
        assert sorted(link.said) == [("remove", "gone-0"), ("remove", "gone-1")]
        (deployment,) = remote.figures()["deployments"]
        assert (deployment["state"], deployment["problem"]) == ("failed", "division by zero")
        remote.look()
        assert len(link.said) == 2, "not before its pause has passed"
        remote._placed["m", "1"].again_s = 0.0
        remote.look()
        engine.infer(REQUEST)
        assert remote.ray_figures.counts.sent == 1


def test_what_could_not_be_replaced_is_removed_once_it_is(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (_, remote):
        remote.look()
        (first,) = link.apps
        before = remote._placed["m", "1"]
        link.full = True
        remote._deployer.renew("m")
        remote._deployer.remove = lambda app: None  # type: ignore[method-assign]
        remote._place(("m", "1"), before.model, "ray", before)
        failed = remote._placed["m", "1"]
        assert (failed.state, failed.app, failed.older) == ("failed", "", {first})
        del remote._deployer.remove  # type: ignore[method-assign]
        link.full, failed.again_s = False, 0.0
        remote.look()
        assert link.said[-1] == ("remove", first)
        assert list(link.apps) == [remote.app_of(("m", "1"))]


@pytest.mark.parametrize(
    ("run_us", "most"),
    [
        ({}, NO_LIMIT),
        ({1: 1000.0, 100: 50_000.0}, 5000),
        ({1: 1_000_000.0, 8: 9_000_000.0}, 2),
        ({1: 2_000_000.0, 2: 9_000_000.0}, 1),
        ({1: 3_000_000.0}, 0),
    ],
)
def test_batches_that_would_outlast_half_a_try_stay_here(
    run_us: dict[int, float], most: int
) -> None:
    plan = SimpleNamespace(served_us=run_us)
    assert most_rows_of(plan, Settings(ray_timeout_s=5.0)) == most  # type: ignore[arg-type]


def test_a_sample_that_only_another_form_answers_is_an_obstacle() -> None:
    row = {"x": np.array([[np.nan]])}
    model = SimpleNamespace(
        plan=SimpleNamespace(
            ranges=((NO_LIMIT, "f"),), candidate=lambda form: SimpleNamespace(finite_only=True)
        ),
        signature=SimpleNamespace(fixed_rows=None, nan_inputs=("x",), bind=lambda rows: rows),
        sample_rows=lambda rows: row,
    )
    assert "its sample row holds NaN" in str(shipment.obstacle(model))  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, b"", b"0a1b", b"ABCDEFGH", b"\xff" * 8])
def test_an_identity_is_eight_hex_digits_and_stays(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "identity").write_bytes(content)
    found = _identity(tmp_path)
    assert re.fullmatch("[0-9a-f]{8}", found)
    assert _identity(tmp_path) == found


def test_new_content_is_healthy_before_the_old_goes(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        remote.look()
        (first,) = link.apps
        done = remote.restart("m")
        assert done["app"] != first
        assert [op for op, _ in link.said] == ["deploy", "deploy", "remove"]
        assert list(link.apps) == [done["app"]]
        engine.infer(REQUEST)
        assert remote.ray_figures.counts.sent == 1
        slot = engine.registry.slot("m")
        engine.registry.evict_idle("m")
        remote.look()
        assert (link.apps, remote.placement("m", "1")) == ({}, None)
        engine.registry.load(slot).result(60)
        remote.look()
        assert len(link.apps) == 1


def test_a_deployment_that_fails_is_told_and_tried_again_later(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        link.apps["another"], link.full = None, True  # type: ignore[assignment]
        remote.look()
        (deployment,) = remote.figures()["deployments"]
        assert (deployment["state"], deployment["problem"]) == ("failed", "no room")
        assert engine.infer(REQUEST).rows == 3
        remote.look()
        assert len(link.said) == 1, "not before its pause has passed"
        remote._placed["m", "1"].again_s, link.full = 0.0, False
        remote.look()
        assert remote.figures()["deployments"][0]["state"] == "healthy"


def test_what_the_rule_says_is_shown_with_both_figures(written: Path, tmp_path: Path) -> None:
    link = ReplicasHere()
    toml = written / "models/m/model.toml"
    toml.write_text("")
    try:
        with placed(written, link) as (engine, remote):
            remote.look()
            where = remote.placement("m", "1")
            assert where is not None
            assert where["where"] == "local"
            assert "quick, below inline_us 1,000 us" in where["reason"]
            assert where["run_us"]["1"] > 0
            assert where["trip_us"]["1"] > 0
            assert read_words(remote.folder, "m", "1") == f"m 1 runs here: {where['reason']}"
            assert "no server has placed it" in read_words(remote.folder, "m", "2")
            toml.write_text('executor = "ray"\n')
            engine.reload()
            remote.look()
            assert remote.placement("m", "1")["where"] == "ray"  # type: ignore[index]
            toml.write_text('executor = "local"\n')
            engine.reload()
            remote.look()
            assert remote.placement("m", "1")["reason"] == "model.toml says local"  # type: ignore[index]
            assert link.apps == {}
    finally:
        toml.write_text('executor = "ray"\n')


def test_draining_and_restarting_say_what_is_not_there(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (_, remote):
        remote.look()
        assert remote.drain("r1") == {"drained": "replica", "id": "r1"}
        with pytest.raises(UnknownModel, match="no node or replica"):
            remote.drain("r2")
        with pytest.raises(UnknownModel):
            remote.restart("nobody")
        link.state = "away"
        with pytest.raises(ModelFailed, match="Ray is away"):
            remote.drain("r1")
        remote.look()
        with pytest.raises(ModelFailed, match="has no replicas"):
            remote.restart("m")


def test_figures_name_nodes_replicas_and_bounds(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link, ray_in_flight=3) as (engine, remote):
        remote.look()
        engine.infer(REQUEST)
        (name,) = remote.ray_figures.replicas
        app = remote.app_of(("m", "1"))
        node = {"id": "n1", "address": "127.0.0.1", "alive": True, "cpus": 2.0, "memory_bytes": 1}
        told = {"replica": name, "node": "n1", "node_cpu_percent": 7.0, "requests": 1, "queued": 0}
        link.report = {
            "nodes": [node, node | {"id": "n2", "alive": False}],
            "apps": {f"p-{app}": {"replicas": [{"id": name, "node": "n1", "state": "RUNNING"}]}},
            "replicas": {app: [told]},
        }
        figures = remote.figures()
        assert figures["in_flight_limit"] == 3
        assert [(n["replicas"], n["cpu_percent"]) for n in figures["nodes"]] == [
            (1, 7.0),
            (0, None),
        ]
        (replica_row,) = figures["deployments"][0]["replicas"]
        assert (replica_row["id"], replica_row["requests"]) == (name, 1)
        assert replica_row["p99_ms"] > 0


def test_stacks_of_replicas_join_the_profile_under_a_root_of_their_own(written: Path) -> None:
    link = ReplicasHere()
    with placed(written, link) as (engine, remote):
        remote.look()
        app = remote.app_of(("m", "1"))
        frames = [["Replica._run", "/srv/site-packages/engine/replica.py", 130]]
        remote._reported({"stacks": [[app, frames, 50_000_000], ["another", frames, 7]]})
        sampler = engine.profiler.sampler
        tree = sampler.target.tree(sampler.table.frames, sampler.contexts.table)
        names = [tree.frames[number].name for number in tree.frame]
        at = names.index("Replica._run")
        assert names[tree.parent[at]] == "ray replica"
        assert tree.self[at].tolist() == [1, 50_000_000, 50_000_000]
        context = tree.contexts[tree.context[at]]
        assert (context.kind, context.thread, context.model) == ("request", "ray replica", "m")
        assert tree.frames[tree.frame[at]].file == "engine/replica.py"


def test_a_server_without_the_package_says_which_extra_it_needs(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(models=written / "models", state=written / "state", executor="ray")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'pyrometer\[ray\]'"):
        Engine(settings)
    assert callable(remote_of)


@pytest.mark.parametrize(
    ("name", "value"), [("executor", "dask"), ("ray_namespace", "a b"), ("ray_namespace", "")]
)
def test_settings_of_ray_are_checked(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings(**{name: value})
