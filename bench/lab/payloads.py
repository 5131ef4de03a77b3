"""What a run sends: requests from samples, a file, or recorded traffic.

.json            one V2 body, or a list of them
.jsonl           one V2 body a line
.npz             arrays by input name, a row each
.csv             a row a line; the first line may name the columns
traffic          what `pyrometer bench record` wrote (bench/lab/traffic.py)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from bench.lab import rows as lab_rows
from bench.lab import traffic
from bench.lab.connection import Shot
from bench.lab.rows import Column
from bench.lab.spec import LabSpec
from bench.lab.target import Target
from engine.errors import InvalidInput, PyrometerError

MOST_FILE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Payload:
    """shots: sent in turn, again and again. times_s: when, for a replay. source: in words."""

    shots: Sequence[Shot]
    source: str
    times_s: Sequence[float] | None = None

    def in_turn(self) -> Iterator[Shot]:
        return cycle(self.shots)


def build(spec: LabSpec, target: Target) -> Payload:
    """The payload of a run; asks the target for samples and metadata where it needs them.

    Raises InvalidInput naming the field or the file's line; PyrometerError where the target
    does not answer or does not know the model.
    """
    if spec.payload.source == "traffic":
        return _replayed(spec, target)
    path = f"{target.model_path(spec.model, spec.version)}/infer"
    if spec.payload.source == "file":
        source = Path(spec.payload.path or "").name
        bodies = _file_bodies(spec, target)
    else:
        columns, source = sample_columns(spec, target)
        bodies = [
            lab_rows.body_of(columns, row)
            for row in range(min(lab_rows.held(columns), spec.payload.rows))
        ]
    cache = spec.payload.cache
    shots = [Shot(target.request_bytes(path, body, cache=cache)) for body in bodies]
    return Payload(shots, source)


def sample_columns(spec: LabSpec, target: Target) -> tuple[list[Column], str]:
    """spec.payload.rows rows of a model and where they are from, in words."""
    inputs = declared_inputs(spec, target)
    model = quote(spec.model, safe="")
    version = f"?version={quote(spec.version, safe='')}" if spec.version else ""
    answer = target.ask(f"/performance/models/{model}/samples{version}")
    count, seed = spec.payload.rows, spec.seed
    if isinstance(answer, dict) and answer.get("rows") and answer.get("inputs"):
        fixed = any(item["shape"] and int(item["shape"][0]) > 0 for item in inputs)
        columns = lab_rows.from_tensors(answer["inputs"], fixed)
        have = lab_rows.held(columns)
        more = f", and {count - have} made from them" if count > have else ""
        return lab_rows.widened(columns, count, seed), f"{have} sample rows{more}"
    if not inputs:
        raise PyrometerError(
            f"{target.url} knows no model {spec.model!r}, or does not say what it takes; "
            "give payload.source file and payload.path"
        )
    return lab_rows.at_random(inputs, count, seed), f"{count} random rows of the declared shapes"


def declared_inputs(spec: LabSpec, target: Target) -> list[dict[str, Any]]:
    """The inputs of the model's V2 metadata; empty where the server does not say."""
    answer = target.ask(target.model_path(spec.model, spec.version))
    inputs = answer.get("inputs") if isinstance(answer, dict) else None
    return [dict(item) for item in inputs] if isinstance(inputs, list) else []


def _replayed(spec: LabSpec, target: Target) -> Payload:
    path = Path(spec.payload.path or "")
    entries = traffic.read(path, model=spec.model or None)
    if not entries:
        what = f" to {spec.model}" if spec.model else ""
        raise InvalidInput(f"payload.path: {path.name} holds no requests{what}")
    if spec.payload.speed is None:
        entries = entries[: spec.payload.rows]
    shots = [
        Shot(
            target.request_bytes(
                entry.path, entry.body, cache=spec.payload.cache, header_bytes=entry.header_bytes
            )
        )
        for entry in entries
    ]
    times_s = [entry.time_s for entry in entries] if spec.payload.speed is not None else None
    return Payload(shots, f"{len(entries)} requests of {path.name}", times_s)


