"""Queues: the simulator against theory, theory against known answers, fits that find what made
the data."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bench.scale import __main__ as command
from bench.scale import fit as fits
from bench.scale import node, picture, plan, simulate, theory
from bench.scale.fit import Point, SlotsFit, TurnsFit
from bench.scale.simulate import Around, MakeNode, Slots, Turns

REQUESTS = 40_000
BLOCKS = 20


def interval(latencies_s: np.ndarray) -> tuple[float, float]:
    """Mean and four standard errors of it, by blocks of time: latencies of neighbours correlate."""
    means = np.array([block.mean() for block in np.array_split(latencies_s, BLOCKS)])
    return float(means.mean()), 4 * float(means.std(ddof=1)) / math.sqrt(BLOCKS)


def slots(draw: simulate.Draw, servers: int = 1) -> MakeNode:
    return lambda env, random: Slots(env, random, draw, servers)


@pytest.mark.parametrize("use", [0.3, 0.7])
def test_the_simulator_is_the_formula_of_m_m_1(use: float) -> None:
    found = simulate.simulate(slots(simulate.exponential(0.01)), use / 0.01, REQUESTS, 1)
    mean_s, within_s = interval(found)
    assert mean_s == pytest.approx(0.01 / (1 - use), abs=within_s)
    # Times in M/M/1 are exponential: p99 is the mean times ln 100.
    assert np.quantile(found, 0.99) == pytest.approx(math.log(100) * 0.01 / (1 - use), rel=0.15)


@pytest.mark.parametrize("use", [0.3, 0.7])
def test_the_simulator_is_the_formula_of_m_d_1(use: float) -> None:
    found = simulate.simulate(slots(simulate.constant(0.01)), use / 0.01, REQUESTS, 2)
    mean_s, within_s = interval(found)
    assert mean_s == pytest.approx(0.01 + 0.01 * use / (2 * (1 - use)), abs=within_s)


def test_the_simulator_is_the_formula_of_m_m_2() -> None:
    found = simulate.simulate(slots(simulate.exponential(0.01), 2), 140.0, REQUESTS, 3)
    mean_s, within_s = interval(found)
    assert mean_s == pytest.approx(0.01 / (1 - 0.7**2), abs=within_s)


def test_a_lognormal_draw_has_the_mean_and_variation_asked_for() -> None:
    draw, random = simulate.lognormal(0.02, 0.5), np.random.default_rng(0)
    found = np.array([draw(random) for _ in range(100_000)])
    assert found.mean() == pytest.approx(0.02, rel=0.02)
    assert found.var() / found.mean() ** 2 == pytest.approx(0.5, rel=0.1)
    assert simulate.lognormal(0.02, 0.0)(random) == 0.02


def test_equal_seeds_give_equal_times() -> None:
    made = [simulate.simulate(slots(simulate.exponential(0.01)), 50, 500, 7) for _ in range(2)]
    assert made[0].tolist() == made[1].tolist()


def test_what_stands_around_a_node_adds_up_when_nobody_waits() -> None:
    around = Around(floor_s=0.004, client_s=0.002, router_s=0.001)
    found = simulate.simulate(slots(simulate.constant(0.01)), 0.01, 50, 1, nodes=2, around=around)
    assert found == pytest.approx(np.full(45, 0.017))


def test_two_nodes_behind_a_router_carry_what_one_cannot() -> None:
    found = simulate.simulate(slots(simulate.constant(0.01)), 150, 5_000, 1, nodes=2)
    assert np.quantile(found, 0.5) < 0.02
    alone = simulate.simulate(slots(simulate.constant(0.01)), 150, 5_000, 1)
    assert np.quantile(alone, 0.5) > 1.0


def test_erlang_c_of_known_cases() -> None:
    assert theory.erlang_c(1, 0.6) == pytest.approx(0.6)
    assert theory.erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert theory.erlang_c(10, 8.0) == pytest.approx(0.409, abs=0.001)


def test_pollaczek_khinchine() -> None:
    assert theory.waits_of(50, 0.01, 1.0).mean_s == pytest.approx(0.01)
    assert theory.waits_of(50, 0.01, 0.0).mean_s == pytest.approx(0.005)
    assert theory.waits_of(80, 0.01, 3.0).mean_s == pytest.approx(0.08)


def test_more_than_the_servers_can_do_is_refused() -> None:
    with pytest.raises(ValueError, match="too much for 2 servers"):
        theory.waits_of(200, 0.01, 1.0, 2)


def turns(overhead_s: float, each_s: float) -> MakeNode:
    return lambda env, random: Turns(env, random, simulate.constant(overhead_s), each_s)


@pytest.mark.parametrize("rate", [500.0, 2_000.0, 4_000.0])
def test_turns_simulated_are_turns_by_formula(rate: float) -> None:
    simulated = simulate.simulate(turns(1e-4, 2e-4), rate, REQUESTS, 5)
    mean_s, within_s = interval(simulated)
    by_formula = theory.turn_latencies(rate, 1e-4, 2e-4, np.random.default_rng(0))
    assert mean_s == pytest.approx(float(by_formula.mean()), abs=within_s)
    for share in (0.5, 0.95, 0.99):
        wanted = float(np.quantile(by_formula, share))
        assert np.quantile(simulated, share) == pytest.approx(wanted, rel=0.1)


def test_a_busy_loop_shares_its_overhead() -> None:
    quiet, busy = (theory.turn_cost_s(rate, 1e-4, 2e-4) for rate in (1.0, 4_500.0))
    assert quiet == pytest.approx(3e-4, rel=0.001)
    assert 2e-4 < busy < 2.2e-4


def made_points(fit: TurnsFit | SlotsFit, rates: tuple[float, ...]) -> list[Point]:
    """What a node of this fit would have shown."""
    points = []
    for rate in rates:
        point: dict[str, float] = {"rate_per_s": rate, "client_us": 1e6 * fit.client_s}
        if isinstance(fit, TurnsFit):
            point["loop_us"] = 1e6 * theory.turn_cost_s(rate, fit.overhead_s, fit.each_s)
        else:
            point["run_ms"] = 1e3 * fit.service_s
        points.append(point)
    return points


def test_a_fit_finds_the_turns_that_made_the_data() -> None:
    truth = TurnsFit(overhead_s=9e-5, each_s=3.1e-4, floor_s=1.2e-4, client_s=8e-5)
    alone = {"p50_ms": 1e3 * (9e-5 + 3.1e-4 + 1.2e-4 + 8e-5), "loop_us": 400.0}
    points, most = made_points(truth, (300.0, 1_200.0, 2_400.0)), {"loop_us": 310 + 90 / 50}
    found = fits.fit_turns(points, alone, most, 50)
    assert fits.as_dict(found) == pytest.approx(fits.as_dict(truth), rel=1e-3)


def test_a_fit_finds_the_slots_that_made_the_data() -> None:
    truth = SlotsFit(service_s=0.004, cv2=0.25, servers=2, floor_s=3e-4, client_s=1e-4)
    middle_ms = 4.0 / math.sqrt(1.25) + 0.3 + 0.1
    tail = math.exp(1.6449 * math.sqrt(math.log(1.25)))
    alone = {"p50_ms": middle_ms, "p95_ms": middle_ms * tail}
    found = fits.fit_slots(made_points(truth, (50.0, 100.0)), alone, 2)
    assert fits.as_dict(found) == pytest.approx(fits.as_dict(truth))


def test_a_fit_survives_its_storage() -> None:
    for fit in (TurnsFit(1e-4, 2e-4, 3e-4, 4e-4), SlotsFit(0.004, 0.25, 2, 3e-4, 1e-4)):
        assert fits.fit_from(fits.as_dict(fit)) == fit


def test_too_few_points_are_said() -> None:
    with pytest.raises(ValueError, match="1 points; two are needed"):
        fits.fit_turns([{}], {}, {}, 1)
    with pytest.raises(ValueError, match="no points"):
        fits.fit_slots([], {}, 1)


def test_errors_are_mean_distances_in_percent() -> None:
    points = [{"p50_ms": 10.0, "p95_ms": 20.0, "p99_ms": 40.0}] * 2
    guesses = [
        {"p50_ms": 11.0, "p95_ms": 20.0, "p99_ms": 20.0},
        {"p50_ms": 7.0, "p95_ms": 20.0, "p99_ms": 60.0},
    ]
    found = fits.errors_percent(points, guesses)
    assert found == pytest.approx({"p50_ms": 20.0, "p95_ms": 0.0, "p99_ms": 50.0})


def test_a_replica_is_given_what_keeps_its_p99() -> None:
    fit = SlotsFit(service_s=0.01, cv2=1.0, servers=1, floor_s=0.0, client_s=0.0)
    carried = plan.carries_per_s(fit, 3.0)
    latencies = fit.latencies_s(carried, np.random.default_rng(0))
    assert 0 < carried < fit.capacity_per_s
    alone_p99_s = 0.01 * math.exp(2.326 * math.sqrt(math.log(2)) - math.log(2) / 2)
    assert np.quantile(latencies, 0.99) == pytest.approx(3 * alone_p99_s, rel=0.15)


def test_a_plan_counts_up_to_whole_nodes_and_one_more() -> None:
    given = plan.Assumptions(price=0.05, node_cores=16, system_cores=1, router_use=0.5, regions=3)
    found = plan.scaled(100_000, 1_000, 40.0, given)
    assert (found.replicas, found.nodes) == (100, 7 + 1)
    assert found.routers == 1 + 1
    assert found.cost_per_hour == pytest.approx(10 * 16 * 0.05)
    assert found.per_million == pytest.approx(8.0 / 360)
    assert found.regional_nodes == 3 * (4 + 1)
    assert plan.router_most_per_s(40.0, given) == pytest.approx(200_000)


METRICS = """\
# HELP pyrometer_requests_total Requests answered.
pyrometer_requests_total{model="slow",outcome="ok",route="/v2/models/{model}/infer"} 40.0
pyrometer_requests_total{model="slow",outcome="shed",route="/v2/models/{model}/infer"} 2.0
pyrometer_requests_total{model="quick",outcome="ok",route="/v2/models/{model}/infer"} 7.0
pyrometer_phase_seconds_total{model="slow",phase="inference",route="/v2/models/{model}/infer"} 0.5
pyrometer_phase_seconds_total{model="slow",phase="decode",route="/v2/models/{model}/infer"} 9.0
"""


def test_what_a_model_spent_is_read_off_its_servers_metrics() -> None:
    assert node.totals_in(METRICS, "slow") == (0.5, 42.0)
    assert node.totals_in(METRICS, "quick") == (0.0, 7.0)


def test_the_page_has_the_figures_that_are_stored() -> None:
    stored = json.loads(command.STORED.read_text())
    page = command.PAGE.read_text()
    shown = [*command.measured_lines(stored), *command.error_lines(stored)]
    shown += command.plan_lines(stored, command.RATES, plan.Assumptions())
    assert [line for line in shown if line not in page] == []


def test_the_chart_states_every_error() -> None:
    stored = json.loads(command.STORED.read_text())
    titles = [words.text for words in picture.figure_of(stored).layout.annotations[:3]]
    quick = stored["subjects"]["quick"]["errors_percent"]["simulated"]["p50_ms"]
    two = stored["two_nodes"]["errors_percent"]["simulated"]["p99_ms"]
    assert f"simulated: p50 {quick:.0f} %" in titles[0]
    assert f"p99 {two:.0f} %" in titles[2]
    assert all("error at rates not fitted" in title for title in titles)
