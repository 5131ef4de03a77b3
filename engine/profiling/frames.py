"""The table of functions that were seen, and which native call a frame was in.

    code object -> number in `frames`            by identity; the code is kept alive for it
    (code, bytecode position) -> number or None  the native call that position makes

CPython hands over the interpreter at a call into C, at the start of a function and at a jump
back. A leaf that stands at one of the last two was in Python; one that stands at a call was in
the callee, whose name the bytecode around tells. Anywhere else it was in C code that has no
name there.
"""

from __future__ import annotations

import dis
import sys
from types import CodeType

from engine.profiling.calltree import OTHER, Frame

MAX_FRAMES = 20_000
MAX_SITES = 20_000
CALLS = frozenset({"PRECALL", "CALL", "CALL_KW", "CALL_FUNCTION_EX"})
IN_PYTHON = frozenset({"RESUME", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_FORWARD"})
NAMES = frozenset({"LOAD_METHOD", "LOAD_ATTR", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST"})
NAMES |= {"LOAD_DEREF", "LOAD_SUPER_ATTR", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"}
NO_VALUE = frozenset({"KW_NAMES", "PUSH_NULL", "CACHE"})
UNSURE = "in native code"
_DEPTH_OF_PATHS = 2


class FrameTable:
    """Numbers of functions. frames: append-only, at most MAX_FRAMES; later ones are OTHER."""

    def __init__(self) -> None:
        self.frames: list[Frame] = [OTHER]
        self._numbers: dict[Frame, int] = {OTHER: 0}
        self._codes: dict[int, tuple[CodeType, int]] = {}
        self._sites: dict[tuple[int, int], int | None] = {}
        self._files: dict[str, tuple[str, str]] = {}

    def number(self, frame: Frame) -> int:
        """A frame's number, a new one where there is room."""
        known = self._numbers.get(frame)
        if known is not None:
            return known
        if len(self.frames) >= MAX_FRAMES:
            return 0
        self._numbers[frame] = len(self.frames)
        self.frames.append(frame)
        return len(self.frames) - 1

    def of_code(self, code: CodeType) -> int:
        """The number of the function that a code object is."""
        known = self._codes.get(id(code))
        if known is not None:
            return known[1]
        if len(self._codes) >= MAX_FRAMES:
            self._forget_codes()
        file, module = self._place(code.co_filename)
        name = printable(code.co_qualname[:200])
        number = self.number(Frame(name, module, file, code.co_firstlineno))
        self._codes[id(code)] = (code, number)
        return number

    def native(self, code: CodeType, lasti: int) -> int | None:
        """The number of the native call that is under way there; None when it is in Python."""
        site = (id(code), lasti)
        if site in self._sites:
            return self._sites[site]
        self.of_code(code)  # keeps it alive, and so its id
        if len(self._sites) >= MAX_SITES:
            self._sites.clear()
        name = native_name(code, lasti)
        file, module = self._place(code.co_filename)
        found = None if name is None else self.number(Frame(name, module, file, 0, is_native=True))
        self._sites[site] = found
        return found

    def _forget_codes(self) -> None:
        """Code made anew again and again must not be kept for ever; numbers stay."""
        self._codes.clear()
        self._sites.clear()

    def _place(self, path: str) -> tuple[str, str]:
        known = self._files.get(path)
        if known is None:
            if len(self._files) >= MAX_FRAMES:
                self._files.clear()
            known = self._files[path] = place_of(printable(path))
        return known


def printable(text: str) -> str:
    """Text that can be sent: what came of bytes that are no UTF-8 is a question mark."""
    return text.encode("utf-8", "replace").decode()


def place_of(path: str) -> tuple[str, str]:
    """A source file's short name and dotted module; what is above its import root is left out."""
    roots = sorted((root.rstrip("/") + "/" for root in sys.path if root), key=len, reverse=True)
    root = next((root for root in roots if path.startswith(root)), None)
    if root is not None:
        file = path[len(root) :]
    elif path.startswith("<"):
        return path[:200], path.strip("<>")[:200]
    else:
        file = "/".join(path.split("/")[-_DEPTH_OF_PATHS:])
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    return file[-200:], module[-200:]


def native_name(code: CodeType, lasti: int) -> str | None:
    """What the instruction at a bytecode offset calls in C; None where it stays in Python.

    The name is the last attribute or variable that the call's own source range begins with;
    UNSURE where that is no plain name.
    """
    before: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        if instruction.offset >= lasti:
            break
        before.append(instruction)
    else:
        return None
    if instruction.opname in IN_PYTHON:
        return None
    if instruction.opname not in CALLS:
        return UNSURE
    return _callee(before, instruction)


def _callee(before: list[dis.Instruction], call: dis.Instruction) -> str:
    """The instruction that made the callable begins where the call does and ends last."""
    whole = call.positions
    if whole is None or whole.lineno is None or whole.col_offset is None:
        return UNSURE
    start, end = (whole.lineno, whole.col_offset), (whole.end_lineno, whole.end_col_offset)
    found: tuple[int, int] = (0, 0)
    maker, owner = None, None
    for made in before:
        at = made.positions
        if (
            made.opname in NO_VALUE
            or at is None
            or at.end_lineno is None
            or at.end_col_offset is None
        ):
            continue
        ends = (at.end_lineno, at.end_col_offset)
        if (at.lineno, at.col_offset) != start or ends >= end or ends < found:
            continue
        if ends > found:
            owner = maker
        found, maker = ends, made
    if maker is None or maker.opname not in NAMES or not isinstance(maker.argval, str):
        return UNSURE
    if owner is not None and owner.opname in NAMES and isinstance(owner.argval, str):
        return f"{owner.argval}.{maker.argval}"[:200]
    return maker.argval[:200]
