"""Who gets which variant: uniform, sticky, and the count of callers."""

from __future__ import annotations

import numpy as np
import pytest

from engine.experiments.split import Split, digest_of
from engine.experiments.units import Units

KNOWN = [0, 1, 0, 2, 2, 2, 1, 2, 1, 2, 2, 1]
KEYS = [f"user-{number}".encode() for number in range(100_000)]


def shares_of(split: Split, keys: list[bytes]) -> np.ndarray:
    places = np.array([split.place(key).variant for key in keys])
    return np.bincount(places, minlength=len(split.shares)) / len(keys)


@pytest.mark.parametrize("weights", [[1, 1], [1, 3], [90, 5, 5], [1, 1, 1, 1, 1]])
def test_callers_are_split_by_weight(weights: list[float]) -> None:
    expected = np.array(weights) / sum(weights)
    # Four standard deviations of the largest share.
    assert np.abs(shares_of(Split("a", weights), KEYS) - expected).max() < 4 * 0.5 / 316


def test_the_same_caller_gets_the_same_variant_for_ever() -> None:
    one, other = Split("3f2a", [1, 1, 2]), Split("3f2a", [1, 1, 2])
    assert [one.place(key) for key in KEYS[:1000]] == [other.place(key) for key in KEYS[:1000]]
    # Known answers: a change of the hash would move every caller of every running experiment.
    assert [one.place(key).variant for key in KEYS[:12]] == KNOWN


def test_two_experiments_split_independently() -> None:
    one, other = Split("first", [1, 1]), Split("second", [1, 1])
    both = np.array([[one.place(key).variant, other.place(key).variant] for key in KEYS])
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.015


def test_raising_a_weight_moves_no_caller_of_the_first_away_from_it() -> None:
    before, after = Split("a", [1, 9]), Split("a", [5, 5])
    first = [key for key in KEYS[:5000] if before.place(key).variant == 0]
    assert first
    assert all(after.place(key).variant == 0 for key in first)


def test_equal_inputs_have_equal_digests_and_others_have_not() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    same = digest_of({"x": rows.copy()})
    assert digest_of({"x": np.asfortranarray(rows)}) == same
    others = [{"y": rows}, {"x": rows.T}, {"x": rows.astype(np.float32)}, {"x": rows + 1e-12}]
    others += [{"x": np.array(texts, dtype=object)} for texts in (["ab", ""], ["a", "b"])]
    digests = [digest_of(inputs) for inputs in others]
    assert len({same, *digests}) == 1 + len(digests)


def test_each_caller_is_counted_once() -> None:
    split, units = Split("a", [1, 1]), Units(2)
    for key in KEYS[:2000] * 3:
        units.add(*split.place(key))
    assert sum(units.counts) == 2000
    assert not units.is_sample


def test_a_sample_of_callers_keeps_the_shares_in_bounded_memory() -> None:
    split, units = Split("a", [1, 3]), Units(2, most=4000)
    for key in KEYS:
        units.add(*split.place(key))
    assert units.is_sample
    assert max(units.counts) <= 2000
    assert units.counts[1] / sum(units.counts) == pytest.approx(0.75, abs=0.04)
    again = Units(2, most=4000)
    again.restore(units.as_arrays())
    assert (again.counts, again.is_sample) == (units.counts, True)
