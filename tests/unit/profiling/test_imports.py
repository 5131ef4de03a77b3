"""Profiles of other tools: what they mean, their bounds, and that garbage is only refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.profiling.calltree import ANY, SAMPLES, CallTree, Frame
from engine.profiling.growing import (
    MOST_DEPTH,
    MOST_FRAMES,
    MOST_NODES,
    MOST_STEPS,
    frame_of,
    parse_label,
)
from engine.profiling.imports import parse_folded, parse_profile, parse_speedscope
from tests.unit.profiling.test_tree import paths_of


def samples(tree: CallTree) -> dict[tuple[str, ...], int]:
    return {stack: value[SAMPLES] for (_, stack), value in paths_of(tree).items()}


def a_file(profile: dict[str, Any], frames: int = 3) -> dict[str, Any]:
    shared = {"frames": [{"name": name} for name in "abcdefgh"[:frames]]}
    return {"shared": shared, "profiles": [{"name": "p", "unit": "none", **profile}]}


def sampled(stacks: list[Any], weights: list[Any], **more: Any) -> bytes:
    profile = {"type": "sampled", "samples": stacks, "weights": weights, **more}
    return json.dumps(a_file(profile)).encode()


def evented(*events: tuple[str, int, float], **more: Any) -> bytes:
    listed = [{"type": kind, "frame": frame, "at": at} for kind, frame, at in events]
    return json.dumps(a_file({"type": "evented", "events": listed, **more})).encode()


def test_folded_stacks_are_read() -> None:
    tree = parse_folded("a;b 3\na;b;c (x/y.py:7) 4\r\n\n a;b\t5\nb c 1.6\n")
    assert samples(tree) == {
        ("a", "b"): 8,
        ("a", "b", "c (x/y.py:7)"): 4,
        ("b c",): 2,
    }
    assert tree.contexts == (ANY,)
    assert (tree.self == tree.self[:, :1]).all()


def test_sampled_profiles_are_put_together() -> None:
    file = json.loads(sampled([[0], [0, 1], [0, 1], []], [1, 2, 3, 4]))
    file["profiles"] *= 2
    assert samples(parse_speedscope(json.dumps(file).encode())) == {("a",): 2, ("a", "b"): 10}


def test_evented_profiles_give_each_frame_its_own_time() -> None:
    tree = parse_speedscope(
        evented(
            *(("O", 0, 1.5), ("O", 1, 2.0), ("C", 1, 4.25), ("O", 2, 5), ("C", 2, 6)),
            *(("C", 0, 6), ("O", 1, 10), ("C", 1, 11)),
            unit="microseconds",
        )
    )
    assert samples(tree) == {("a",): 1250, ("a", "b"): 2250, ("a", "c"): 1000, ("b",): 1000}


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("none", 1), ("bytes", 1), ("microseconds", 1e3), ("milliseconds", 1e6), ("seconds", 1e9)],
)
def test_times_become_nanoseconds(unit: str, scale: float) -> None:
    assert samples(parse_speedscope(sampled([[0]], [4], unit=unit))) == {("a",): 4 * scale}


@pytest.mark.parametrize(
    ("label", "frame"),
    [
        ("f", Frame("f", "", "", 0)),
        ("f (a/b.py:12)", Frame("f", "a.b", "a/b.py", 12)),
        ("C.<lambda> (a/__init__.py:1)", Frame("C.<lambda>", "a", "a/__init__.py", 1)),
        ("dot (a/b.py)", Frame("dot", "a.b", "a/b.py", 0, is_native=True)),
        ("run (<string>:1)", Frame("run", "string", "<string>", 1)),
        ("f (/home (1)/x.py:3)", Frame("f", "home (1).x", "home (1)/x.py", 3)),
        ("g (int)", Frame("g (int)", "", "", 0)),
        ("operator() (x.cc:2)", Frame("operator()", "x.cc", "x.cc", 2)),
        ("f (a.py:0)", Frame("f", "a.py:0", "a.py:0", 0, is_native=True)),
        ("()", Frame("()", "", "", 0)),
        (" ", Frame("(unnamed)", "", "", 0)),
    ],
)
def test_labels_mean_frames(label: str, frame: Frame) -> None:
    assert parse_label(label) == frame


@pytest.mark.parametrize(
    ("file", "short", "module"),
    [
        ("engine/runs.py", "engine/runs.py", "engine.runs"),
        ("/x/lib/python3.11/site-packages/sklearn/base.py", "sklearn/base.py", "sklearn.base"),
        ("/usr/lib/python3.11/json/__init__.py", "json/__init__.py", "json"),
        ("/srv/app/web/views.py", "web/views.py", "web.views"),
        ("/views.py", "/views.py", "views"),
        ("C:\\app\\web\\views.py", "web/views.py", "web.views"),
        (
            "<frozen importlib._bootstrap>",
            "<frozen importlib._bootstrap>",
            "frozen importlib._bootstrap",
        ),
        ("", "", ""),
    ],
)
def test_files_are_as_short_as_the_samplers(file: str, short: str, module: str) -> None:
    assert frame_of("f", file, 3) == Frame("f", module, short, 3)


labels = st.text(min_size=1, max_size=60)
labels |= st.from_regex(r"[a-z ()]+ \([a-z.][a-z./<()]+(:[0-9]+)?\)", fullmatch=True)


@given(labels.filter(lambda label: "(/" not in label))
def test_a_label_is_kept_as_it_was_written(label: str) -> None:
    assert parse_label(label).label == (label.strip() or "(unnamed)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\na;b -3\n", r"line 2: the value \"-3\" is not a number from 0 to 2\*\*62"),
        ("a nan", 'line 1: the value "nan" is not'),
        ("a 1e9", 'line 1: the value "1e9" is not'),
        ("a inf", 'line 1: the value "inf" is not'),
        ("a ٣", "line 1: the value"),
        (f"a {2**62 + 1}", r"line 1: the value 4611686018427387905 is more than 2\*\*62"),
        ("a " + "9" * 5000, "line 1: the value .9{40}….{1} is not"),
        (f"a {2**62}\nb 1", r"line 2: the values up to here add up to more than 2\*\*62"),
        ("alone", 'line 1: "alone" is no stack with a value behind it'),
        (f"{'x' * 501} 1", "line 1: a name of 501 characters; the most is 500"),
        (";".join("a" * 513) + " 1", "line 1: a stack of 513 frames; the most is 512"),
        ("", "the profile has no samples"),
        ("a 0\n", "the profile has no samples"),
    ],
)
def test_folded_stacks_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_folded(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sampled([[0]], [-1]), r"profiles\[0\].samples\[0\]: the value -1 is negative"),
        (sampled([[0]], [2**63]), r"samples\[0\]: the value 9223372036854775808 is more"),
        (sampled([[0]], [1e300], unit="seconds"), "is more than"),
        (sampled([[0]], ["1"]), "the value is not a finite number"),
        (sampled([[0]], [True]), "the value is not a finite number"),
        (sampled([[3]], [1]), r"samples\[0\]: frame: 3 is not from 0 to 2"),
        (sampled([[-1]], [1]), r"samples\[0\]: frame: -1 is not"),
        (sampled([[0.5]], [1]), "frame: a whole number is expected"),
        (sampled([0], [1]), r"samples\[0\]: a sample is an array of frame numbers"),
        (sampled([[0], [1]], [1]), r"profiles\[0\].weights: 1 for 2 samples"),
        (sampled([[0] * 513], [1]), "a stack of 513 frames; the most is 512"),
        (sampled([[0]], [1], unit="hours"), r'profiles\[0\].unit: "hours" is none of none, bytes'),
        (sampled([[0]], [1], type="x"), r'type: "x" is neither sampled nor evented'),
        (evented(("O", 0, 2), ("C", 0, 1)), r"events\[1\]: at: 1 is before the event"),
        (evented(("O", 0, 2)), r"events: 1 frames are never closed"),
        (evented(("C", 0, 2)), "closes a frame that is not the innermost open one"),
        (evented(("X", 0, 2)), r'type: "X" is neither O nor C'),
        (evented(*[("O", 0, 1)] * 513), r"events\[512\]: more than 512 frames are open"),
        (b'{"shared": {"frames": []}}', "profiles: an array is expected"),
        (b'{"shared": []}', "shared: an object is expected"),
        (b'{"a": NaN}', "this is no JSON"),
        (b'{"a": ' + b"[" * 5000, "this is no JSON"),
        (b'{"a": "' + b"[" * 1_000_000 + b'"}', "more than 1,000,000 arrays and objects"),
        (b'{"a": "' + b":" * 4_000_000 + b'"}', "more than 4,000,000 fields"),
        (b'{"a": [' + b"1," * 12_000_001 + b"1]}", "more than 12,000,000 values"),
        (b"\n" * 2_000_001, "more than 2,000,000 lines"),
        (b"\xff\xfe a 1", "byte 0 is not UTF-8"),
    ],
)
def test_files_that_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_profile(content)


def test_weights_that_are_no_numbers_are_refused_however_written() -> None:
    for weight in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400):
        with pytest.raises(InvalidInput):
            parse_speedscope(sampled([[0]], ["?"]).replace(b'"?"', weight))


def test_distinct_stacks_and_frames_are_bounded() -> None:
    stacks = (f"f{at % 500};g{at // 500}" for at in range(MOST_NODES))
    with pytest.raises(InvalidInput, match=r"line \d+: more than 200,000 distinct stacks"):
        parse_folded("".join(f"{stack} 1\n" for stack in stacks))
    with pytest.raises(InvalidInput, match="line 50001: more than 50,000 distinct frames"):
        parse_folded("".join(f"f{at} 1\n" for at in range(MOST_FRAMES + 1)))


def test_the_walk_down_all_stacks_is_bounded() -> None:
    line = ";".join("a" * MOST_DEPTH) + " 1\n"
    with pytest.raises(InvalidInput, match="more than 10,000,000 frames in all stacks together"):
        parse_folded(line * (MOST_STEPS // MOST_DEPTH + 2))


VALID = (
    b"a;b (x.py:1) 12\nc 3\n",
    sampled([[0], [0, 1]], [1, 2.5], unit="seconds"),
    evented(("O", 0, 1), ("O", 1, 2), ("C", 1, 3), ("C", 0, 4)),
)


@given(st.binary(max_size=80))
@example(b"{")
@example(b'{"shared"')
@example(b"\xef\xbb\xbf{}")
def test_random_bytes_are_read_or_refused(content: bytes) -> None:
    read_or_refused(content)


@given(st.sampled_from(VALID), st.data())
def test_damaged_files_are_read_or_refused(content: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 12)))
        content = content[:start] + data.draw(st.binary(max_size=6)) + content[end:]
    read_or_refused(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from(VALID[1:]), json_values, st.data())
def test_files_with_one_value_replaced_are_read_or_refused(
    content: bytes, value: Any, data: st.DataObject
) -> None:
    owner = file = json.loads(content)
    while True:
        key = data.draw(
            st.sampled_from(sorted(owner) if isinstance(owner, dict) else range(len(owner)))
        )
        if not isinstance(owner[key], dict | list) or not owner[key] or data.draw(st.booleans()):
            owner[key] = value
            break
        owner = owner[key]
    read_or_refused(json.dumps(file).encode())


def read_or_refused(content: bytes) -> None:
    try:
        tree = parse_profile(content)
    except InvalidInput:
        return
    paths_of(tree)
    assert tree.sampled[SAMPLES] > 0
