"""What schemathesis loads: it counts each answer's status, and leaves out what a browser draws.

Loaded by SCHEMATHESIS_HOOKS; the counts are written at the end to the file that COUNTS_FILE names.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

DRAWN = ("png", "pdf")
"""Formats of a report for which a browser is started."""
_answers: Counter[str] = Counter()
_lock = threading.Lock()


@schemathesis.hook
def filter_case(ctx: Any, case: Any) -> bool:
    return not isinstance(case.query, dict) or case.query.get("format") not in DRAWN


@schemathesis.hook
def after_call(ctx: Any, case: Any, response: Any) -> None:
    with _lock:
        _answers[str(response.status_code)] += 1


@atexit.register
def _write() -> None:
    Path(os.environ["COUNTS_FILE"]).write_text(json.dumps(_answers))
