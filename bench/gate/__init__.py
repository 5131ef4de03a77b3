"""The regression gate: is this tree slower than its baseline, and how sure is that.

    plan.py        what is asked for, against what
    trees.py       two trees as folders of their own        -> server.py   a server of each
    cases.py       what is asked                            -> sender.py   one window of it
    measure.py     windows in turn: rounds of blocks of quads
    statistics.py  the interval of a ratio                  -> verdict.py  passed or not
    baseline.py    what was measured earlier, on disk       -> report.py, stored.py  what is said
    proof.py       a known slow-down, found; none, not found

docs/regression_gate.md says how to use it, docs/decisions/0010-regression-gate.md why it is so.
"""
