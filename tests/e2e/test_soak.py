"""A tab left open for two minutes, its server killed in the middle; `make soak-tab` is longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak_tab import soak
from tests.e2e.conftest import CHROMIUM

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_tab_left_open_does_not_grow_and_recovers_by_itself(
    bundled_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak(bundled_models, minutes=2.0, away_s=10.0) == 0, capsys.readouterr().out
