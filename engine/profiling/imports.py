"""Call trees from files that others wrote: folded stacks and speedscope's JSON.

    content ── '{"' first? ──yes─> speedscope: sampled and evented profiles, put together
                           └─no──> folded: "root;caller;leaf 12" a line

A file has one measure, and its values fill all three columns: compare shares, not amounts.
Times of speedscope become whole nanoseconds; other values are rounded to whole numbers.
Whatever the content, the outcome is a tree or InvalidInput with the line or field at fault and
the limit; the bounds are growing.MOST_…, and those of size below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from engine.errors import InvalidInput
from engine.profiling.calltree import CallTree
from engine.profiling.exports import UNNAMED
from engine.profiling.growing import (
    MOST_DEPTH,
    MOST_VALUE,
    Growing,
    checked,
    frame_of,
    parse_label,
)

MOST_LINES = 2_000_000
MOST_CONTAINERS = 1_000_000
MOST_FIELDS = 4_000_000
MOST_VALUES = 12_000_000
"""Bounds of the memory that reading takes: lines of text; arrays and objects of JSON, the fields
and the values in all of them."""

UNITS: Mapping[str, int] = {
    "none": 1,
    "bytes": 1,
    "nanoseconds": 1,
    "microseconds": 1_000,
    "milliseconds": 1_000_000,
    "seconds": 1_000_000_000,
}
_MOST_LINE = 2**31 - 1
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{0,30})?")
_LOOKS_LIKE_JSON = re.compile(rb"\s*\{\s*[\"}]")
_TIMED = re.compile(rb'"unit"\s*:\s*"(nano|micro|milli)?seconds"')
Kind = TypeVar("Kind", dict[str, Any], list[Any], str)


def parse_profile(content: bytes) -> CallTree:
    """The tree in a file of either format. Raises InvalidInput."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    if _LOOKS_LIKE_JSON.match(content):
        return parse_speedscope(content)
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        raise InvalidInput(
            f"byte {problem.start} is not UTF-8; folded stacks or speedscope JSON are expected"
        ) from None
    return parse_folded(text)


def measures_time(content: bytes) -> bool:
    """Whether a file that was parsed holds times; folded stacks do not say what they count."""
    return bool(_LOOKS_LIKE_JSON.match(content) and _TIMED.search(content))


def parse_folded(text: str) -> CallTree:
    """The tree of collapsed stacks: in each line a stack, a space and a value; blank ones pass."""
    if text.count("\n") > MOST_LINES:
        raise InvalidInput(f"the file has more than {MOST_LINES:,} lines")
    growing = Growing()
    numbers: dict[str, int] = {}
    for at, line in enumerate(text.split("\n"), 1):
        try:
            if line := line.rstrip():
                _read_line(growing, numbers, line)
        except InvalidInput as problem:
            raise InvalidInput(f"line {at}: {problem}") from None
    return growing.tree()


def parse_speedscope(content: bytes) -> CallTree:
    """The tree of all profiles of a speedscope file; time outside any frame is left out."""
    for signs, most, things in (
        ((b"{", b"["), MOST_CONTAINERS, "arrays and objects"),
        ((b":",), MOST_FIELDS, "fields"),
        ((b",",), MOST_VALUES, "values"),
    ):
        if sum(map(content.count, signs)) > most:
            raise InvalidInput(f"the file has more than {most:,} {things}")
    try:
        file = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise InvalidInput(f"this is no JSON: {problem.msg} at byte {problem.pos}") from None
    if not isinstance(file, dict):
        raise InvalidInput("a speedscope file is an object")
    growing = Growing()
    numbers = []
    for at, frame in enumerate(_field(_field(file, "shared", {}), "frames", [], "shared.")):
        try:
            numbers.append(_read_frame(growing, frame))
        except InvalidInput as problem:
            raise InvalidInput(f"shared.frames[{at}]: {problem}") from None
    for at, profile in enumerate(_field(file, "profiles", [])):
        _read_profile(growing, numbers, profile, f"profiles[{at}]")
    return growing.tree()


def _read_line(growing: Growing, numbers: dict[str, int], line: str) -> None:
    stack, _, value = line.replace("\t", " ").rpartition(" ")
    if not stack.strip():
        raise InvalidInput(f'"{_short(value)}" is no stack with a value behind it')
    frames = []
    labels = stack.split(";", MOST_DEPTH + 1)
    for label in labels[: MOST_DEPTH + 1]:
        number = numbers.get(label)
        if number is None:
            number = numbers[label] = growing.number(parse_label(label))
        frames.append(number)
    growing.stack(frames, _folded_value(value))


def _folded_value(word: str) -> int:
    if not _NUMBER.fullmatch(word):
        raise InvalidInput(f'the value "{_short(word)}" is not a number from 0 to 2**62')
    return _bounded(float(word) if "." in word else int(word), 1)


