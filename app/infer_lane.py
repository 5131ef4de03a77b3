"""The fast lane: V2 requests of one usual kind, answered together.

    request -> response cache -> rows -+
    request -> response cache -> rows -+-> one run -> an answer each
    request -> response cache -> rows -+

Requests that the event loop read in one turn meet here, and their rows run as one batch at
the turn's end: nobody waits for company. A lane takes requests whose heads are equal bytes,
whose model is warm and quick, and whose body is one JSON tensor of floats as most clients
write it. Whatever is different in any way, it leaves to the usual path, which says what is
wrong with it; answers are the same bytes either way (tests/contract runs on both).
"""

from __future__ import annotations

import logging
import time
import weakref
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson

from app.api.codec import FLOAT64, SMALL
from app.api.inference import record_lines, uses_cache
from app.encoding import LEAST_BYTES, accepts_gzip
from app.exchange import Request
from app.http1 import Connection, Date
from engine.caching.key import SAMPLE_MASK, MatrixKey
from engine.caching.memory import MISS, tensors_bytes
from engine.engine import Engine
from engine.models.loaded import LoadedModel, Run
from engine.telemetry.record import RequestMetrics
from engine.types import datatype_of

log = logging.getLogger(__name__)
ENDPOINT = "/v2/models/{model}/infer"
GZIP_LINES = "content-encoding: gzip\r\nvary: accept-encoding\r\n"
MOST_BYTES = 65_536
NEEDS_A_LOOK = frozenset(
    {
        b"content-encoding",
        b"x-float-decimals",
        b"inference-header-content-length",
        b"origin",
        b"x-request-id",
        b"x-request-timeout-ms",
    }
)
"""Headers with which a request is not one of many."""


class Waiting(NamedTuple):
    """A request between its reading and its run. key: of its response; None is not to be kept."""

    client: Connection
    request: Request
    key: tuple[bytes, bytes] | None
    request_id: str
    rows: int
    data: list[float]
    started_ns: int
    parsed_ns: int


class Cached(NamedTuple):
    """A kept response: its body, packed or not, and what its record needs."""

    body: bytes
    encoding: str
    rows: int
    form: str


