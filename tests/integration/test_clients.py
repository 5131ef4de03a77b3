"""Clients people use: tritonclient over the binary extension, and curl's plain JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as tritonclient

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.integration.test_parity_over_http import MODELS, rows_of
from tests.waiting import until


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Any:
    with tritonclient.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def test_tritonclient_sees_server_and_models(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("breast_cancer")
    assert client.get_server_metadata()["name"] == "pyrometer"
    assert client.get_model_metadata("breast_cancer")["name"] == "breast_cancer"


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("model", MODELS)
def test_tritonclient_infers(
    client: Any, server: RunningServer, bundled_models: Path, model: str, binary: bool
) -> None:
    from engine.models.backends.estimator_backend import load_skops

    call(server.port, "POST", "/performance/warmup", {"models": [model]})
    name, rows = rows_of(bundled_models / model)
    rows = rows[:7]
    sent = tritonclient.InferInput(
        name, list(rows.shape), "BYTES" if rows.dtype == object else "FP64"
    )
    sent.set_data_from_numpy(rows, binary_data=binary)
    wanted = [tritonclient.InferRequestedOutput("predict", binary_data=binary)]
    answer = client.infer(model, [sent], outputs=wanted).as_numpy("predict")
    expected = load_skops((bundled_models / model / "1/model.skops").read_bytes()).predict(rows)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)


def test_a_hit_shows_in_the_live_feed_within_two_seconds(
    client: Any, server: RunningServer, bundled_models: Path
) -> None:
    _, rows = rows_of(bundled_models / "fraud_detector")
    sent = tritonclient.InferInput("input", [1, rows.shape[1]], "FP64")
    sent.set_data_from_numpy(rows[:1] * 1.01)
    before = _hits(server)
    client.infer("fraud_detector", [sent])
    second = client.infer("fraud_detector", [sent], headers={"X-Request-ID": "twice"})
    assert second.get_response()["model_name"] == "fraud_detector"
    until(lambda: _hits(server) > before, 2, "the hit in the live feed")


def _hits(server: RunningServer) -> int:
    body = call(server.port, "GET", "/performance/live?since=0")[2]
    return int(next(tier["hits"] for tier in body["caches"] if tier["tier"] == "results"))
