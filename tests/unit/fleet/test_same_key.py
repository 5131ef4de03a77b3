"""A first key that is shown to peers is told of once, at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.fleet.puller import SAME_KEY, puller_of
from engine.config import Settings
from engine.engine import Engine

FIRST, OTHER = "f" * 32, "v" * 32


@pytest.mark.parametrize(
    ("api_key", "peers_key", "told"),
    [(FIRST, FIRST, 1), (FIRST, OTHER, 0), (FIRST, "", 0), ("", "", 0), ("", OTHER, 0)],
)
def test_a_first_key_that_peers_are_shown_is_told_of_once(
    tmp_path: Path, api_key: str, peers_key: str, told: int
) -> None:
    (tmp_path / "models").mkdir()
    engine = Engine(
        Settings(
            models=tmp_path / "models",
            state=tmp_path / "state",
            history=False,
            profile_hz=0,
            api_key=api_key,
            peers="http://127.0.0.1:1",
            peers_key=peers_key,
        )
    )
    puller_of(engine)
    texts = [event["text"] for event in engine.ticker.events()]
    assert texts.count(SAME_KEY) == told
    assert not any(FIRST in text for text in texts)
