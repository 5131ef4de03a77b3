"""The fleet: who counts, who is lost, who is the same, by an injected clock and made-up answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.fleet.addresses import MAX_PEERS
from engine.fleet.export import HISTOGRAM
from engine.fleet.fleet import MAX_PROCESSES, Ask, Fleet
from engine.fleet.report import MOST_MODELS, fleet_families, fleet_report
from engine.fleet.steps import STEP_S, Step
from tests.unit.fleet.exports import START_S, at, export_of, model, step_of

A, B, C = "http://a:8050", "http://b:8050", "http://c:8050"
INTERVAL_S = 2.0


class World:
    """A fleet of one process and its peers, and the clock of all of them."""

    def __init__(self, *urls: str) -> None:
        self.now_s = START_S
        self.fleet = Fleet("0e", INTERVAL_S, lambda: self.now_s, lambda: self.now_s - START_S)
        self.fleet.follow(urls)

    def answer(
        self, url: str, run: str, steps: list[Step] | None = None, ahead_s: float = 0.0, **told: Any
    ) -> None:
        content = export_of(run, steps or [], time_s=self.now_s + ahead_s, **told).as_bytes()
        self.fleet.answered(url, content, self.now_s, self.now_s)

    def step(self, durations_ms: list[float], ago_s: float = 0.0, **further: Any) -> Step:
        return step_of(at(self.now_s - ago_s), durations_ms, **further)

    def report(self) -> dict[str, Any]:
        return fleet_report(self.fleet.view(), INTERVAL_S)

    def row(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = next(row for row in self.report()["peers"] if row["url"] == url)
        return found


def test_two_peers_and_this_process_are_one_fleet() -> None:
    world = World(A, B)
    world.answer(A, "a1", [world.step([1.0] * 99)])
    world.answer(B, "b1", [world.step([50.0])])
    world.fleet.told_by_itself(export_of("0e", [world.step([2.0] * 100)], time_s=world.now_s))
    merged = world.report()["merged"]
    assert (merged["processes"], merged["requests"]) == (3, 200)
    assert merged["requests_per_s"] == pytest.approx(200 / STEP_S)
    assert merged["p50_ms"] == pytest.approx(2, rel=0.01)
    assert merged["p99_9_ms"] == pytest.approx(50, rel=0.01)
    assert [row["state"] for row in world.report()["peers"]] == ["self", "up", "up"]


def test_each_second_is_added_once() -> None:
    world = World(A)
    assert world.fleet.due() == [Ask(A, "", 0)]
    world.answer(A, "a1", [world.step([1.0] * 10)], seq=10)
    world.now_s += INTERVAL_S
    assert world.fleet.due() == [Ask(A, "a1", 10)]
    world.answer(A, "a1", [world.step([1.0] * 5)], since=10, seq=12)
    world.answer(A, "a1", [world.step([1.0] * 5)], since=10, seq=12)  # the same once more
    assert world.row(A)["requests"] == 15


def test_a_peer_is_asked_again_after_the_interval_only() -> None:
    world = World(A)
    world.fleet.due()
    assert world.fleet.due() == []
    world.answer(A, "a1")
    assert world.fleet.due() == []
    assert world.fleet.next_due_s() == pytest.approx(INTERVAL_S)
    world.now_s += INTERVAL_S
    assert len(world.fleet.due()) == 1


def test_a_peer_that_hangs_is_lost_within_three_intervals() -> None:
    world = World(A)
    world.fleet.due()
    world.answer(A, "a1")
    hung_s = world.now_s
    while world.row(A)["state"] != "lost":
        world.now_s += world.fleet.next_due_s()
        assert len(world.fleet.due()) == 1
        world.now_s += INTERVAL_S  # as long as is waited for an answer
        world.fleet.missed(A, "no answer within 2 s")
    assert world.now_s - hung_s <= 3 * INTERVAL_S


def test_a_question_that_nothing_became_of_is_asked_again_in_a_minute() -> None:
    world = World(A)
    world.fleet.due()
    world.now_s += 61
    assert len(world.fleet.due()) == 1


def test_a_peer_is_lost_after_two_missed_answers_and_counts_for_nothing() -> None:
    world = World(A, B)
    world.answer(A, "a1", [world.step([1.0] * 10)])
    world.answer(B, "b1", [world.step([9.0] * 10)])
    heard_s = world.now_s
    world.now_s += INTERVAL_S
    world.fleet.missed(B, "no connection: refused, or no way there")
    assert world.row(B)["state"] == "up"
    assert world.report()["merged"]["requests"] == 20
    world.now_s += INTERVAL_S
    world.fleet.missed(B, "no connection: refused, or no way there")
    row = world.row(B)
    assert (row["state"], row["live"], row["heard"]) == ("lost", False, heard_s)
    assert row["since"] == heard_s
    assert row["problem"] == "no connection: refused, or no way there"
    merged = world.report()["merged"]
    assert (merged["requests"], merged["processes"]) == (10, 2)
    assert merged["p99_ms"] == pytest.approx(1, rel=0.01)


def test_a_lost_peers_last_figures_stay_as_they_were() -> None:
    world = World(A)
    world.answer(A, "a1", [world.step([4.0] * 10)], version="1.2")
    for _ in range(60):
        world.now_s += INTERVAL_S
        world.fleet.missed(A, "no answer within 1 s")
    row = world.row(A)
    assert (row["state"], row["version"], row["requests"]) == ("lost", "1.2", 10)
    assert row["p50_ms"] == pytest.approx(4, rel=0.01)
    assert world.report()["merged"]["p50_ms"] is None


def test_what_a_lost_peer_served_stays_in_the_minutes_it_served_it() -> None:
    world = World(A)
    world.answer(A, "a1", [world.step([4.0] * 10, ago_s=60)])
    for _ in range(2):
        world.fleet.missed(A, "no answer within 1 s")
    series = world.report()["series"]
    told = [point for point in series["points"] if point[1] is not None]
    assert [point[1] for point in told] == [10 / STEP_S]
    assert told[0][series["columns"].index("p99_ms")] == pytest.approx(4, rel=0.01)


def test_a_peer_comes_back_by_itself_and_what_it_served_meanwhile_with_it() -> None:
    world = World(A)
    world.answer(A, "a1", [world.step([1.0] * 10)], seq=10)
    for _ in range(2):
        world.now_s += INTERVAL_S
        world.fleet.missed(A, "no answer within 1 s")
    world.answer(A, "a1", [world.step([1.0] * 7)], since=10, seq=15)
    row = world.row(A)
    assert (row["state"], row["problem"], row["requests"]) == ("up", None, 17)
    assert row["since"] == world.now_s


def test_a_peer_that_began_anew_is_told_by_its_run_and_nothing_is_counted_twice() -> None:
    world = World(A)
    world.answer(A, "f1", [world.step([1.0] * 10, ago_s=30)], seq=900)
    world.now_s += INTERVAL_S
    world.answer(A, "f2", [world.step([2.0] * 4)], since=0, seq=3)
    row = world.row(A)
    assert (row["run"], row["requests"]) == ("f2", 4)
    assert world.report()["merged"]["requests"] == 4
    world.now_s += INTERVAL_S
    assert world.fleet.due()[-1] == Ask(A, "f2", 3)
    world.now_s += 3 * STEP_S
    points = [point[1] for point in world.report()["series"]["points"] if point[1]]
    assert points == [10 / STEP_S, 4 / STEP_S], "both runs were traffic of the fleet"


def test_this_process_among_its_own_peers_is_counted_once() -> None:
    world = World(A, B)
    own = [world.step([1.0] * 10)]
    world.fleet.told_by_itself(export_of("0e", own, time_s=world.now_s))
    world.answer(A, "0e", own)
    world.answer(B, "b1", [world.step([1.0])])
    report = world.report()
    assert [(row["id"], row["state"]) for row in report["peers"]] == [(A, "self"), (B, "up")]
    assert report["merged"]["requests"] == 11
    assert report["merged"]["processes"] == 2


def test_two_addresses_of_one_process_are_counted_once() -> None:
    world = World(A, B)
    told = [world.step([1.0] * 10)]
    world.answer(A, "a1", told)
    world.answer(B, "a1", told)
    world.fleet.told_by_itself(export_of("0e", time_s=world.now_s))
    assert world.row(B)["state"] == "duplicate"
    assert world.row(B)["same_as"] == A
    assert world.report()["merged"]["requests"] == 10
    assert world.report()["merged"]["processes"] == 2
    for _ in range(2):
        world.fleet.missed(A, "gone")
    assert world.row(B)["state"] == "up", "the other way to it stands in"
    assert world.report()["merged"]["requests"] == 10


def test_an_incompatible_peer_is_shown_and_not_merged() -> None:
    world = World(A)
    content = orjson.loads(export_of("a1", [world.step([1.0])]).as_bytes())
    content["histogram"] = HISTOGRAM | {"buckets": 100}
    world.fleet.answered(A, orjson.dumps(content), world.now_s, world.now_s)
    row = world.row(A)
    assert (row["state"], row["live"]) == ("incompatible", False)
    assert "other buckets" in row["problem"]
    assert world.report()["merged"]["requests"] == 0
    world.answer(A, "a1", [world.step([1.0])])
    assert world.row(A)["state"] == "up"


def test_a_peer_that_refuses_us_says_why() -> None:
    world = World(A, B)
    world.fleet.refused(A, "answered 401: a key is needed; see peers_key")
    world.fleet.answered(B, b"<html>", world.now_s, world.now_s)
    assert world.row(A)["state"] == world.row(B)["state"] == "refused"
    assert world.row(A)["problem"] == "answered 401: a key is needed; see peers_key"
    assert world.row(B)["problem"] == "the answer is no JSON"


@pytest.mark.parametrize("ahead_s", [-3600.0, -12.0, 12.0, 3600.0])
def test_a_clock_that_is_off_is_measured_and_shown_and_its_figures_are_put_right(
    ahead_s: float,
) -> None:
    world = World(A)
    theirs = step_of(at(world.now_s + ahead_s), [5.0] * 10)
    world.answer(A, "a1", [theirs], ahead_s)
    row = world.row(A)
    assert row["skew_ms"] == pytest.approx(1000 * ahead_s)
    assert row["clock_differs"] is True
    assert row["requests"] == 10
    assert world.report()["merged"]["requests"] == 10


def test_the_surest_of_the_last_measurements_of_a_clock_counts() -> None:
    world = World(A)
    content = export_of("a1", time_s=world.now_s + 0.5, since=0, seq=10).as_bytes()
    world.fleet.answered(A, content, world.now_s - 4.0, world.now_s)  # a slow way
    world.answer(A, "a1", ahead_s=0.001, since=10, seq=11)
    row = world.row(A)
    assert (row["skew_ms"], row["trip_ms"]) == (pytest.approx(1.0, abs=1e-3), 0)
    assert row["clock_differs"] is False


def test_at_most_64_peers_are_asked_and_the_rest_is_told() -> None:
    urls = [f"http://10.0.0.{n}:8050" for n in range(100)]
    world = World(*urls)
    assert len(world.fleet.due()) == MAX_PEERS
    report = world.report()
    assert (report["limit"], report["left_out"]) == (MAX_PEERS, 36)


def test_peers_that_begin_anew_for_ever_are_forgotten() -> None:
    world = World(A)
    for turn in range(3 * MAX_PROCESSES):
        world.answer(A, f"{turn:x}", [world.step([1.0])])
    assert len(world.fleet._processes) <= MAX_PROCESSES
    world.now_s += 3600
    world.answer(A, "fa", [world.step([1.0])])
    assert len(world.fleet._processes) == 2


def test_an_address_that_its_name_has_no_more_is_shown_as_lost_and_never_asked() -> None:
    world = World(A, B)
    world.answer(B, "b1", [world.step([1.0] * 3)])
    heard_s = world.now_s
    world.now_s += INTERVAL_S
    world.fleet.follow([A, B], [A])
    row = world.row(B)
    assert (row["state"], row["since"], row["requests"]) == ("lost", heard_s, 3)
    assert "no more" in row["problem"]
    assert (world.fleet.followed, world.fleet.is_asked(B)) == (1, False)
    for _ in range(50):
        world.now_s += INTERVAL_S
        assert B not in [ask.url for ask in world.fleet.due()]
        world.answer(A, "a1")
    world.answer(B, "bad")  # of a question that was under way
    world.fleet.missed(B, "late")
    world.fleet.refused(B, "late")
    world.fleet.unchanged(B)
    assert world.row(B)["state"] == "lost"
    assert world.row(B)["run"] == "b1"
    world.fleet.follow([A, B], [A, B])
    assert B in [ask.url for ask in world.fleet.due()]
    world.answer(B, "b1")
    assert world.row(B)["state"] == "up"


def test_two_runs_in_one_step_are_not_twice_the_traffic() -> None:
    world = World(A)
    number = at(world.now_s - 60)
    world.answer(A, "f1", [step_of(number, [1.0] * 20, seconds=2.0)])
    world.answer(A, "f2", [step_of(number, [1.0] * 20, seconds=2.0)])
    points = [point[1] for point in world.report()["series"]["points"] if point[1]]
    assert points == [40 / STEP_S]


def test_models_over_the_most_are_left_out_and_told() -> None:
    world = World(A, B)
    half = MOST_MODELS // 2 + 10
    for url, run, first in ((A, "a1", 0), (B, "b1", half)):
        world.answer(url, run, models=[model(f"m{first + n:03}") for n in range(half)])
    report = world.report()
    assert len(report["models"]) == MOST_MODELS
    assert report["models_left_out"] == 20


def test_nothing_new_of_a_run_that_nobody_told_is_no_answer() -> None:
    world = World(A)
    world.fleet.unchanged(A)
    assert world.row(A)["state"] == "refused"


def test_the_latest_export_is_kept_without_its_steps() -> None:
    world = World(A)
    world.answer(A, "a1", [world.step([1.0])])
    (row,) = [row for row in world.fleet.view().rows if row.url == A]
    assert row.latest is not None
    assert (row.latest.steps, len(row.steps)) == ((), 1)


def test_a_peer_that_is_no_peer_any_more_goes() -> None:
    world = World(A, B)
    world.answer(B, "b1")
    world.fleet.follow([A])
    assert [row["url"] for row in world.report()["peers"]] == [None, A]
    world.answer(B, "b1")
    world.fleet.missed(B, "late")
    world.fleet.unchanged(B)


def test_nothing_new_is_an_answer_too() -> None:
    world = World(A)
    world.answer(A, "a1", [world.step([1.0])])
    world.fleet.missed(A, "no answer within 1 s")
    world.now_s += INTERVAL_S
    world.fleet.unchanged(A)
    assert world.row(A)["heard"] == world.now_s
    assert world.row(A)["problem"] is None


def test_models_that_are_not_the_same_everywhere_are_told() -> None:
    world = World(A, B, C)
    world.answer(A, "a1", [world.step([1.0] * 3)], models=[model("m"), model("only_here")])
    world.answer(B, "b1", [world.step([9.0])], models=[model("m", digest="bb", form="slow")])
    world.answer(C, "c1", models=[model("m", version="2")])
    world.fleet.told_by_itself(export_of("0e", time_s=world.now_s, models=[model("m")]))
    m, only = world.report()["models"]
    assert m["differs"] == ["version", "digest", "form"]
    assert m["missing"] == []
    assert (m["requests"], m["p99_ms"]) == (4, pytest.approx(9, rel=0.01))
    assert [(place["peer"], place["version"]) for place in m["on"]][-1] == (C, "2")
    assert only["differs"] == []
    assert len(only["missing"]) == 3


def test_a_cold_model_is_no_difference() -> None:
    world = World(A, B)
    cold = model("m") | {"form": None, "state": "cold"}
    world.answer(A, "a1", models=[model("m")])
    world.answer(B, "b1", models=[cold])
    assert world.report()["models"][0]["differs"] == []


def test_scrapers_are_told_states_and_merged_percentiles() -> None:
    world = World(A, B)
    assert fleet_families(world.fleet.view())["pyrometer_fleet_duration_seconds"] == []
    world.answer(A, "a1", [world.step([10.0] * 5)])
    families = fleet_families(world.fleet.view())
    assert dict(families["pyrometer_fleet_peers"]) == {("self",): 1, ("up",): 1, ("asking",): 1}
    assert dict(families["pyrometer_fleet_duration_seconds"])[("0.99",)] == pytest.approx(
        0.010, rel=0.01
    )
    assert families["pyrometer_fleet_requests_per_second"] == [((), 1.0)]


def test_a_report_is_plain_data() -> None:
    world = World(A, B)
    world.answer(A, "a1", [world.step([10.0] * 5)], models=[model("m")])
    assert orjson.loads(orjson.dumps(world.report()))["step_s"] == STEP_S
