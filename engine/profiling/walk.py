"""A thread's stack, read in one step that no other thread can come between.

Frame objects of running threads must not be touched once their threads may have gone on.
CPython 3.11 clears a frame before it unlinks it, and what it clears can give up the
interpreter, as a finaliser that calls C does; a frame object made of such a frame points to
memory that is used again soon. A walk written in Python can lose the interpreter at every
step. This one is a chain of the standard library's C iterators, so it is one call:

    _current_frames() -> frame -> f_back, f_back, ... until None -> (f_code, f_lasti) of each

The collector is held off meanwhile: its callbacks are Python.
"""

from __future__ import annotations

import gc
import sys
from itertools import accumulate, chain, islice
from operator import attrgetter
from types import CodeType
from typing import Any

MAX_DEPTH = 256
_STEPS = ("f_back",) * MAX_DEPTH
_NEXT: Any = attrgetter("__next__")
_PLACE: Any = attrgetter("f_code", "f_lasti")


def walk(ident: int) -> list[tuple[CodeType, int]]:
    """(code, bytecode offset) of a thread's frames, the innermost first.

    At most MAX_DEPTH + 1 of them; empty for a thread that has ended.
    """
    frame: Any = map(dict.get, islice(iter(sys._current_frames, None), 1), (ident,))
    steps: Any = map(chain, zip(frame, strict=False), (_STEPS,))
    frames: Any = map(iter, map(_NEXT, map(accumulate, steps, (getattr,))), (None,))
    places: Any = map(list, map(map, (_PLACE,), frames))
    collects = gc.isenabled()
    gc.disable()
    try:
        (found,) = places
    finally:
        if collects:
            gc.enable()
    return found  # type: ignore[no-any-return]
