"""A server that stalls: who sees it. The long form is `make omission`."""

from __future__ import annotations

import pytest

from bench.lab.omission import SHARES, compare, expected_ms, figures, stalling

SERVICE_MS, STALL_S, EVERY_S = 2.0, 0.2, 2.0


def test_the_open_loop_agrees_with_wrk2_and_not_with_the_closed_loop() -> None:
    with stalling(SERVICE_MS, STALL_S, EVERY_S) as port:
        records = compare(port, STALL_S, EVERY_S, periods=3, rate_per_s=200)
    found = figures(records, SERVICE_MS, STALL_S, EVERY_S)
    place = SHARES.index(0.99)
    closed, corrected, opened, known = (values[place] for values in found.values())
    assert known == pytest.approx(expected_ms(0.99, 2.0, 0.2, 2.0))
    assert opened == pytest.approx(known, rel=0.1)
    assert opened == pytest.approx(corrected, rel=0.1)
    assert closed < known / 3
    assert records["open"]["valid"], records["open"]["invalid_because"]
    assert records["open"]["requests"] == 1200
