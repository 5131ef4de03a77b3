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
import weakref
from collections.abc import Callable
from itertools import chain
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import orjson

from app.api.codec import plain_floats
from app.api.inference import uses_cache
from app.encoding import LEAST_BYTES, accepts_gzip
from app.exchange import Request
from app.http1 import Connection
from app.rendering import Date
from engine.caching.key import SAMPLE_MASK, MatrixKey
from engine.caching.memory import MISS, tensors_bytes
from engine.engine import Engine
from engine.in_flight import Mark
from engine.models.loaded import LoadedModel, Run
from engine.telemetry.compact import pack_each, pack_hit, pack_turn
from engine.telemetry.labels import Label
from engine.types import MISSED, datatype_of

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
        b"traceparent",
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
    rows: int
    data: list[float]
    started_s: float
    looked_up_s: float
    parsed_s: float


class Cached(NamedTuple):
    """A kept response: its body, packed or not, and what its record needs."""

    body: bytes
    encoding: str
    rows: int
    form: str


class InferLane:
    """Requests to one model with one kind of head.

    kind: whether the head allows cached answers, and takes gzip. answered, runs: requests that
    a run answered here, and the runs it took. is_over: another model answers now. mark: for
    whom the loop works here, its thread's alone.
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
        self._model: Callable[[], object] = weakref.ref(model)
        self._model_version, self._quick_rows = model.version, model.quick_rows
        (spec,) = model.signature.inputs
        self._input, self._width = spec.name, spec.shape[1]
        bounds = self._engine.settings
        self._most_rows = min(bounds.max_rows, bounds.max_elements // self._width)
        self._outputs = model.signature.check_outputs(())
        use_cache, self._gzips = kind
        caches = use_cache and model.entry.declared.cache_results
        self._responses = self._engine.responses if caches else None
        self._results = self._engine.results if caches else None
        self._digest = model.digest
        self._key = model.digest + (b"gzip" if self._gzips else b"")
        self._ttl_s = model.entry.declared.cache_ttl_s
        self._key_of = MatrixKey(model.digest, self._input, self._outputs)
        self._recorder = self._engine.recorder
        label = Label(name, model.version, "", ENDPOINT)
        self._label = self._recorder.label_id(label)
        self.mark = Mark(name, model.version, ENDPOINT, "")
        self._doing = self._engine.profiler.in_flight.here()
        self._waiting: list[Waiting] = []
        self._texts: dict[str, bytes] = {}
        self.answered = self.runs = 0
        self.is_over = False

    def take(self, request: Request, client: Connection) -> bool:
        """Answer a request, at once or at the end of the loop's turn; False: not one for here."""
        started_s = perf_counter()
        content = request.body
        model = self._engine.registry.serving(self._name, self._version)
        if model is not self._model() and not self._follow(model):
            return False
        key, responses, looked_up_s = None, self._responses, started_s
        if responses is not None:
            if responses.awake or not _sample_of(content) & SAMPLE_MASK:
                key = (self._key, content)
                kept = responses.get(key)
                if kept is not MISS:
                    self._answer_kept(kept, client, len(content), started_s)
                    return True
            else:
                responses.counters.bypassed += 1
            looked_up_s = perf_counter()
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
                and 0 < rows <= self._most_rows
                and len(data) == rows * width
                and type(data[0]) is not bool
            )
        except (ValueError, KeyError, TypeError, IndexError):
            return False
        if not usual or type(width) is not int or type(data) is not list:
            return False
        waiting = Waiting(
            client,
            request,
            key,
            rows,
            data,
            started_s,
            looked_up_s,
            perf_counter(),
        )
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            client.at_turn_end(self._run_waiting)
        return True

    def end(self) -> None:
        """Take no more, from any thread: each request is to be looked at alone."""
        self.is_over = True
        self._model = _no_model

    def _follow(self, model: LoadedModel | None) -> bool:
        """The same content loaded anew is the same model; any other ends this lane."""
        if self.is_over or model is None or model.digest != self._digest or model.degraded:
            self.is_over = True
            return False
        self._model, self._quick_rows = weakref.ref(model), model.quick_rows
        return True

    def _answer_kept(
        self, kept: Cached, client: Connection, bytes_in: int, started_s: float
    ) -> None:
        found_s, ordinal = perf_counter(), self._recorder.new_ordinal()
        cache_s, body = found_s - started_s, kept.body
        head = (
            f"HTTP/1.1 200 OK\r\n{Date.line}content-type: application/json\r\n{kept.encoding}"
            f"x-backend: {kept.form}\r\nserver-timing: cache;dur={cache_s * 1e3:.3f}\r\n"
            "x-cache-hit: true\r\nx-cold-start: false\r\n"
            f"x-processing-time: {cache_s * 1e3:.3f}\r\n"
            f"x-request-id: {self._recorder.id_of(ordinal)}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        client.answer_bytes(head.encode("latin-1") + body)
        if not self._recorder.enabled:
            return
        ended_s = perf_counter()
        form = self._recorder.form_id(kept.form)
        bytes_out, times = len(body), (started_s, found_s, ended_s)
        self._recorder.extend_hit(
            pack_hit(self._label, form, ordinal, kept.rows, bytes_in, bytes_out, *times)
        )

    def _run_waiting(self) -> None:
        """Run what has come in this turn."""
        waiting, self._waiting = self._waiting, []
        doing = self._doing
        outer, doing.work = doing.work, self.mark
        try:
            self._run_parts(waiting)
        except Exception:
            # Nobody may be left without an answer.
            log.exception("requests of %s could not be answered together", self._name)
            self.is_over = True
            self._give_up([one for one in waiting if one.client.is_serving(one.request)])
        finally:
            doing.work = outer

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
        began_s = perf_counter()
        flat = plain_floats(list(chain.from_iterable([one.data for one in waiting])))
        if flat is None:
            return False
        matrix = flat.reshape(rows, self._width)
        built_s = perf_counter()
        try:
            with self._engine.registry.lease(self._name, self._version, 0.0) as model:
                if model.digest != self._digest or rows > model.quick_rows:
                    self.is_over = True
                    return False
                run = model.run({self._input: matrix}, self._outputs)
        except Exception:
            # Whatever it is, the usual path meets it again and says it to each alone.
            return False
        self._answer_all(model, waiting, run, matrix, (began_s, built_s))
        return True

    def _answer_all(
        self,
        model: LoadedModel,
        waiting: list[Waiting],
        run: Run,
        matrix: np.ndarray,
        times_s: tuple[float, float],
    ) -> None:
        """times_s: when the run's turn began, and when its rows were in place."""
        began_s, built_s = times_s
        turn_s = ran_s = perf_counter()
        inference_s, build_s = ran_s - built_s, built_s - began_s
        self.runs += 1
        self.answered += len(waiting)
        recorder, batch_rows = self._recorder, len(matrix)
        form, cache = recorder.form_id(run.form), MISSED if self._responses is not None else 0
        records, records_each = bytearray(), recorder.enabled
        ordinal = recorder.reserve(len(waiting))
        first = 0
        for one in waiting:
            end = first + one.rows
            outputs = {name: array[first:end] for name, array in run.outputs.items()}
            body, encoding = self._body(model, outputs), ""
            encoded_s = packed_s = kept_s = perf_counter()
            if self._gzips and len(body) >= LEAST_BYTES:
                gzipped = self._front.compressor.compress(body)
                if gzipped is not None:
                    body, encoding = gzipped, GZIP_LINES
                packed_s = kept_s = perf_counter()
            if one.key is not None:
                response = Cached(body, encoding, one.rows, run.form)
                self._keep(one, response, Run(outputs, run.form), matrix[first:end])
                kept_s = perf_counter()
            first = end
            queue_s = began_s - one.parsed_s + turn_s - ran_s
            decode_s = one.parsed_s - one.looked_up_s + build_s
            cache_s = one.looked_up_s - one.started_s + kept_s - packed_s
            encode_s = encoded_s - turn_s
            batch = f"x-batch-rows: {batch_rows}\r\n" if batch_rows > one.rows else ""
            head = (
                f"HTTP/1.1 200 OK\r\n{Date.line}content-type: application/json\r\n{encoding}"
                f"x-backend: {run.form}\r\n{batch}server-timing: decode;dur={decode_s * 1e3:.3f}, "
                f"queue;dur={queue_s * 1e3:.3f}, cache;dur={cache_s * 1e3:.3f}, "
                f"infer;dur={inference_s * 1e3:.3f}, encode;dur={encode_s * 1e3:.3f}\r\n"
                "x-cache-hit: false\r\nx-cold-start: false\r\n"
                f"x-processing-time: {(kept_s - one.started_s) * 1e3:.3f}\r\n"
                f"x-request-id: {recorder.id_of(ordinal)}\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            one.client.answer_bytes(head.encode("latin-1") + body)
            ended_s = perf_counter()
            turn_s, ordinal = ended_s, ordinal + 1
            if records_each:
                # fmt: off
                records += pack_each(
                    one.rows, one.request.body_bytes, len(body), one.started_s, one.looked_up_s,
                    one.parsed_s, encoded_s, packed_s, kept_s, ended_s,
                )
                # fmt: on
        if records_each:
            count = len(waiting)
            turn = (self._label, form, ordinal - count, count, batch_rows, cache)
            recorder.extend_turn(pack_turn(*turn, began_s, built_s, ran_s), records)

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


def _no_model() -> object:
    return MISS


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
    if version is None and name in engine.led.running:
        return None
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
