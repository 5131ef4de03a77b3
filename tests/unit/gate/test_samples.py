"""What quads make of windows."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from bench.gate import measure
from bench.gate.cases import BY_NAME, CASES
from bench.gate.measure import BARE, BASELINE, CANDIDATE, names_of, rounds_in
from bench.gate.samples import Samples, level, logs_of
from bench.gate.sender import Window
from bench.gate.server import Side


def window(cpu_us: float) -> Window:
    return Window(cpu_us, 1e6 / cpu_us, cpu_us / 1e3, cpu_us / 500)


def quad(*cpu_us: float, first: str = "before") -> tuple[list[Window], list[Window]]:
    outer, inner = [window(cpu_us[0]), window(cpu_us[3])], [window(cpu_us[1]), window(cpu_us[2])]
    return (outer, inner) if first == "before" else (inner, outer)


def test_an_even_drift_of_the_machine_cancels() -> None:
    """The clock slows by 10 % from window to window; nothing is slower for it."""
    samples = Samples()
    samples.begin_round()
    drift = [20 * 1.1**place for place in range(4)]
    samples.add_block([quad(*drift), quad(*drift, first="after")], 0)
    assert samples.interval().percent == pytest.approx(0)


def test_a_change_is_after_over_before() -> None:
    samples = Samples()
    samples.begin_round()
    samples.add_block([quad(20, 22, 22, 20)] * 3, 0)
    assert samples.interval().percent == pytest.approx(10)
    assert samples.interval("requests_per_s").percent == pytest.approx(100 * (1 / 1.1 - 1))
    assert (level(samples.before, "cpu_us"), level(samples.after, "cpu_us")) == (20, 22)


def test_noise_is_of_each_side_with_itself() -> None:
    samples = Samples()
    samples.begin_round()
    samples.add_block([quad(20, 40, 40, 20)], 3)
    assert samples.noise == [[[0.0]]]
    samples.add_block([quad(20, 40, 40, 22)], 0b01)
    assert samples.noise[0][1] == [pytest.approx(math.log(1.1) / 2)]
    samples.add_block([quad(20, 40, 40, 22)], 0b10)
    assert samples.noise[0][2] == [pytest.approx(-math.log(1.1) / 2)]


def test_where_only_one_side_runs_its_own_figures_are_kept() -> None:
    samples = Samples()
    samples.begin_round()
    samples.add_block([([], [window(20), window(20)])], 0)
    assert samples.change["cpu_us"] == [[]]
    assert math.isnan(level(samples.before, "cpu_us"))
    assert logs_of(samples.after, "cpu_us") == [[[pytest.approx(math.log(20))]]]


class Fake:
    """A sender whose windows are instant and are written down."""

    connections = 1

    def __init__(self, name: str, said: list[tuple[str, int]]) -> None:
        self.name, self.said = name, said

    def window(self, requests: Any, count: int, first: int) -> Window:
        self.said.append((self.name, first))
        return window(20)


def test_quads_are_abba_or_baab_by_lot_with_the_same_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measure, "BLOCK_S", 0.01)
    said: list[tuple[str, int]] = []
    samples = Samples(count=10)
    samples.begin_round()
    senders: Any = [Fake("A", said), Fake("B", said)]
    measure._block(senders, [b""] * 500, samples, random.Random(1))
    quads = [said[place : place + 4] for place in range(0, len(said), 4)]
    orders = {"".join(name for name, _ in quad) for quad in quads}
    assert orders == {"ABBA", "BAAB"}
    assert all(len({first for _, first in quad}) == 1 for quad in quads)
    assert samples.requests == 10 * len(said)


def test_a_window_is_sized_by_cpu_time_in_whole_turns() -> None:
    assert measure._count(window(20), 50) == 200
    assert measure._count(window(40), 1) == 100
    assert measure._count(window(4000), 50) == 100


@pytest.mark.parametrize(
    ("seconds", "cases", "rounds"), [(5, 2, 1), (60, 2, 4), (170, 7, 5), (3600, 1, 5)]
)
def test_starts_take_a_quarter_of_the_time_at_most(seconds: float, cases: int, rounds: int) -> None:
    assert rounds_in(seconds, cases) == rounds


def test_which_sides_a_case_compares(tmp_path: Any) -> None:
    both = {name: Side(name, tmp_path, tmp_path) for name in (BASELINE, CANDIDATE)}
    assert names_of(BY_NAME["forest"], both) == (BASELINE, CANDIDATE)
    assert names_of(BY_NAME["forest"], {CANDIDATE: both[CANDIDATE]}) == (CANDIDATE,)
    assert names_of(BY_NAME["instrumentation"], both) == (BARE, CANDIDATE)


@pytest.mark.parametrize(("name", "percent"), [("cached", 98.9), ("forest", 0.1)])
def test_a_case_that_is_not_what_it_says_is_an_error(name: str, percent: float) -> None:
    samples = Samples(hit_percent={CANDIDATE: percent})
    with pytest.raises(measure.PyrometerError, match=f"{name}: candidate answered"):
        measure._check_hits(BY_NAME[name], samples)


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(CASES)
