"""Short forms of `make budget`, `make swaps` and `make storms`, through the same functions."""

from __future__ import annotations

from pathlib import Path

from bench import hot_swap, memory_budget, storms


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