class InferLane:
    """Requests to one model with one kind of head.

    kind: whether the head allows cached answers, and takes gzip. answered, runs: requests that
    a run answered here, and the runs it took. is_over: another model answers now.
    """

    def __init__(
        self,
        front: Any,
        name: str,
        version: str | None,
        kind: tuple[bool, bool],
        model: LoadedModel,
    ) -> None:
        self._front = front
        self._engine: Engine = front.engine
        self._name, self._version = name, version
        # Weakly: a lane must not keep in memory what the registry has let go.
        self._model = weakref.ref(model)
        self._model_version, self._quick_rows = model.version, model.quick_rows
        (spec,) = model.signature.inputs
        self._input, self._width = spec.name, spec.shape[1]
        self._outputs = model.signature.check_outputs(())
        use_cache, self._gzips = kind
        caches = use_cache and model.entry.declared.cache_results
        self._responses = self._engine.responses if caches else None
        self._results = self._engine.results if caches else None
        self._digest = model.digest
        self._key = model.digest + (b"gzip" if self._gzips else b"")
        self._ttl_s = model.entry.declared.cache_ttl_s
        self._key_of = MatrixKey(model.digest, self._input, self._outputs)
        self._waiting: list[Waiting] = []
        self._texts: dict[str, bytes] = {}
        self.answered = self.runs = 0
        self.is_over = False

    def take(self, request: Request, client: Connection) -> bool:
        """Answer a request, at once or at the end of the loop's turn; False: not one for here."""
        started_ns = time.perf_counter_ns()
        content = request.body
        model = self._engine.registry.serving(self._name, self._version)
        if model is not self._model() and not self._follow(model):
            return False
        key, responses = None, self._responses
        if responses is not None:
            if responses.awake or not _sample_of(content) & SAMPLE_MASK:
                key = (self._key, content)
                kept = responses.get(key)
                if kept is not MISS:
                    self._answer_kept(kept, client, started_ns)
                    return True
            else:
                responses.counters.bypassed += 1
        if len(content) > MOST_BYTES:
            return False
        try:
            body = orjson.loads(content)
            (item,) = body["inputs"]
            rows, width = item["shape"]
            data = item["data"]
            if type(data[0]) is list:
                if [*map(len, data)] != [width] * rows:
                    return False
                data = list(chain.from_iterable(data))
            usual = (
                len(body) == 1
                and len(item) == 4
                and item["name"] == self._input
                and item["datatype"] == "FP64"
                and type(rows) is int
                and width == self._width
                and rows > 0
                and len(data) == rows * width
            )
        except (ValueError, KeyError, TypeError, IndexError):
            return False
        if not usual or type(width) is not int or type(data) is not list:
            return False
        waiting = Waiting(
            client,
            request,
            key,
            self._front.new_id(),
            rows,
            data,
            started_ns,
            time.perf_counter_ns(),
        )
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            client.at_turn_end(self._run_waiting)
        return True

    def _follow(self, model: LoadedModel | None) -> bool:
        """The same content loaded anew is the same model; any other ends this lane."""
        if model is None or model.digest != self._digest or model.degraded:
            self.is_over = True
            return False
        self._model, self._quick_rows = weakref.ref(model), model.quick_rows
        return True

    def _answer_kept(self, kept: Cached, client: Connection, started_ns: int) -> None:
        record = RequestMetrics(
            self._front.new_id(),
            ENDPOINT,
            200,
            self._name,
            self._model_version,
            rows=kept.rows,
            cache_hit=True,
            backend=kept.form,
        )
        ended_ns = time.perf_counter_ns()
        record.postprocessing_ns = record.duration_ns = ended_ns - started_ns
        self._send(client, record, kept.body, kept.encoding)

    def _send(self, client: Connection, record: RequestMetrics, body: bytes, encoding: str) -> None:
        record.finished_at = time.time()
        self._engine.recorder.append(record)
        head = (
            f"HTTP/1.1 200 OK\r\n{Date.line}content-type: application/json\r\n{encoding}"
            f"{record_lines(record)}x-request-id: {record.request_id}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        client.answer_bytes(head.encode("latin-1") + body)

    def _run_waiting(self) -> None:
        """Run what has come in this turn."""
        waiting, self._waiting = self._waiting, []
        try:
            self._run_parts(waiting)
        except Exception:
            # Nobody may be left without an answer.
            log.exception("requests of %s could not be answered together", self._name)
            self.is_over = True
            self._give_up([one for one in waiting if one.client.is_serving(one.request)])

    def _run_parts(self, waiting: list[Waiting]) -> None:
        most_rows, place = self._quick_rows, 0
        while place < len(waiting):
            end, rows = place, 0
            while end < len(waiting) and (rows == 0 or rows + waiting[end].rows <= most_rows):
                rows += waiting[end].rows
                end += 1
            part = waiting[place:end]
            if rows > most_rows or not self._run(part, rows):
                self._give_up(part)
            place = end

    def _give_up(self, waiting: list[Waiting]) -> None:
        """Hand requests to the usual path, which knows what to do and what to say."""
        for one in waiting:
            self._front.serve_usual(one.request, one.client)

    def _run(self, waiting: list[Waiting], rows: int) -> bool:
        """Answer these requests with one run; False when they are for the usual path."""
        began_ns = time.perf_counter_ns()
        try:
            flat = np.array(list(chain.from_iterable([one.data for one in waiting])))
        except (ValueError, OverflowError):
            return False
        if flat.dtype is not FLOAT64 or flat.ndim != 1 or not flat.dot(flat) < SMALL:
            return False
        matrix = flat.reshape(rows, self._width)
        try:
            with self._engine.registry.lease(self._name, self._version, 0.0) as model:
                if model.digest != self._digest or rows > model.quick_rows:
                    self.is_over = True
                    return False
                run = model.run({self._input: matrix}, self._outputs)
        except Exception:
            # Whatever it is, the usual path meets it again and says it to each alone.
            return False
        self._answer_all(model, waiting, run, matrix, began_ns)
        return True

    def _answer_all(
        self,
        model: LoadedModel,
        waiting: list[Waiting],
        run: Run,
        matrix: np.ndarray,
        began_ns: int,
    ) -> None:
        ran_ns = time.perf_counter_ns()
        self.runs += 1
        self.answered += len(waiting)
        first = 0
        for one in waiting:
            end = first + one.rows
            outputs = {name: array[first:end] for name, array in run.outputs.items()}
            body, encoding = self._body(model, outputs), ""
            if self._gzips and len(body) >= LEAST_BYTES:
                packed = self._front.compressor.compress(body)
                if packed is not None:
                    body, encoding = packed, GZIP_LINES
            if one.key is not None:
                self._keep(
                    one,
                    Cached(body, encoding, one.rows, run.form),
                    Run(outputs, run.form),
                    matrix[first:end],
                )
            record = RequestMetrics(
                one.request_id,
                ENDPOINT,
                200,
                self._name,
                model.version,
                one.rows,
                len(matrix),
                backend=run.form,
            )
            ended_ns = time.perf_counter_ns()
            record.duration_ns = ended_ns - one.started_ns
            record.preprocessing_ns = one.parsed_ns - one.started_ns
            record.queue_ns = began_ns - one.parsed_ns
            record.inference_ns = ran_ns - began_ns
            record.serialization_ns = ended_ns - ran_ns
            self._send(one.client, record, body, encoding)
            first = end

    def _keep(self, one: Waiting, kept: Cached, run: Run, rows: np.ndarray) -> None:
        assert self._responses is not None
        ttl_s = self._ttl_s
        size_bytes = len(one.request.body) + len(kept.body)
        self._responses.put(one.key, kept, size_bytes, self._name, ttl_s)
        if self._results is None or not self._results.awake:
            return
        # Copies: a view would keep the whole batch alive.
        own = Run({name: array.copy() for name, array in run.outputs.items()}, run.form)
        for array in own.outputs.values():
            array.flags.writeable = False
        size_bytes = tensors_bytes(own.outputs)
        self._results.put(self._key_of(rows), own, size_bytes, self._name, ttl_s)

    def _body(self, model: LoadedModel, outputs: dict[str, np.ndarray]) -> bytes:
        """The JSON of these outputs, as the codec writes it."""
        parts = []
        for name, array in outputs.items():
            known = self._texts.get(name)
            if known is None:
                known = self._texts[name] = self._text_of(model, name, array)
            flat = array.reshape(-1)
            data = orjson.dumps(
                flat.tolist() if array.dtype.kind in "OUS" else flat,
                option=orjson.OPT_SERIALIZE_NUMPY,
            )
            parts.append(known % (len(array), data))
        return b"".join(parts)

    def _text_of(self, model: LoadedModel, name: str, array: np.ndarray) -> bytes:
        """A template of an output's part of the body, rows and data to be filled in."""
        first, last = name == self._outputs[0], name == self._outputs[-1]
        opening = {"model_name": model.name, "model_version": model.version, "outputs": []}
        before = orjson.dumps(opening)[:-2] if first else b","
        spec = {"name": name, "datatype": datatype_of(array), "shape": [], "data": []}
        text = orjson.dumps(spec).removesuffix(b'[],"data":[]}')
        tail = b"".join(b",%d" % size for size in array.shape[1:])
        after = b"]}" if last else b""
        return (
            before.replace(b"%", b"%%")
            + text.replace(b"%", b"%%")
            + b"[%d"
            + tail
            + b'],"data":%b}'
            + after
        )


def _sample_of(content: bytes) -> int:
    """A number that equal bodies share, at a tenth of the cost of hashing all of one."""
    middle = len(content) >> 1
    return hash(content[-24:]) ^ hash(content[middle : middle + 16])


def kind_of(request: Request) -> tuple[bool, bool]:
    """What of a head a lane depends on: cached answers allowed, gzip taken."""
    return uses_cache(request), accepts_gzip(request.headers)


def lane_for(front: Any, request: Request, name: str, version: str | None) -> InferLane | None:
    """A lane for requests with this head, or None where the usual path must see each."""
    engine: Engine = front.engine
    headers = request.headers
    if not headers.keys().isdisjoint(NEEDS_A_LOOK):
        return None
    model = engine.registry.slot(name, version).model
    if model is None or model.degraded or not model.quick_rows:
        return None
    if model.entry.declared.encoder or model.entry.declared.decimals is not None:
        return None
    inputs = model.signature.inputs
    if len(inputs) != 1 or inputs[0].datatype == "BYTES" or model.signature.as_declared:
        return None
    if len(inputs[0].shape) != 2 or inputs[0].shape[1] < 1:
        return None
    return InferLane(front, name, version, kind_of(request), model)
