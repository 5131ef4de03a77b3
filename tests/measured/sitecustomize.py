"""`make coverage`: measures the processes that open models, too.

They see a part of the environment only, and nothing of coverage's own is in it; a name that
begins with PYTHON is. Python imports this file at the start of every process that has its folder
in PYTHONPATH.
"""

from __future__ import annotations

import os

told = os.environ.get("PYTHON_COVERAGE_CONFIG")
if told and not os.environ.keys() & {"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"}:
    os.environ["COVERAGE_PROCESS_START"] = told
    import coverage

    coverage.process_startup()
