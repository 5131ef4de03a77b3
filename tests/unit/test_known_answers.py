"""Answers worked out elsewhere: by hand, by the formula as its paper has it, or by brute force.

What `make mutants` changed and nothing else noticed.
"""

from __future__ import annotations

import hashlib
import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import chisquare

from bench.gate.statistics import interval_of, interval_of_change
from bench.lab.slope import slope_of
from engine.experiments import blocks as blocks_module
from engine.experiments.blocks import SAMPLE, Blocks, edge_ms
from engine.experiments.split import Split, digest_of
from engine.experiments.statistics import Sequence, holm, rate_interval, sample_ratio
from engine.telemetry.histogram import (
    BUCKETS,
    LOW_NS,
    MIDDLE_MS,
    UPPER_NS,
    buckets_of,
    count_up_to,
    histogram_of,
    pack,
    percentile_ms,
    percentiles_ms,
    unpack,
)

# the histogram


def counts_of(**at: int) -> np.ndarray:
    counts = np.zeros(BUCKETS, dtype=np.uint32)
    for name, count in at.items():
        counts[int(name[1:])] = count
    return counts


def test_durations_beyond_the_ends_fall_into_the_first_and_the_last_bucket() -> None:
    durations_ns = np.array([0, LOW_NS, 1e15, UPPER_NS[-2] * 1.001, UPPER_NS[-3] * 1.001])
    assert buckets_of(durations_ns).tolist() == [0, 0, BUCKETS - 1, BUCKETS - 1, BUCKETS - 2]
    assert histogram_of(durations_ns)[-1] == 2


def test_a_percentile_is_the_middle_of_the_bucket_of_its_rank() -> None:
    counts = counts_of(_0=1, _10=98, _965=1)
    table = np.stack([counts, counts_of(), counts_of(_965=3)])
    found = percentiles_ms(table, (0.001, 0.01, 0.011, 0.99, 0.991, 1.0))
    first, middle, last = MIDDLE_MS[0], MIDDLE_MS[10], MIDDLE_MS[965]
    assert found[0].tolist() == [first, first, middle, middle, last, last]
    assert np.isnan(found[1]).all()
    assert found[2].tolist() == [last] * 6
    assert found.dtype == np.float64


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentile_ms(counts_of(), 0.5) is None
    assert percentile_ms(counts_of(_3=1), 0.5) == MIDDLE_MS[3]