def _file_bodies(spec: LabSpec, target: Target) -> list[bytes]:
    """Up to spec.payload.rows bodies of the file."""
    path = Path(spec.payload.path or "")
    if path.stat().st_size > MOST_FILE_BYTES:
        raise InvalidInput(
            f"payload.path: {path.name} has {path.stat().st_size} bytes; "
            f"at most {MOST_FILE_BYTES} are read"
        )
    reader = {".json": _json, ".jsonl": _json_lines}.get(path.suffix)
    if reader is not None:
        bodies = reader(path, spec.payload.rows)
    elif path.suffix in (".npz", ".csv"):
        inputs = declared_inputs(spec, target)
        columns = (_npz if path.suffix == ".npz" else _csv)(path, inputs)
        held = lab_rows.held(columns)
        bodies = [lab_rows.body_of(columns, row) for row in range(min(held, spec.payload.rows))]
    else:
        raise InvalidInput(
            f"payload.path is {path.name!r}; it must end in .json, .jsonl, .npz or .csv"
        )
    if not bodies:
        raise InvalidInput(f"payload.path: {path.name} holds no rows")
    return bodies


def _body(value: Any, where: str) -> bytes:
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list):
        raise InvalidInput(f"payload.path: {where} is no V2 request: it has no list of inputs")
    return json.dumps(value, separators=(",", ":")).encode()


def _json(path: Path, most: int) -> list[bytes]:
    try:
        held = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"payload.path: {path.name} is no JSON: {error}") from None
    bodies = held if isinstance(held, list) else [held]
    return [_body(one, f"body {at}") for at, one in enumerate(bodies[:most], 1)]


def _json_lines(path: Path, most: int) -> list[bytes]:
    bodies: list[bytes] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if len(bodies) >= most:
                break
            if not line.strip():
                continue
            try:
                bodies.append(_body(json.loads(line), f"line {number}"))
            except ValueError as error:
                raise InvalidInput(f"payload.path: line {number} is no JSON: {error}") from None
    return bodies


def _npz(path: Path, inputs: Sequence[Mapping[str, Any]]) -> list[Column]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError) as error:
        raise InvalidInput(f"payload.path: {path.name} cannot be read: {error}") from None
    declared = {str(item["name"]): str(item["datatype"]) for item in inputs}
    wanted = {name: array for name, array in arrays.items() if not declared or name in declared}
    missing = [name for name in declared if name not in arrays]
    if missing:
        raise InvalidInput(f"payload.path: {path.name} has no array {missing[0]!r}")
    return lab_rows.from_arrays(wanted, declared)


def _csv(path: Path, inputs: Sequence[Mapping[str, Any]]) -> list[Column]:
    """One tensor of all columns, or one a column where the model has several inputs."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    if not lines:
        return []
    named = any(_number(text) is None and text.strip() for text in lines[0]) and len(lines) > 1
    names, lines = (lines[0], lines[1:]) if named else ([], lines)
    for number, line in enumerate(lines, 2 if named else 1):
        if len(line) != len(lines[0]):
            raise InvalidInput(
                f"payload.path: line {number} has {len(line)} values, others {len(lines[0])}"
            )
    if len(inputs) <= 1:
        spec = dict(inputs[0]) if inputs else {"name": "input", "datatype": "FP64"}
        rows = [[_value(text, spec["datatype"]) for text in line] for line in lines]
        return [Column(spec["name"], spec["datatype"], (1, len(lines[0])), rows)]
    columns = []
    for spec in map(dict, inputs):
        if spec["name"] not in names:
            raise InvalidInput(f"payload.path: {path.name} has no column {spec['name']!r}")
        place = names.index(spec["name"])
        shape = (1,) * max(1, len(spec["shape"]))
        rows = [[_value(line[place], spec["datatype"])] for line in lines]
        columns.append(Column(spec["name"], spec["datatype"], shape, rows))
    return columns


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _value(text: str, datatype: str) -> Any:
    if datatype == "BYTES":
        return text
    number = _number(text) if text.strip() else float("nan")
    if number is None:
        raise InvalidInput(f"payload.path: {text[:40]!r} is no number")
    if number != number:
        return None
    if datatype == "BOOL":
        return bool(number)
    return number if datatype.startswith("FP") else int(number)