def _read_frame(growing: Growing, frame: Any) -> int:
    if not isinstance(frame, dict):
        raise InvalidInput("a frame is an object")
    name = checked(_field(frame, "name", "")) or UNNAMED
    if frame.get("file") is None:
        return growing.number(parse_label(name))
    line = _whole(frame["line"], _MOST_LINE, "line") if frame.get("line") is not None else 0
    return growing.number(frame_of(name, checked(_field(frame, "file", "")), line))


def _read_profile(growing: Growing, numbers: list[int], profile: Any, place: str) -> None:
    if not isinstance(profile, dict):
        raise InvalidInput(f"{place}: a profile is an object")
    within = f"{place}."
    unit = _field(profile, "unit", "", within)
    if unit not in UNITS:
        raise InvalidInput(f'{within}unit: "{_short(unit)}" is none of {", ".join(UNITS)}')
    match _field(profile, "type", "", within):
        case "sampled":
            _read_sampled(growing, numbers, profile, UNITS[unit], within)
        case "evented":
            _read_evented(growing, numbers, profile, UNITS[unit], within)
        case other:
            raise InvalidInput(f'{within}type: "{_short(other)}" is neither sampled nor evented')


def _read_sampled(
    growing: Growing, numbers: list[int], profile: dict[str, Any], scale: int, within: str
) -> None:
    samples = _field(profile, "samples", [], within)
    weights = _field(profile, "weights", [], within)
    if len(samples) != len(weights):
        raise InvalidInput(f"{within}weights: {len(weights)} for {len(samples)} samples")
    for at, (stack, weight) in enumerate(zip(samples, weights, strict=True)):
        try:
            if not isinstance(stack, list):
                raise InvalidInput("a sample is an array of frame numbers")
            frames = [numbers[_whole(frame, len(numbers) - 1, "frame")] for frame in stack]
            growing.stack(frames, _bounded(weight, scale))
        except InvalidInput as problem:
            raise InvalidInput(f"{within}samples[{at}]: {problem}") from None


def _read_evented(
    growing: Growing, numbers: list[int], profile: dict[str, Any], scale: int, within: str
) -> None:
    open_frames: list[int] = []
    nodes = [-1]
    since = 0
    for at, event in enumerate(_field(profile, "events", [], within)):
        try:
            kind, frame, now = _read_event(event, numbers, scale)
            if now < since:
                raise InvalidInput(f"at: {event['at']} is before the event that precedes it")
            if open_frames:
                growing.add(nodes[-1], now - since)
            since = now
            if kind == "O":
                if len(open_frames) >= MOST_DEPTH:
                    raise InvalidInput(f"more than {MOST_DEPTH} frames are open")
                open_frames.append(frame)
                nodes.append(growing.below(nodes[-1], frame))
            elif open_frames and open_frames[-1] == frame:
                open_frames.pop()
                nodes.pop()
            else:
                raise InvalidInput("closes a frame that is not the innermost open one")
        except InvalidInput as problem:
            raise InvalidInput(f"{within}events[{at}]: {problem}") from None
    if open_frames:
        raise InvalidInput(f"{within}events: {len(open_frames)} frames are never closed")


def _read_event(event: Any, numbers: list[int], scale: int) -> tuple[str, int, int]:
    if not isinstance(event, dict):
        raise InvalidInput("an event is an object")
    kind = _field(event, "type", "")
    if kind not in ("O", "C"):
        raise InvalidInput(f'type: "{_short(kind)}" is neither O nor C')
    frame = numbers[_whole(event.get("frame"), len(numbers) - 1, "frame")]
    return kind, frame, _bounded(event.get("at"), scale)


def _field(owner: dict[str, Any], name: str, like: Kind, within: str = "") -> Kind:
    """owner[name], which must be of the type of `like`."""
    value = owner.get(name)
    if not isinstance(value, type(like)):
        words = {dict: "an object", list: "an array", str: "a string"}[type(like)]
        raise InvalidInput(f"{within}{name}: {words} is expected")
    return value


def _whole(value: Any, most: int, name: str) -> int:
    """A whole number from 0 to most."""
    if type(value) is not int and not (type(value) is float and value.is_integer()):
        raise InvalidInput(f"{name}: a whole number is expected")
    if not 0 <= value <= most:
        raise InvalidInput(f"{name}: {value} is not from 0 to {most}")
    return int(value)


def _bounded(value: Any, scale: int) -> int:
    """value x scale, rounded, from 0 to MOST_VALUE."""
    if type(value) is not int and not (type(value) is float and math.isfinite(value)):
        raise InvalidInput("the value is not a finite number")
    if value < 0:
        raise InvalidInput(f"the value {value} is negative")
    scaled = value * scale
    if scaled > MOST_VALUE:
        raise InvalidInput(f"the value {value} is more than 2**62")
    return round(scaled)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
