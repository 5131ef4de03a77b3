"""The two doors: what is asked of one is asked of the other."""

from __future__ import annotations

import pytest

from tests.conftest import RunningServer


@pytest.fixture(params=["front", "flask"])
def port(request: pytest.FixtureRequest) -> int:
    fixture = "server" if request.param == "front" else "flask_door_server"
    running: RunningServer = request.getfixturevalue(fixture)
    return running.port
