"""Whether two answers are the same, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from engine.experiments.agreement import MOST_EXAMPLES, MOST_VALUES, Agreement, compare

PROBABILITIES = np.array([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])


def test_equal_answers_agree() -> None:
    answer = {"p": PROBABILITIES, "label": np.array(["a", "b", "c"], dtype=object)}
    compared = compare(answer, {name: array.copy() for name, array in answer.items()}, 3, 0.0)
    assert not compared.differing.any()
    assert (compared.labels, compared.labels_differing, compared.largest) == (6, 0, 0.0)


def test_a_number_may_differ_by_the_tolerance_and_no_more() -> None:
    other = PROBABILITIES + np.array([[0.001, -0.001], [0.003, 0.0], [0.0, 0.0]])
    compared = compare({"p": PROBABILITIES}, {"p": other}, 3, 0.002)
    assert compared.differing.tolist() == [False, True, False]
    assert compared.largest == pytest.approx(0.003)
    assert compared.worst == {1: "p"}


def test_the_likeliest_class_is_a_label_too() -> None:
    compared = compare({"p": PROBABILITIES}, {"p": PROBABILITIES[:, ::-1]}, 3, 1.0)
    assert (compared.labels, compared.labels_differing) == (3, 2)
    assert not compared.differing.any()


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        (np.array([1, 2]), np.array([1, 3]), [False, True]),
        (np.array(["a", "b"], dtype=object), np.array(["a", "b"]), [False, False]),
        (np.array([True, False]), np.array([True, True]), [False, True]),
        (np.array([np.nan, 1.0]), np.array([np.nan, np.nan]), [False, True]),
        (np.array([np.inf, 1.0]), np.array([np.inf, -np.inf]), [False, True]),
        (np.array([1.0, 2.0]), np.array([[1.0], [2.0]]), [True, True]),
    ],
)
def test_labels_gaps_and_shapes(one: np.ndarray, other: np.ndarray, differs: list[bool]) -> None:
    assert compare({"y": one}, {"y": other}, 2, 0.001).differing.tolist() == differs


def test_an_absent_output_differs() -> None:
    assert compare({"y": np.ones(2)}, {}, 2, 0.1).differing.all()


def test_examples_are_bounded_and_hold_both_answers() -> None:
    agreement = Agreement("candidate")
    control, candidate = {"p": np.zeros((30, 40))}, {"p": np.ones((30, 40))}
    compared = compare(control, candidate, 30, 0.1)
    for request in range(3):
        agreement.add(control, candidate, compared, bytes([request] * 16), 1.79e9)
    told = agreement.as_dict()
    assert (told["requests"], told["rows"], told["rows_differing"]) == (3, 90, 90)
    assert told["differing_percent"] == 100.0
    assert len(told["examples"]) == MOST_EXAMPLES
    newest = told["examples"][0]
    assert (newest["request"], newest["output"], newest["difference"]) == ("02" * 8, "p", 1.0)
    assert newest["control"] == [0.0] * MOST_VALUES


def test_rows_of_one_request_count_as_one_trial() -> None:
    """A request of a thousand equal rows is no proof about a thousand requests."""
    agreement = Agreement("candidate")
    control, candidate = {"y": np.zeros(1000)}, {"y": np.ones(1000)}
    agreement.add(control, candidate, compare(control, candidate, 1000, 0.1), b"", 1.79e9)
    assert agreement.counts.rows_differing == 1000
    low, high = agreement.interval()
    assert low < 0.001
    assert high == 1.0
