"""Call trees as pprof's profile.proto, gzip'd, for `go tool pprof` and what reads its format.

    sample_type   samples/count, wall/nanoseconds, cpu/nanoseconds
    sample        a node with samples of its own: location ids leaf first, three values,
                  and its context as labels: kind, thread, model, version, route
    location      one per function; function: name, file, first line

The message types are declared from MESSAGES when first needed; protobuf comes with ONNX
Runtime and is not imported before.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from engine.profiling.calltree import CPU_NS, MEASURES, CallTree
from engine.profiling.exports import UNNAMED, text

PACKAGE = "perftools.profiles"
TYPES = ("samples", "count"), ("wall", "nanoseconds"), ("cpu", "nanoseconds")
NS_PER_S = 1_000_000_000

# Field number, name, type: "*" is repeated, an initial capital is a message. The numbers are
# those of github.com/google/pprof/proto/profile.proto; fields that are never set are left out.
MESSAGES: Mapping[str, tuple[tuple[int, str, str], ...]] = {
    "Profile": (
        (1, "sample_type", "*ValueType"),
        (2, "sample", "*Sample"),
        (4, "location", "*Location"),
        (5, "function", "*Function"),
        (6, "string_table", "*string"),
        (9, "time_nanos", "int64"),
        (10, "duration_nanos", "int64"),
        (11, "period_type", "ValueType"),
        (12, "period", "int64"),
        (14, "default_sample_type", "int64"),
    ),
    "ValueType": ((1, "type", "int64"), (2, "unit", "int64")),
    "Sample": (
        (1, "location_id", "*uint64"),
        (2, "value", "*int64"),
        (3, "label", "*Label"),
    ),
    "Label": ((1, "key", "int64"), (2, "str", "int64")),
    "Location": ((1, "id", "uint64"), (4, "line", "*Line")),
    "Line": ((1, "function_id", "uint64"), (2, "line", "int64")),
    "Function": (
        (1, "id", "uint64"),
        (2, "name", "int64"),
        (3, "system_name", "int64"),
        (4, "filename", "int64"),
        (5, "start_line", "int64"),
    ),
}


def pprof(
    tree: CallTree,
    began_s: float = 0.0,
    duration_s: float = 0.0,
    measure: int = CPU_NS,
    hz: float = 0.0,
) -> bytes:
    """The whole tree with all three measures; tools show `measure` first.

    began_s: UTC. hz: the rate of sampling; 0 where unknown.
    """
    profile = _message("Profile")()
    strings = {"": 0}

    def number(words: str) -> int:
        return strings.setdefault(text(words), len(strings))

    for type_, unit in TYPES:
        profile.sample_type.add(type=number(type_), unit=number(unit))
    profile.default_sample_type = number(MEASURES[measure])
    profile.time_nanos = round(began_s * NS_PER_S)
    profile.duration_nanos = round(duration_s * NS_PER_S)
    if hz > 0:
        profile.period_type.type, profile.period_type.unit = number("wall"), number("nanoseconds")
        profile.period = round(NS_PER_S / hz)
    for at in np.unique(tree.frame).tolist():
        frame = tree.frames[at]
        name, line = number(frame.name or UNNAMED), frame.line
        profile.function.add(
            id=at + 1,
            name=name,
            system_name=name,
            filename=number(frame.file),
            start_line=line,
        )
        profile.location.add(id=at + 1).line.add(function_id=at + 1, line=line)
    labels = [
        [(number(key), number(word)) for key, word in context._asdict().items() if word]
        for context in tree.contexts
    ]
    _add_samples(profile, tree, labels)
    profile.string_table.extend(strings)
    return gzip.compress(profile.SerializeToString(deterministic=True), compresslevel=6, mtime=0)


def _add_samples(profile: Any, tree: CallTree, labels: list[list[tuple[int, int]]]) -> None:
    parent, frame = tree.parent.tolist(), (tree.frame.astype(np.int64) + 1).tolist()
    for node in np.flatnonzero(tree.self.any(axis=1)).tolist():
        sample = profile.sample.add(value=tree.self[node].tolist())
        for key, word in labels[tree.context[node]]:
            sample.label.add(key=key, str=word)
        while node >= 0:
            sample.location_id.append(frame[node])
            node = parent[node]


@cache
def _message(name: str) -> Any:
    """The class of one of MESSAGES."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="profile.proto", package=PACKAGE, syntax="proto3"
    )
    for message, fields in MESSAGES.items():
        declared = file.message_type.add(name=message)
        for field_number, field, kind in fields:
            repeated, kind = kind.startswith("*"), kind.removeprefix("*")
            added = declared.field.add(
                name=field,
                number=field_number,
                label=field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL,
            )
            if kind in MESSAGES:
                added.type, added.type_name = field_type.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                added.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
