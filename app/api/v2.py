"""Open Inference Protocol V2 over REST."""

from __future__ import annotations

import time
from hashlib import blake2b

from app.api.codec import V2Request, decode_request, encode_answer
from app.api.inference import PendingCall, begin_record, request_decimals, wants_cache
from app.exchange import Exchange, Pending, Request, Response, error_response, json_response
from app.rounding import rounded
from engine.call import Call
from engine.errors import ModelLoading, UnknownModel
from engine.models.loaded import LoadedModel
from engine.models.signature import Signature
from engine.telemetry.record import RequestMetrics
from engine.version import VERSION

EXTENSIONS = ["binary_tensor_data", "model_repository"]
LOOP_BYTES = 65_536
LOOP_BINARY_BYTES = 1_048_576
"""Bodies up to these sizes are decoded on the event loop: a fraction of a millisecond. The larger
one is for binary numbers; texts are read one by one."""
IF_NONE_MATCH = b"if-none-match"
JSON_LENGTH = b"inference-header-content-length"
PLATFORMS = {"onnx": "onnxruntime_onnx", "python": "python"}


def server_metadata(exchange: Exchange) -> Response:
    """The server's name, version and protocol extensions."""
    about = {"name": "pyrometer", "version": VERSION, "extensions": EXTENSIONS}
    return tagged(exchange, json_response(about))


def live(exchange: Exchange) -> Response:
    """200 while the process answers."""
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
            return tagged(exchange, json_response(_metadata(model, model.signature, versions)))
        with engine.encoder_of(model) as encoder:
            about = _metadata(model, encoder.signature, versions)
            return tagged(exchange, json_response(about))


def tagged(exchange: Exchange, response: Response) -> Response:
    """With an ETag; 304 without the body to a client that has it."""
    tag = f'"{blake2b(response.body, digest_size=12).hexdigest()}"'
    headers = [("etag", tag), ("cache-control", "no-cache")]
    known = {part.strip().removeprefix("W/") for part in exchange.header(IF_NONE_MATCH).split(",")}
    if tag in known or "*" in known:
        return Response(304, b"", headers)
    response.headers += headers
    return response


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


def infer(exchange: Exchange) -> Response | Pending | None:
    """POST /v2/models/{model}[/versions/{version}]/infer; None when it needs a thread."""
    args, engine = exchange.path_args, exchange.engine
    name, version = args["model"], args.get("version")
    record = begin_record(exchange, "/v2/models/{model}/infer", name)
    engine.registry.slot(name, version)
    request = decode_request(
        exchange.body(),
        exchange.header(JSON_LENGTH),
        engine.settings.max_elements,
        engine.settings.max_rows,
    )
    record.decode_ns = time.perf_counter_ns() - exchange.mark_ns
    try:
        call = engine.begin(
            name,
            version,
            request.inputs,
            request.outputs,
            wants_cache(exchange),
            waits=exchange.may_wait,
            caller=exchange,
        )
    except ModelLoading:
        if exchange.may_wait:
            raise
        return None  # it was evicted a moment ago
    pending = PendingCall(exchange, call, lambda call: _encoded(exchange, record, call, request))
    if call.run is not None:
        return pending.respond()
    if engine.runs.is_quick(call):
        engine.runs.run_now(call)
        return pending.respond()
    if exchange.deadline_ms:
        call.deadline_ns = exchange.started_ns + int(exchange.deadline_ms * 1e6)
    if exchange.may_wait and call.encoder is not None:
        engine.runs.compute(call)
        return pending.respond()
    return pending


def _encoded(
    exchange: Exchange, record: RequestMetrics, call: Call, request: V2Request
) -> Response:
    started_ns = time.perf_counter_ns()
    run = call.answer()
    decimals = request_decimals(exchange, call.model)
    if decimals is not None:
        short = {name: rounded(array, decimals) for name, array in run.outputs.items()}
        run = run._replace(outputs=short)
    response = encode_answer(call.model, run, request)
    record.encode_ns = time.perf_counter_ns() - started_ns
    return response


def may_run_on_loop(exchange: Exchange) -> bool:
    """True for an infer request that neither its body nor a cold model makes long."""
    request = exchange.request
    if b"content-encoding" in request.headers:
        return False
    if len(request.body) > LOOP_BYTES and not is_binary_numbers(request):
        return False
    args = exchange.path_args
    try:
        model = exchange.engine.registry.slot(args["model"], args.get("version")).model
    except UnknownModel:
        return True
    return model is not None and not model.entry.declared.encoder


def is_binary_numbers(request: Request) -> bool:
    """True where a body of no more than LOOP_BINARY_BYTES is a short JSON part and numbers."""
    given = request.headers.get(JSON_LENGTH, b"")
    if len(request.body) > LOOP_BINARY_BYTES or not given.isdigit() or len(given) > len("65536"):
        return False
    head = request.body[: int(given)]
    # An escape may hide the word.
    return len(head) <= LOOP_BYTES and b"BYTES" not in head and b"\\" not in head


def not_found(exchange: Exchange) -> Response:
    return error_response(404, f"no route {exchange.request.path[:200]!r}")
