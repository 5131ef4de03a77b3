"""Every fault of bench/faults in its short form: no wrong answer, and only what it says fails."""

from __future__ import annotations

import pytest

from bench.faults.catalogue import FAULTS
from bench.faults.fault import Fault
from bench.faults.server import Place


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
def test_what_is_promised_holds(fault: Fault, place: Place) -> None:
    row = fault.row(place, fault.short)
    assert not row.broken, row.line()
    assert row.requests > 0
    assert row.wrong == 0
