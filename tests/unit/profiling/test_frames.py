"""Names of functions and of the native calls within them."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.profiling import frames
from engine.profiling.calltree import OTHER
from engine.profiling.frames import UNSURE, FrameTable, native_name, place_of


def plain(lock: Any) -> None:
    lock.acquire()


def through_an_attribute(model: Any) -> None:
    model.session.run(1, rows=[2])


def unpacked(function: Any, rows: Any) -> None:
    function(*rows)


def over_several_lines(query: Any) -> None:
    (
        query
        .first(1)
        .second(2)
    )  # fmt: skip


def of_a_call(function: Any) -> None:
    function(1)(2)


def of_an_item(table: Any) -> None:
    table["a"](1)


def last_call(function: Callable[..., object]) -> str | None:
    calls = [i for i in dis.get_instructions(function) if i.opname in frames.CALLS]
    return native_name(function.__code__, calls[-1].offset)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (plain, "lock.acquire"),
        (through_an_attribute, "session.run"),
        (unpacked, "function"),
        (over_several_lines, "second"),
        (of_a_call, UNSURE),
        (of_an_item, UNSURE),
    ],
)
def test_a_native_call_is_named_as_it_is_written(
    function: Callable[..., object], name: str
) -> None:
    assert last_call(function) == name


def test_an_operator_that_gives_up_the_interpreter_is_native_code_without_a_name() -> None:
    code = compile("a @ b", "<test>", "eval")
    (operator,) = (i for i in dis.get_instructions(code) if i.opname == "BINARY_OP")
    assert native_name(code, operator.offset) == UNSURE


def test_a_function_at_its_start_or_in_a_loop_is_in_python() -> None:
    def loop() -> None:
        while plain:
            pass

    opnames = {i.opname: i.offset for i in dis.get_instructions(loop)}
    for name in frames.IN_PYTHON & opnames.keys():
        assert native_name(loop.__code__, opnames[name]) is None
    assert "RESUME" in opnames


def test_code_without_positions_is_unsure() -> None:
    code = plain.__code__.replace(co_linetable=b"")
    offset = next(i.offset for i in dis.get_instructions(code) if i.opname in frames.CALLS)
    assert native_name(code, offset) == UNSURE


def test_files_are_told_below_their_import_root() -> None:
    root = next(path for path in sys.path if path.endswith("site-packages"))
    assert place_of(f"{root}/numpy/core/numeric.py") == (
        "numpy/core/numeric.py",
        "numpy.core.numeric",
    )
    assert place_of(f"{root}/flask/__init__.py")[1] == "flask"
    assert place_of("/nowhere/in/particular/model.py") == (
        "particular/model.py",
        "particular.model",
    )
    assert place_of("<frozen importlib._bootstrap>")[1] == "frozen importlib._bootstrap"
    assert not any(place_of(str(Path(__file__)))[0].startswith("/") for _ in range(1))


def test_code_made_again_and_again_keeps_the_table_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAMES", 50)
    table = FrameTable()
    made = [compile("x", "<made>", "exec").replace(co_qualname=f"f{n}") for n in range(200)]
    numbers = [table.of_code(code) for code in made]
    assert len(table.frames) == 50
    assert table.frames[numbers[0]].name == "f0"
    assert table.frames[numbers[-1]] == OTHER
    assert len(table._codes) <= 50


def test_equal_functions_have_one_number() -> None:
    table = FrameTable()
    assert table.of_code(plain.__code__) == table.of_code(plain.__code__.replace())