def test_counts_add_up_beyond_32_bits() -> None:
    counts = np.full(BUCKETS, 2**32 - 1, dtype=np.uint32)
    assert percentiles_ms(counts[np.newaxis], (0.5,))[0, 0] == MIDDLE_MS[BUCKETS // 2 - 1]


def test_a_count_up_to_a_limit_takes_the_bucket_whose_middle_it_is() -> None:
    counts = counts_of(_4=2, _5=3, _6=5)
    assert count_up_to(counts, MIDDLE_MS[5]) == 5
    assert count_up_to(counts, np.nextafter(MIDDLE_MS[5], 0)) == 2


def test_packed_counts_stop_at_32_bits() -> None:
    counts = np.zeros(BUCKETS, dtype=np.int64)
    counts[[7, 8, 9]] = [2**32 - 2, 2**32 - 1, 2**32 + 5]
    again = unpack([pack(counts)], np.array([0]), 1)
    assert again[0, [7, 8, 9]].tolist() == [2**32 - 2, 2**32 - 1, 2**32 - 1]
    assert again.dtype == np.int64


def test_buckets_of_a_longer_scale_are_read_as_the_last() -> None:
    cell = np.array([(BUCKETS + 4, 6)], dtype=[("bucket", "<u2"), ("count", "<u4")])
    again = unpack([cell.tobytes(), pack(counts_of(_2=1))], np.array([1, 0]), 2)
    assert again[1, -1] == 6
    assert (again.sum(), again[0, 2]) == (7, 1)
    assert unpack([], np.array([], dtype=np.int64), 2).shape == (2, BUCKETS)


# the split


def test_a_callers_place_is_two_halves_of_blake2b() -> None:
    salt = hashlib.blake2b(b"salt", digest_size=32).digest()
    split = Split("salt", [1, 2, 1])
    for number in range(200):
        key = b"caller %d" % number
        digest = hashlib.blake2b(key, digest_size=16, key=salt).digest()
        first, last = (int.from_bytes(half, "big") for half in (digest[:8], digest[8:]))
        expected = (first >= 2**62) + (first >= 3 * 2**62)
        assert split.place(key) == (expected, last)


def test_a_digest_is_over_name_type_shape_and_content_in_the_order_of_names() -> None:
    x, y = np.array([[1.5, 2.0]]), np.array([["ä", b"b"]], dtype=object)
    plain = b"\0x\0<f8(1, 2)" + x.tobytes() + b"\0y\0|O(1, 2)"
    plain += (2).to_bytes(8, "little") + "ä".encode() + (1).to_bytes(8, "little") + b"b"
    expected = hashlib.blake2b(plain, digest_size=16).digest()
    assert digest_of({"y": y, "x": x}) == expected
    assert digest_of({"x": np.asfortranarray(x), "y": y}) == expected
    odd = np.array(["\ud800"], dtype=object)
    plain = b"\0t\0|O(1,)" + (1).to_bytes(8, "little") + b"?"
    assert digest_of({"t": odd}) == hashlib.blake2b(plain, digest_size=16).digest()


# the statistics of experiments


def test_holm_of_large_p_values_is_at_most_one() -> None:
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_sample_ratio_needs_five_of_each() -> None:
    assert sample_ratio([4, 6], [0.5, 0.5]) is not None
    assert sample_ratio([3, 6], [0.5, 0.5]) is None
    found = sample_ratio([700, 300], [0.75, 0.25])
    assert found == pytest.approx(chisquare([700, 300], [750, 250]).pvalue)
    assert found < 1e-3


@pytest.mark.parametrize(("hits", "trials"), [(0, 50), (1, 50), (7.25, 50), (49, 50), (50, 50)])
def test_a_rate_interval_is_where_the_mixture_says_so(hits: float, trials: int) -> None:
    alpha, yes, no = 0.05, 0.5, 10.0

    def log_m(p: float) -> float:
        likely = hits * math.log(p) + (trials - hits) * math.log1p(-p)
        mixed = betaln(hits + yes, trials - hits + no) - betaln(yes, no)
        return float(mixed - likely + math.log(alpha))

    low, high = rate_interval(hits, trials, alpha)
    middle = min(max(hits / trials, 1e-9), 1 - 1e-9)
    assert low == pytest.approx(brentq(log_m, 1e-14, middle) if hits else 0.0)
    assert high == pytest.approx(brentq(log_m, middle, 1 - 1e-14) if hits < trials else 1.0)
    assert (low == 0.0) is (hits == 0)
    assert (high == 1.0) is (hits == trials)


def e_value(values: np.ndarray, mean: float) -> float:
    """As Wang and Ramdas write it, with c^2 = 1."""
    t = len(values)
    away = values - mean
    squares = (away**2).sum()
    return float(
        math.sqrt(1 / (t + 1)) * (squares / (squares - away.sum() ** 2 / (t + 1))) ** (t / 2)
    )


def test_a_sequence_is_the_t_test_of_its_paper() -> None:
    values = np.random.default_rng(3).normal(0.4, 1.0, 40)
    alone = Sequence(0.05)
    alone.count, alone.total, alone.squares = 40, values.sum(), (values**2).sum()
    half = alone._half_width()
    for end in (alone.mean - half, alone.mean + half):
        assert e_value(values, end) == pytest.approx(1 / 0.05)
    assert math.exp(alone._log_e_of_no_difference()) == pytest.approx(e_value(values, 0.0))


def test_a_sequence_of_nothing_but_zeros_says_nothing_against_no_difference() -> None:
    same = Sequence(0.05)
    for _ in range(30):
        same.add(0.0)
    assert same.p == 1.0
    assert same.log_e == 0.0


def test_an_interval_is_finite_from_the_fifth_value_on() -> None:
    one = Sequence(0.05)
    widths = []
    for value in (1.0, 1.1, 0.9, 1.0, 1.05):
        one.add(value)
        widths.append(one.high - one.low)
    assert [math.isfinite(width) for width in widths] == [False, False, False, False, True]


# blocks of time


def test_a_full_block_is_a_sample_without_repeats_of_old_and_new() -> None:
    one = Blocks(1)
    for part in range(4):
        one.add(0.5, 0, np.arange(part * SAMPLE, (part + 1) * SAMPLE) + 1.0)
    (kept,) = one.blocks[0].samples
    assert len(kept) == len(set(kept)) == SAMPLE
    quarters = np.bincount(((kept - 1) // SAMPLE).astype(int), minlength=4)
    assert quarters.min() > SAMPLE / 4 - 40
    assert one.counts().tolist() == [[4 * SAMPLE]]


def test_up_to_a_whole_sample_every_duration_is_kept() -> None:
    one = Blocks(1)
    one.add(0.0, 0, np.arange(1.0, 101.0))
    one.add(0.0, 0, np.arange(101.0, SAMPLE + 1.0))
    assert one.blocks[0].samples[0].tolist() == list(np.arange(1.0, SAMPLE + 1.0))


def test_time_up_to_the_last_block_joins_none_and_the_next_moment_joins_all() -> None:
    one = Blocks(2, block_s=2.0, most=4)
    for second in (0.0, 1.99, 2.0, 5.0, 7.99):
        one.add(second, 0, np.array([second + 1.0]))
    assert (one.block_s, one.counts()[:, 0].tolist()) == (2.0, [2, 1, 1, 1])
    one.add(8.0, 1, np.array([3.0]))
    assert one.block_s == 4.0
    assert one.counts().tolist() == [[3, 0], [2, 0], [0, 1]]
    assert one.blocks[0].samples[0].tolist() == [1.0, 2.99, 3.0]


def test_a_copy_goes_on_by_itself() -> None:
    one = Blocks(1, block_s=1.0, most=4)
    one.add(0.0, 0, np.array([5.0]))
    other = one.copy()
    assert (other.block_s, other.most) == (1.0, 4)
    other.add(9.0, 0, np.array([6.0, 7.0]))
    assert (one.block_s, other.block_s) == (1.0, 4.0)
    assert (one.counts().sum(), other.counts().sum()) == (1, 3)
    assert (one.histograms.sum(), other.histograms.sum()) == (1, 3)


def test_a_quantile_is_the_middle_of_the_bucket_of_its_rank() -> None:
    one = Blocks(2)
    assert one.quantile_ms(0, 0.5) is None
    one.add(0.0, 0, np.array([edge_ms(100.5)] + [edge_ms(500.5)] * 9))
    for share, bucket in ((0.001, 100), (0.1, 100), (0.11, 500), (1.0, 500)):
        assert one.quantile_ms(0, share) == pytest.approx(edge_ms(bucket + 0.5))
    assert one.quantile_ms(1, 0.5) is None


def test_durations_beyond_the_scale_fall_into_its_ends() -> None:
    found = blocks_module.buckets_of(np.array([0.0, 1e-3, 1e30]))
    assert found.tolist() == [0, 0, blocks_module.BUCKETS - 1]


def test_stored_blocks_come_back_with_every_sample_where_it_was() -> None:
    one = Blocks(2, block_s=1.0)
    for second, variant in product(range(3), range(2)):
        one.add(second, variant, np.arange(1.0, 2.0 + second + variant))
    stored = one.as_arrays()
    assert {name: str(array.dtype) for name, array in stored.items()} == {
        "block_s": "float64",
        "counts": "int64",
        "lengths": "int64",
        "samples": "float32",
        "histograms": "int64",
    }
    again = Blocks(2, block_s=9.0)
    again.restore(stored)
    assert again.block_s == 1.0
    assert again.counts().tolist() == one.counts().tolist()
    for before, after in zip(one.blocks, again.blocks, strict=True):
        assert [s.tolist() for s in before.samples] == [s.tolist() for s in after.samples]
    empty = Blocks(2)
    again.restore(empty.as_arrays())
    assert again.blocks == []
    with pytest.raises(ValueError, match="these are not the blocks of this experiment"):
        Blocks(3).restore(stored)


# the gate's intervals and the soak's slope


def test_the_gates_interval_is_the_widened_bootstrap_between_its_percentiles() -> None:
    """One block a round: a draw is the trimmed mean of rounds drawn again."""
    values = np.array([0.00, 0.01, 0.02, 0.05, 0.10])
    sample = [[[value]] for value in values]
    found = interval_of(sample, draws=20_000)
    drawn = [
        np.mean(np.sort(np.array(chosen))[1:-1]) for chosen in product(values, repeat=len(values))
    ]
    middle = np.mean(values[1:-1])
    ends = middle + (np.percentile(drawn, [2.5, 97.5]) - middle) * math.sqrt(5 / 4)
    assert found.percent == pytest.approx(100 * math.expm1(middle))
    assert found.low == pytest.approx(100 * math.expm1(ends[0]), abs=0.15)
    assert found.high == pytest.approx(100 * math.expm1(ends[1]), abs=0.15)
    assert found.high - found.percent > 1.2 * (found.percent - found.low), "it leans as they do"


def test_blocks_are_drawn_anew_for_each_round() -> None:
    """Rounds far apart, one of them wild inside: the others must be in the draws too."""
    calm, wild = [[0.0]] * 4, [[-1.0], [1.0], [-1.0], [1.0]]
    together, alone = interval_of([calm, calm, calm, wild]), interval_of([wild])
    assert together.high - together.low < 0.9 * (alone.high - alone.low)


def test_one_round_is_not_widened() -> None:
    values = [[0.00], [0.01], [0.02], [0.05], [0.10]]
    one = interval_of([values], draws=20_000)
    several = interval_of([[value] for value in values], draws=20_000)
    assert one.high - one.low == pytest.approx(
        (several.high - several.low) / math.sqrt(5 / 4), 0.06
    )


def test_a_change_between_two_skewed_samples_leans_as_both_do() -> None:
    values = [[[0.0]], [[0.01]], [[0.02]], [[0.05]], [[0.10]]]
    still = [[[0.0]]] * 5
    up, down = interval_of_change(still, values), interval_of_change(values, still)
    assert (up.percent > 0, down.percent < 0) == (True, True)
    assert up.high - up.percent > 1.2 * (up.percent - up.low)
    assert down.percent - down.low > 1.2 * (down.high - down.percent)
    assert up == interval_of_change(still, values), "the same draws each time"
    with pytest.raises(ValueError, match="nothing was measured"):
        interval_of_change([[[]]], values)


def test_a_slope_needs_ten_values_and_draws_alike_each_time() -> None:
    times = np.arange(10.0)
    values = np.array([0.0, 3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0])
    found = slope_of(times, values)
    assert found == slope_of(times, values)
    assert found.middle == pytest.approx(np.polyfit(times, values, 1)[0])
    with pytest.raises(ValueError, match="9 values"):
        slope_of(times[:9], values[:9])


def test_a_slopes_interval_does_not_depend_on_where_the_series_lies() -> None:
    times = np.arange(40.0)
    values = np.random.default_rng(2).normal(0, 1, 40)
    low, high = slope_of(times, values), slope_of(times, values + 1e6)
    assert high.low == pytest.approx(low.low, abs=1e-6)
    assert high.high == pytest.approx(low.high, abs=1e-6)


def test_a_slopes_blocks_reach_both_ends_of_the_series() -> None:
    """The only residuals are at the ends: where no block reaches them, the interval is a point."""
    for place in (0, -1):
        values = np.zeros(60)
        values[place] = 6.0
        found = slope_of(np.arange(60.0), values)
        assert found.high - found.low > 0.002
