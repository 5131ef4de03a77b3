"""The report's words for figures, machines and actions, each with a known answer."""

from __future__ import annotations

from typing import Any

import pytest

from components.report_words import NONE, action_words, amount, hourly, machine_words, number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, NONE),
        (float("nan"), NONE),
        (0.0, "0"),
        (1240.4, "1,240"),
        (-1240.4, "-1,240"),
        (3.14159, "3.14"),
        (0.0123456, "0.0123"),
        (0.00001234, "0.000012"),
    ],
)
def test_numbers_have_three_figures_and_no_exponent(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    assert amount({"value": None, "unit": "ms"}) == NONE
    assert amount({"value": 412.0, "unit": "ms"}) == "412 ms"


@pytest.mark.parametrize(
    ("ms", "words"),
    [(250, "250 ms in an hour"), (90_000, "90 s in an hour"), (7.2e6, "2 h in an hour")],
)
def test_time_saved_is_told_in_the_unit_that_fits(ms: float, words: str) -> None:
    assert hourly(ms) == words


def test_a_machine_is_told_as_far_as_it_is_known() -> None:
    whole = {"cpus": 2, "cpu": "EPYC", "memory_bytes": 24e9, "system": "Linux", "python": "3.11"}
    assert machine_words(whole) == "2 cores, EPYC, 24.0 GB, Linux, Python 3.11"
    assert machine_words({"cpus": 2}) == "2 cores"
    assert machine_words(None) == NONE


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (None, ""),
        ({"method": "POST", "path": "/x"}, "POST /x"),
        (
            {"setting": "gzip", "flag": "--gzip off", "variable": "PYROMETER_GZIP", "value": "0"},
            "set --gzip off (PYROMETER_GZIP=0) and restart",
        ),
    ],
)
def test_what_applies_a_recommendation(action: dict[str, Any] | None, words: str) -> None:
    assert action_words(action) == words
