"""One thread at a time parses Python, where the interpreter needs that.

CPython before 3.11.8 keeps one count of nested nodes for all threads that turn source into a
syntax tree (gh-106905). A collection in the midst of it lets another thread in; the first then
finds the count changed and fails with SystemError. Reading a stored array parses its header, so
two models that loaded side by side failed each other.
"""

from __future__ import annotations

import ast
import functools
import sys
import threading
from typing import Any

MENDED_IN = (3, 11, 8)

_lock = threading.RLock()


def parse_in_turn() -> None:
    """Put `ast.parse`, which `ast.literal_eval` uses too, behind a lock. Done once a process."""
    if sys.version_info >= MENDED_IN:
        return
    with _lock:
        if hasattr(ast.parse, "in_turn"):
            return
        parse = ast.parse

        @functools.wraps(parse)
        def in_turn(*given: Any, **named: Any) -> Any:
            with _lock:
                return parse(*given, **named)

        in_turn.in_turn = True  # type: ignore[attr-defined]
        ast.parse = in_turn
