"""Choosing among forms: ranges of batch sizes, their bounds and their words."""

from __future__ import annotations

from engine.models import plan as module
from engine.models.parity import Parity
from engine.models.plan import (
    BATCH_ROWS,
    MAX_RANGES,
    NO_LIMIT,
    Candidate,
    Plan,
    choose,
    choose_ranges,
    plan_from_dict,
)
from engine.models.signature import Signature
from engine.types import TensorSpec


def candidate(form: str, *run_us: float, verdict: str = "agrees") -> Candidate:
    times = dict(zip(BATCH_ROWS, run_us, strict=False))
    return Candidate(form, verdict, "", Parity(10, 0, 0.0), times)


ORACLE = candidate("scikit-learn", 400, 410, 420, 430)


def test_one_form_that_is_fastest_everywhere_is_one_range() -> None:
    forms = (ORACLE, candidate("onnxruntime-f32", 10, 20, 50, 100))
    assert choose_ranges(forms) == ((NO_LIMIT, "onnxruntime-f32"),)


def test_another_form_takes_over_where_it_is_faster() -> None:
    forms = (ORACLE, candidate("onnxruntime-f32", 10, 80, 300, 1200))
    assert choose_ranges(forms) == ((64, "onnxruntime-f32"), (NO_LIMIT, "scikit-learn"))
    marked, ranges, reason = choose(forms)
    assert [c.verdict for c in marked] == ["chosen", "chosen"]
    assert marked[1].reason == "fastest for 1 to 64 rows"
    assert "scikit-learn over 64 rows" in reason
    assert ranges[0][1] == "onnxruntime-f32"


def test_a_small_gain_is_not_worth_another_form() -> None:
    forms = (ORACLE, candidate("onnxruntime-f32", 10, 80, 300, 500))
    assert len(choose_ranges(forms)) == 1


def test_there_are_never_more_than_three_ranges() -> None:
    forms = (candidate("a", 1, 9, 1, 9), candidate("b", 9, 1, 9, 1))
    assert len(choose_ranges(forms)) == MAX_RANGES


def test_a_form_that_is_out_is_never_chosen() -> None:
    forms = (ORACLE, candidate("onnxruntime-f32", 1, 1, 1, 1, verdict="out"))
    marked, ranges, reason = choose(forms)
    assert ranges == ((NO_LIMIT, "scikit-learn"),)
    assert marked[1].verdict == "out"
    assert "no other form gives the same answers" in reason


def test_a_plan_survives_its_storage() -> None:
    marked, ranges, reason = choose((ORACLE, candidate("onnxruntime-f32", 10, 80, 300, 1200)))
    spec = TensorSpec("input", "FP64", (-1, 3))
    signature = Signature((spec,), (TensorSpec("predict", "INT64", (-1,)),))
    plan = Plan("m", "1", signature, marked, ranges, reason, 1e-5, {"x": [[1.0]]}, 2.0)
    assert plan_from_dict(plan.as_dict()) == plan
    assert plan.speedup == 40


def test_figures_are_said_as_people_write_them() -> None:
    slow, fast = candidate("scikit-learn", 58_000.0), candidate("onnxruntime-f32", 10.0)
    reason = module._reason((slow, fast), ((1, "onnxruntime-f32"),))
    said = "takes 10 µs at 1 row, scikit-learn 58 ms: 5,800x faster"
    assert said in reason
