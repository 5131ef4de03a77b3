"""What these tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.unit.fleet.listener import Listener, Script


@pytest.fixture
def listen() -> Iterator[Callable[[Script], Listener]]:
    made: list[Listener] = []

    def start(script: Script) -> Listener:
        made.append(Listener(script))
        return made[-1]

    yield start
    for one in made:
        one.close()
