"""Open Inference Protocol V2 over REST."""

from __future__ import annotations

import time

from app.api.codec import decode_request, encode_result
from app.api.inference import begin_record, timed_infer, wants_cache
from app.exchange import Exchange, Response, error_response, json_response
from engine.models.loaded import LoadedModel
from engine.models.signature import Signature
from engine.types import InferRequest
from engine.version import VERSION

EXTENSIONS = ["binary_tensor_data", "model_repository"]
PLATFORMS = {"onnx": "onnxruntime_onnx", "python": "python"}


def server_metadata(exchange: Exchange) -> Response:
    return json_response({"name": "pyrometer", "version": VERSION, "extensions": EXTENSIONS})


def live(exchange: Exchange) -> Response:
    return json_response({"live": True})


def ready(exchange: Exchange) -> Response:
    """200 once every preloaded model has answered real rows; 503 names those that have not."""
    unready = exchange.engine.unready()
    if unready:
        return json_response({"ready": False, "error": f"not ready: {', '.join(unready)}"}, 503)
    return json_response({"ready": True})


def model_metadata(exchange: Exchange) -> Response:
    """Name, versions, inputs and outputs; waits for a load, since the schema is the model's own."""
    engine, args = exchange.engine, exchange.path_args
    wait_s = engine.settings.load_wait_s
    with engine.registry.lease(args["model"], args.get("version"), wait_s) as model:
        versions = engine.registry.versions(model.name)
        if not model.entry.declared.encoder:
            return json_response(_metadata(model, model.signature, versions))
        with engine.encoder_of(model) as encoder:
            return json_response(_metadata(model, encoder.signature, versions))


def _metadata(model: LoadedModel, source: Signature, versions: list[str]) -> dict[str, object]:
    """source: the signature that takes the caller's tensors, an encoder's where there is one."""
    signature = model.signature
    return {
        "name": model.name,
        "versions": versions,
        "platform": PLATFORMS.get(model.entry.format, "sklearn"),
        "inputs": [spec.as_dict() for spec in source.inputs],
        "outputs": [spec.as_dict() for spec in signature.outputs],
        "parameters": {
            "backend": model.form,
            "columns": list(source.columns),
            "description": model.entry.declared.description,
            "encoder": model.entry.declared.encoder,
        },
    }


def model_ready(exchange: Exchange) -> Response:
    """200 when the model is warm, else 503 with its state; 404 when it is unknown."""
    args = exchange.path_args
    slot = exchange.engine.registry.slot(args["model"], args.get("version"))
    body = {"name": slot.entry.name, "ready": slot.state == "warm"}
    if slot.state == "warm":
        return json_response(body)
    why = slot.error or slot.state
    return json_response(body | {"error": f"model {slot.entry.name!r} is not ready: {why}"}, 503)


def infer(exchange: Exchange) -> Response:
    """POST /v2/models/{model}[/versions/{version}]/infer"""
    args, engine = exchange.path_args, exchange.engine
    record = begin_record(exchange, "/v2/models/{model}/infer", args["model"])
    engine.registry.slot(args["model"], args.get("version"))
    request = decode_request(
        exchange.body(),
        exchange.header("HTTP_INFERENCE_HEADER_CONTENT_LENGTH"),
        engine.settings.max_elements,
    )
    result = timed_infer(
        exchange,
        InferRequest(
            model=args["model"],
            version=args.get("version"),
            inputs=request.inputs,
            outputs=request.outputs,
            use_cache=wants_cache(exchange),
        ),
    )
    started_ns = time.perf_counter_ns()
    response = encode_result(result, request)
    record.serialization_ns = time.perf_counter_ns() - started_ns
    return response


def not_found(exchange: Exchange) -> Response:
    return error_response(404, f"no route {str(exchange.environ.get('PATH_INFO'))[:200]!r}")
