"""Short forms of the make targets budget, swaps, storms and scrape, by the same functions."""

from __future__ import annotations

from pathlib import Path

from bench import hot_swap, memory_budget, scrape, storms


def test_many_models_share_a_small_budget_without_a_wrong_answer(tmp_path: Path) -> None:
    outcome = memory_budget.run(
        tmp_path, models=10, budget_bytes=16 * memory_budget.MIB, callers=8, seconds=4, side=900
    )
    assert outcome.problems() == []
    assert len(outcome.warm_ms) + len(outcome.cold_ms) > 100


def test_swaps_under_load_fail_no_request_and_name_what_is_broken(tmp_path: Path) -> None:
    outcome = hot_swap.run(tmp_path, swaps=6, callers=4)
    assert outcome.problems() == []
    assert outcome.broken == 1
    assert {"1", "2", "4", "6", "7"} <= outcome.answers.keys()


def test_storms_lose_nothing_and_answer_nothing_wrong(tmp_path: Path, bundled_models: Path) -> None:
    found = storms.run(tmp_path, bundled_models, seconds=2)
    assert storms.problems(found) == []
    seen = {name: set(outcome.statuses) for name, outcome in found}
    assert seen["full"] == {200, 429}
    assert 504 in seen["deadlines"]


def test_prometheus_agrees_with_the_console_within_a_bucket(bundled_models: Path) -> None:
    compared = scrape.compare(bundled_models, seconds=12)
    assert compared.unanswered == []
    assert compared.counted[0] == compared.counted[1] > 0
    assert compared.agrees
