"""ONNX Runtime's execution providers: who takes part, absence, and who fell back to the CPU.

The ONNX Runtime here has the CPU's and Azure's providers. Azure's takes no node of any usual
graph, which makes it a real session with a provider that runs nothing.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engine.batching.policy import Lanes
from engine.config import MIB, ONNX_PROVIDERS, Settings
from engine.errors import ConfigurationError, ModelFailed, ProviderLost
from engine.models import plan_store, providers
from engine.models.backends.onnx_backend import graph_recipe, open_session
from engine.models.opener import PlanningOpener
from engine.models.plan import NO_LIMIT, Candidate, Plan, choose_ranges
from engine.models.plan_store import PlanStore
from engine.models.plan_table import plan_table
from engine.models.repository import ModelEntry, read_version
from engine.models.tournament import run_tournament
from engine.models.trust import TrustFile
from tests.conftest import ROOT

OWN_CUDA = "CUDAExecutionProvider"
AZURE = providers.Provider("Azure", "AzureExecutionProvider")


@pytest.fixture
def entry(tmp_path: Path) -> ModelEntry:
    """A graph that somebody brings: y = 2 x, any number of rows."""
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", kind, ["rows", 3])],
        [helper.make_tensor_value_info("y", kind, ["rows", 3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    (tmp_path / "models/double/1").mkdir(parents=True)
    onnx.save(made, tmp_path / "models/double/1/model.onnx")
    return read_version(tmp_path / "models/double", "1")


def planned(entry: ModelEntry, tmp_path: Path, setting: str) -> Plan:
    folder = tmp_path / "made"
    folder.mkdir(exist_ok=True)
    return run_tournament(entry, folder, 1e-5, TrustFile(tmp_path / "none"), setting)


def store_of(tmp_path: Path, setting: str = "") -> PlanStore:
    trust = TrustFile(tmp_path / "none")
    return PlanStore(tmp_path / "state", 1e-5, 60.0, trust, 2048 * MIB, setting)


@pytest.fixture
def cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime that lists CUDA and cannot open it: its session has the CPU alone."""
    listed = [OWN_CUDA, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(providers, "available", lambda: tuple(listed))


def test_where_there_is_no_other_provider_nothing_is_said(
    entry: ModelEntry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = planned(entry, tmp_path, "")
    assert [c.form for c in plan.candidates] == ["onnxruntime"]
    assert list((tmp_path / "made").iterdir()) == []
    assert caplog.records == []


def test_a_named_provider_that_is_absent_is_said_once_in_the_table(
    entry: ModelEntry, tmp_path: Path
) -> None:
    plan = planned(entry, tmp_path, "TensorRT, cuda")
    found = [(c.form, c.verdict, c.reason) for c in plan.candidates[1:]]
    assert found == [
        ("onnxruntime@tensorrt", "out", "TensorRT is not present on this machine"),
        ("onnxruntime@cuda", "out", "CUDA is not present on this machine"),
    ]
    assert plan_table(plan).count("CUDA is not present") == 1
    assert plan.reason == "onnxruntime is the only form of this kind of model"


def test_all_that_are_there_take_part_but_for_the_cpu_and_azure() -> None:
    there = ("TensorrtExecutionProvider", OWN_CUDA, "DmlExecutionProvider", *providers.NOT_OTHERS)
    found = providers.taking_part("auto", there)
    assert [(p.name, p.tag) for p in found] == [
        ("TensorRT", "tensorrt"),
        ("CUDA", "cuda"),
        ("Dml", "dml"),
    ]
    assert [p.name for p in providers.taking_part("CUDA,TensorRT", there)] == ["CUDA", "TensorRT"]
    assert providers.taking_part("off", there) == ()


def test_an_unknown_provider_stops_the_start_and_names_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match="onnx_providers names 'ROCM'") as raised:
        Settings(onnx_providers="CUDA,ROCM")
    assert all(name in str(raised.value) for name in ONNX_PROVIDERS)
    with pytest.raises(ConfigurationError, match="auto"):
        Settings(onnx_providers="CUDA,auto")


def test_a_session_that_fell_back_to_the_cpu_is_not_the_provider(
    entry: ModelEntry, tmp_path: Path, cuda_is_named: None
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX Runtime's own, in the child
        plan = planned(entry, tmp_path, "")
    (cuda,) = plan.candidates[1:]
    assert (cuda.form, cuda.verdict) == ("onnxruntime@cuda", "out")
    assert cuda.reason == f"{OWN_CUDA} could not be opened; ONNX Runtime fell back to the CPU"
    assert list((tmp_path / "made").iterdir()) == []


def test_a_provider_that_runs_none_of_the_nodes_is_out(entry: ModelEntry, tmp_path: Path) -> None:
    _, recipe = graph_recipe(entry.content(), "double")
    base = Candidate("onnxruntime", "agrees", "", recipe=recipe)
    rows = {"x": np.ones((1, 3), dtype=np.float32)}
    with pytest.raises(ProviderLost, match="Azure takes none of its 1 nodes"):
        providers.graph_on(base, AZURE, entry, rows, tmp_path)


def test_what_ran_where_is_counted_and_leaves_no_file(entry: ModelEntry, tmp_path: Path) -> None:
    _, recipe = graph_recipe(entry.content(), "double")
    graph = tmp_path / "double.onnx"
    graph.write_bytes(entry.content())
    ran = providers.nodes_run_by(graph, recipe, {"x": np.ones((1, 3), dtype=np.float32)})
    assert ran == {"CPUExecutionProvider": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"double.onnx", "models"}


def test_a_provider_that_is_no_part_of_the_library_is_lost_without_a_warning(
    entry: ModelEntry,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ProviderLost, match="not part of this"):
            open_session(entry.artefact, OWN_CUDA)


def test_the_key_of_a_plan_holds_the_providers(
    entry: ModelEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [store_of(tmp_path, setting).key(entry) for setting in ("", "auto", "off", "CUDA")]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    monkeypatch.setattr(plan_store, "provider_libraries", lambda: ["libonnxruntime_providers_x.so"])
    plan_store.machine_fingerprint.cache_clear()
    try:
        assert store_of(tmp_path).key(entry) != keys[0]
    finally:
        plan_store.machine_fingerprint.cache_clear()


def test_knowing_the_providers_imports_no_onnx_runtime() -> None:
    code = (
        "import sys; from engine.models.plan_store import machine_fingerprint as told\n"
        "assert 'onnxruntime ' in told(); assert '_providers_shared' in told()\n"
        "assert not {'onnxruntime', 'engine.models.providers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def with_cuda(plan: Plan, folder: Path, graph: bytes) -> Plan:
    """The same plan, as a machine with CUDA would have made it."""
    from dataclasses import replace

    from engine.models.files import sha256_of

    (folder / "model-as-it-is.onnx").write_bytes(graph)
    cuda = replace(
        plan.oracle,
        form="onnxruntime@cuda",
        files={"model-as-it-is.onnx": sha256_of(folder / "model-as-it-is.onnx")},
        recipe={**plan.oracle.recipe, "provider": OWN_CUDA},
    )
    oracle = replace(plan.oracle, verdict="agrees")
    return replace(plan, candidates=(oracle, cuda), ranges=((NO_LIMIT, cuda.form),))


def test_a_plan_whose_provider_is_gone_is_made_anew(entry: ModelEntry, tmp_path: Path) -> None:
    import hashlib

    store = store_of(tmp_path)
    opener = PlanningOpener(store, Lanes(), {})
    plan, _ = opener.plan(entry)
    assert plan is not None
    stored = with_cuda(plan, store.folder(entry), entry.content())
    text = json.dumps(stored.as_dict())
    envelope = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "plan": text}
    (store.folder(entry) / "plan.json").write_text(json.dumps(envelope))
    foreign = store.read(entry)
    assert foreign is not None
    assert foreign.chosen == "onnxruntime@cuda"
    model = opener.open(entry, foreign)
    assert model.form == "onnxruntime"
    answer = model.run({"x": np.full((2, 3), 1.5, dtype=np.float32)}, ("y",))
    assert answer.outputs["y"].tolist() == [[3.0] * 3] * 2


def test_a_plan_that_the_servers_end_stops_says_so(
    entry: ModelEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    opener = PlanningOpener(store, Lanes(), {})

    def ended(*_: Any) -> Any:
        opener.close()
        raise ModelFailed("ended by the system: over its 600 s of processor time")

    monkeypatch.setattr(store, "make", ended)
    with pytest.raises(ModelFailed, match="its plan was stopped, the server ends"):
        opener.plan(entry)


@pytest.mark.parametrize("rows", [1, 16])
def test_a_graph_of_fixed_rows_is_chosen_by_those_alone(
    rows: int, candidate_of: Callable[[str, int, float], Candidate]
) -> None:
    slow, quick = candidate_of("onnxruntime", rows, 50.0), candidate_of("x@cuda", rows, 10.0)
    assert choose_ranges((slow, quick)) == ((NO_LIMIT, "x@cuda"),)


@pytest.fixture
def candidate_of() -> Callable[[str, int, float], Candidate]:
    return lambda form, rows, us: Candidate(form, "agrees", "", run_us={rows: us})
