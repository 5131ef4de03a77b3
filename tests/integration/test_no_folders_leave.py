"""No answer tells where the repository, the state or anybody's home lies, whatever went wrong."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.routes import ROUTES
from engine.models.trust import TrustFile
from tests.conftest import ROOT, RunningServer, StartServer
from tests.waiting import until

TOLD_ON_PURPOSE = frozenset({"/performance/settings"})
"""The Settings page tells who may view it which folders are served."""
STACKS = frozenset({"/performance/flame-graph", "/performance/profile"})
DECLARED = '[[inputs]]\nname = "input"\nshape = [-1, 2]\n'
PYTHON = """
import pathlib
PLACE = pathlib.Path(__file__).parent if "__file__" in globals() else pathlib.Path("{place}")
class Model:
    def load(self, folder):
        {load}
    def predict(self, inputs):
        {predict}
        return inputs["input"].sum(axis=1)
"""
OPENS = "open('{place}/absent thing.bin')"
ROWS = {
    "inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [[1.0, 2.0]]}],
}
FAILING = (
    "garbage",
    "untrusted",
    "link",
    "metadata",
    "load_fails",
    "run_fails",
    "samples",
    "mlflow",
)
STORED = "20261126T020304Z-abcdef"


def write_models(root: Path, trust: TrustFile) -> None:
    """One of each kind of failure, each with words of the system's that name a path."""
    for name in FAILING:
        (root / name / "1").mkdir(parents=True)
        if name not in ("garbage", "mlflow"):
            (root / name / "model.toml").write_text(DECLARED)
    (root / "garbage/1/model.skops").write_bytes(b"PK\3\4" + bytes(400))
    (root / "untrusted/1/model.joblib").write_bytes(b"\x80\x04N.")
    (root / "link/1/model.onnx").symlink_to(root / "garbage/1/model.skops")
    (root / "mlflow/1/MLmodel").write_text(f"flavors: {{sklearn: {{model_path: {root}/x.pkl}}}}")
    codes = {
        "load_fails": (OPENS, "pass"),
        "run_fails": ("self.calls = 0", f"self.calls += 1\n        {OPENS}"),
        "samples": ("pass", "pass"),
        "metadata": ("pass", "pass"),
    }
    for name, (load, predict) in codes.items():
        code = PYTHON.format(place=root, load=load, predict=predict).replace("{place}", str(root))
        (root / name / "1/model.py").write_text(code)
        trust.add(root / name / "1/model.py")
    (root / "metadata/1/metadata.json").write_text(f'["{root}"')
    (root / "samples/1/samples.npz").mkdir()


def break_state(state: Path) -> None:
    """Files where folders belong, folders where files belong, and damaged content."""
    (state / "alerts.toml").mkdir(parents=True)
    (state / "history.sqlite").mkdir()
    (state / "cache").mkdir()
    (state / "cache/results").write_text("no folder")
    for folder in ("reports", "runs", "experiments"):
        (state / folder).mkdir()
        (state / folder / f"{STORED}.json").write_text(f'{{"id": "{state}')
    (state / "experiments/promotions.json").mkdir()


@pytest.fixture(scope="module", params=["fast", "flask"])
def broken(
    request: pytest.FixtureRequest,
    start_server: StartServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningServer, Path]]:
    """A server over models and a state of which nothing works, in folders with a blank."""
    home = tmp_path_factory.mktemp("some where")
    trust = TrustFile(home / "trusted.sha256")
    write_models(home / "models", trust)
    break_state(home / "state")
    flags = ["--trust-file", str(trust.path), "--compile-timeout-s", "30"]
    if request.param == "flask":
        flags += ["--http-door", "flask"]
    server = start_server(home / "models", home / "state", *flags, ready=False)
    until(lambda: server.answers("/v2/health/live"), 60, "alive")
    yield server, home
    server.stop()


def asked(server: RunningServer, method: str, path: str, body: bytes | None = None) -> bytes:
    """The head and the body of an answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as to:
        to.request(method, path, body, {"content-type": "application/json"})
        answer = to.getresponse()
        return str(answer.getheaders()).encode() + answer.read()


def telling(home: Path, answer: bytes) -> list[str]:
    """Which of the folders an answer tells, of all that are this machine's business."""
    places = {str(home), str(Path.home()) + "/", str(ROOT) + "/"}
    return sorted(place for place in places if place.encode() in answer)


def settled(server: RunningServer) -> None:
    def all_known() -> bool:
        listed = json.loads(asked(server, "GET", "/performance/models").split(b")]", 1)[1])
        states = {model["name"]: model["state"] for model in listed["models"]}
        return "loading" not in states.values()

    until(all_known, 120, "every model failed or loaded")


def test_no_failure_of_a_model_tells_a_folder(broken: tuple[RunningServer, Path]) -> None:
    server, home = broken
    body = json.dumps(ROWS).encode()
    told = {}
    for name in FAILING:
        for path, content in (
            (f"/v2/models/{name}/infer", body),
            (f"/v2/repository/models/{name}/load", b"{}"),
            (f"/v2/models/{name}/infer", body),
        ):
            told[path] = asked(server, "POST", path, content)
    for name in FAILING:
        told[name] = asked(server, "GET", f"/v2/models/{name}/ready")
    assert {path: found for path, answer in told.items() if (found := telling(home, answer))} == {}
    # These did fail, and say so: the models are not just unknown.
    assert b"garbage" in told["/v2/models/garbage/infer"]
    assert b"trusted.sha256" in told["/v2/models/untrusted/infer"]
    assert b"absent thing.bin" in told["/v2/models/load_fails/infer"]
    assert b"absent thing.bin" in told["/v2/models/run_fails/infer"]


def test_no_failure_of_the_state_tells_a_folder(broken: tuple[RunningServer, Path]) -> None:
    server, home = broken
    toml = '[[rule]]\nname = "memory"\nmetric = "memory_mb"\nwarning = 1\n'
    rules = json.dumps({"rules": toml, "author": "ada"}).encode()
    told = {
        "rules": asked(server, "POST", "/performance/alerts/rules", rules),
        "report": asked(server, "GET", f"/performance/reports/{STORED}"),
        "run": asked(server, "GET", f"/performance/benchmarks/{STORED}"),
        "alerts": asked(server, "GET", "/performance/alerts"),
        "experiments": asked(server, "GET", "/performance/experiments"),
        "history": asked(server, "GET", "/performance/metrics/history?window=86400s"),
        "status": asked(server, "GET", "/performance/status"),
    }
    assert {what: found for what, answer in told.items() if (found := telling(home, answer))} == {}
    assert b"could not be kept" in told["rules"]
    assert b"alerts.toml" in told["alerts"]
    assert b"promotions.json" in told["experiments"]


def test_no_route_tells_a_folder_while_nothing_works(broken: tuple[RunningServer, Path]) -> None:
    server, home = broken
    settled(server)
    told = {}
    for method, rule, _ in ROUTES:
        if rule in TOLD_ON_PURPOSE | STACKS or rule.endswith("/picture"):
            continue
        for name in ("run_fails", STORED, "%2e%2e", "a b"):
            path = rule.format(
                model=name.replace(" ", "%20"),
                version="1",
                experiment=STORED,
                report=STORED,
                run=STORED,
                key="none",
                name=name,
                id=STORED,
            )
            if method == "GET":
                told[path] = asked(server, "GET", path)
            elif "fleet" not in rule:
                told[f"POST {path}"] = asked(server, "POST", path, b"[")
    assert {path: found for path, answer in told.items() if (found := telling(home, answer))} == {}
    assert len(told) > 60
