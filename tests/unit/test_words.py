"""Figures as people write them."""

from __future__ import annotations

import pytest

from engine.words import many, size_in_words


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(0, "0 B"), (812, "812 B"), (3277, "3.3 kB"), (14_100_000, "14.1 MB"), (2.5e9, "2.5 GB")],
)
def test_a_size_has_the_unit_that_fits(size_bytes: float, words: str) -> None:
    assert size_in_words(size_bytes) == words


def test_one_is_one() -> None:
    assert (many(1, "model"), many(0, "model"), many(1200, "item")) == (
        *("1 model", "0 models", "1,200 items"),
    )
