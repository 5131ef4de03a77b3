"""The analysis routes: a transaction's fraud and risk, a contract's flaws."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from app.analysis.contracts import Explainer, contract_answer, parse_contract
from app.analysis.fraud import fraud_answer
from app.analysis.risk import risk_answer
from app.analysis.transactions import parse_request
from app.api.inference import begin_record, request_decimals, timed_infer, wants_cache
from app.exchange import Exchange, Response, json_response
from app.rounding import rounded_value, without_none
from engine.errors import ModelFailed
from engine.types import InferRequest


def fraud(exchange: Exchange) -> Response:
    """POST /analyze/fraud {transaction, historical_data?}"""
    begin_record(exchange, "/analyze/fraud", "fraud_detector")
    transaction, history = parse_request(exchange.json())
    answer = fraud_answer(
        transaction,
        history,
        lambda rows: _infer(exchange, "fraud_detector", "input", rows, "predict_proba")[:, 1],
        _medians(exchange, "fraud_detector"),
    )
    return _respond(exchange, answer)


def risk(exchange: Exchange) -> Response:
    """POST /analyze/risk {transaction, historical_data?}"""
    begin_record(exchange, "/analyze/risk", "risk_scorer")
    transaction, history = parse_request(exchange.json())
    answer = risk_answer(
        transaction,
        history,
        lambda rows: _infer(exchange, "risk_scorer", "input", rows, "predict"),
        _medians(exchange, "risk_scorer"),
    )
    return _respond(exchange, answer)


def contract(exchange: Exchange) -> Response:
    """POST /analyze/contract {contract_code}"""
    begin_record(exchange, "/analyze/contract", "contract_classifier")
    code = parse_contract(exchange.json())
    rows = np.array([code], dtype=object)
    (probabilities,) = _infer(
        exchange, "contract_classifier", "contract_code", rows, "predict_proba"
    )
    entry = exchange.engine.registry.slot("contract_classifier").entry
    explainer = _explainer(entry.folder / "explain.npz", entry.digest)
    return _respond(exchange, contract_answer(code, probabilities, explainer))


@lru_cache(maxsize=4)
def _explainer(path: Path, digest: str) -> Explainer:
    """The explainer of one artefact, read once; digest tells versions of a path apart."""
    return Explainer.load(path)


def _infer(
    exchange: Exchange, model: str, input_name: str, rows: np.ndarray, output: str
) -> np.ndarray:
    result = timed_infer(
        exchange,
        InferRequest(
            model=model,
            inputs={input_name: rows},
            outputs=(output,),
            use_cache=wants_cache(exchange),
        ),
    )
    return result.outputs[output]


def _medians(exchange: Exchange, model: str) -> Mapping[str, float]:
    medians = exchange.engine.registry.slot(model).entry.metadata.get("medians")
    if not isinstance(medians, dict):
        raise ModelFailed(f"model {model!r} has no training medians in its metadata.json")
    return medians


def _respond(exchange: Exchange, answer: dict[str, Any]) -> Response:
    record = exchange.record
    assert record is not None
    started_ns = time.perf_counter_ns()
    answer = answer | {"model_version": record.version, "request_id": exchange.request_id}
    if not exchange.engine.settings.analysis_nulls:
        answer = without_none(answer)
    decimals = request_decimals(exchange)
    if decimals is not None:
        answer = rounded_value(answer, decimals)
    response = json_response(answer)
    record.encode_ns = time.perf_counter_ns() - started_ns
    return response
