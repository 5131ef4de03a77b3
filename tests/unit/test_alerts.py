"""Alerts on fabricated series: what is measured each second, what the alert does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.notifiers import LogNotifier
from engine.errors import InvalidInput
from engine.telemetry.alerts.book import AlertBook, Event
from engine.telemetry.alerts.default_rules import DEFAULT_TOML
from engine.telemetry.alerts.notify import Dispatcher, Notification
from engine.telemetry.alerts.preview import preview
from engine.telemetry.alerts.rules import Slo, parse_duration, parse_rules
from engine.telemetry.alerts.slo import Judged, burning, judged, slo_report
from engine.telemetry.alerts.states import AlertState, failed, stepped
from engine.telemetry.frames import Frames, Grid
from engine.telemetry.record import RequestMetrics
from engine.telemetry.recorder import Recorder
from engine.telemetry.ring import Ring
from engine.telemetry.system import GAUGES
from engine.telemetry.tally import TOTAL_AT, tally_of
from tests.waiting import until

RULES = """
[[rule]]
name = "memory"
metric = "memory_mb"
reduce = "last"
warning = 1000
critical = 2000
window = "1s"
for = "2s"
keep_firing = "3s"
action = "trim"

[[rule]]
name = "latency"
metric = "p95_ms"
critical = 500
window = "3s"
min_requests = 5
"""
FLOOR = "[[rule]]\nname = 'a'\nmetric = 'hit_percent'\nbelow = true\n"


class World:
    """A ring fed second by second, and the book that reads it."""

    def __init__(self, folder: Path, rules: str = RULES) -> None:
        self.recorder, self.ring = Recorder(), Ring()
        self.kept: list[Event] = []
        self.told: list[Notification] = []
        self.acted: list[tuple[str, str]] = []
        folder.mkdir(exist_ok=True)
        (folder / "alerts.toml").write_text(rules)
        self.book = AlertBook(
            folder,
            self.ring,
            self.kept.append,
            self.told.append,
            lambda action, key: self.acted.append((action, key)),
        )
        self.wall_s, self.monotonic_s = 1e9, 100.0

    def second(
        self, memory_mb: float | None = 100.0, requests: int = 0, ms: float = 1.0, status: int = 200
    ) -> None:
        self.wall_s += 1
        self.monotonic_s += 1
        for _ in range(requests):
            record = RequestMetrics("r", "/r", status, "m", rows=1, duration_ns=int(ms * 1e6))
            self.recorder.append(record)
        tally = tally_of(self.recorder.drain().rows)
        gauges = {"memory_mb": memory_mb}
        self.ring.append(self.monotonic_s, 1.0, gauges, tally, self.recorder.labels.is_service())
        self.book.tick(self.wall_s, self.monotonic_s)

    def state(self, key: str) -> str:
        found = {alert["key"]: alert["state"] for alert in self.book.as_list(self.monotonic_s)}
        return str(found[key])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


T, F, N = True, False, None


@pytest.mark.parametrize(
    ("series", "for_s", "keep_s", "expected"),
    [
        ([F, F], 0, 0, ["inactive", "inactive"]),
        ([T, T], 0, 0, ["firing", "firing"]),
        ([T, T, T], 2, 0, ["pending", "pending", "firing"]),
        ([T, F, T], 2, 0, ["pending", "inactive", "pending"]),
        ([T, F, F], 0, 0, ["firing", "resolved", "resolved"]),
        ([T, F, F, F], 0, 2, ["firing", "recovering", "recovering", "resolved"]),
        ([T, F, T, F], 0, 2, ["firing", "recovering", "firing", "recovering"]),
        ([N, F, N], 0, 0, ["no_data", "inactive", "no_data"]),
        ([T, N, F], 0, 0, ["firing", "no_data", "resolved"]),
        ([T, N, T], 5, 0, ["pending", "no_data", "pending"]),
        ([T, N, T], 0, 0, ["firing", "no_data", "firing"]),
    ],
)
def test_states_follow_one_another(
    series: Sequence[bool | None], for_s: float, keep_s: float, expected: list[str]
) -> None:
    state, seen = AlertState(), []
    for second, condition in enumerate(series):
        state = stepped(state, condition, float(second), for_s, keep_s)
        seen.append(state.state)
    assert seen == expected


def test_a_rule_that_fails_is_an_error_and_remembers_that_it_fired() -> None:
    state = failed(AlertState("firing", 1.0), 2.0)
    assert (state.state, state.was_firing) == ("error", True)
    assert stepped(state, False, 3.0, 0, 0).state == "resolved"


def test_a_memory_alert_waits_fires_acts_recovers_and_resolves(world: World) -> None:
    seen = []
    for memory_mb in [900, 1500, 1500, 1500, 1500, 900, 900, 900, 900, 900]:
        world.second(memory_mb)
        seen.append(world.state("memory/warning"))
    assert seen == [
        *("inactive", "pending", "pending", "firing", "firing"),
        *("recovering", "recovering", "recovering", "resolved", "resolved"),
    ]
    assert world.acted == [("trim", "memory/warning")]
    states = [event[3] for event in world.kept if event[1] == "memory"]
    assert states == ["pending", "firing", "recovering", "resolved"]
    assert [event[0] for event in world.kept] == sorted(event[0] for event in world.kept)
    assert [told.alerts[0]["state"] for told in world.told] == ["firing", "resolved"]


def test_a_critical_alert_is_told_and_its_warning_is_not(world: World) -> None:
    for _ in range(4):
        world.second(2500)
    assert world.state("memory/critical") == world.state("memory/warning") == "firing"
    (told,) = world.told
    assert [alert["key"] for alert in told.alerts] == ["memory/critical"]


def test_a_rule_that_ends_at_both_severities_is_named_once(world: World) -> None:
    for memory_mb in (1500, 1500, 1500, 2500, 2500, 2500, *[100] * 5):
        world.second(memory_mb)
    assert world.told[-1].title == "Pyrometer: memory resolved"
    assert world.told[-1].text() == "memory resolved: Memory: 100 MB; critical above 2,000 MB"


def test_the_log_has_news_of_an_end_and_no_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pyrometer.alerts")
    for memory_mb in (2500, 2500, 2500, *[100] * 5):
        world.second(memory_mb)
    for told in world.told:
        LogNotifier().send(told)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert caplog.records[1].getMessage().count("memory resolved") == 1


def test_one_severity_is_silenced_alone(world: World) -> None:
    world.book.silence("memory/warning", world.wall_s + 60, "ada", "we know", world.wall_s)
    shown = {alert["key"]: alert["silenced"] for alert in world.book.as_list(world.monotonic_s)}
    assert (shown["memory/warning"], shown["memory/critical"]) == ("we know", None)
    assert [event[2:4] for event in world.kept] == [("warning", "silenced")]
    with pytest.raises(InvalidInput, match="no rule has a name like 'memory/fatal'"):
        world.book.silence("memory/fatal", world.wall_s + 60, "ada", "we know", world.wall_s)


def test_traffic_that_never_repeats_is_no_data() -> None:
    rule = next(rule for rule in parse_rules(DEFAULT_TOML).rules if rule.name == "hit_rate")
    assert [rule.crossed("warning", value) for value in (0.0, 0.9, 1.0, 69.0, 70.0)] == [
        *(None, None, True, True, False)
    ]


def test_a_collapse_below_what_a_floor_judges_is_not_told_as_its_end() -> None:
    rule = next(rule for rule in parse_rules(DEFAULT_TOML).rules if rule.name == "hit_rate")
    state = AlertState()
    seen = []
    for now_s, value in ((0, 50.0), (600, 50.0), (700, 0.1), (800, 50.0), (900, 90.0)):
        state = stepped(state, rule.crossed("warning", value), now_s, rule.for_, rule.keep_firing)
        seen.append((state.state, state.was_firing))
    assert seen == [
        *(("pending", False), ("firing", False), ("no_data", True), ("firing", False)),
        ("resolved", False),
    ]


def test_what_changes_in_one_second_is_one_notification(world: World) -> None:
    world.second(2500)
    world.second(2500)
    world.second(2500, requests=10, ms=900)
    (told,) = world.told
    assert {alert["name"] for alert in told.alerts} == {"memory", "latency"}
    assert told.severity == "critical"


def test_too_few_requests_are_no_data(world: World) -> None:
    world.second(requests=4, ms=900)
    assert world.state("latency/critical") == "no_data"
    world.second(requests=1, ms=900)
    assert world.state("latency/critical") == "firing"


def test_a_silence_tells_nobody_and_hides_nothing(world: World) -> None:
    until_s = world.wall_s + 6
    world.book.silence("mem*", until_s, "ada", "we know", world.wall_s)
    for _ in range(4):
        world.second(1500)
    assert world.state("memory/warning") == "firing"
    assert world.told == []
    shown = world.book.as_list(world.monotonic_s)
    assert next(a for a in shown if a["key"] == "memory/warning")["silenced"] == "we know"
    for _ in range(3):
        world.second(1500)
    assert world.book.silences == []


def test_silences_outlive_the_process(world: World, tmp_path: Path) -> None:
    number = world.book.silence("memory", 2e9, "ada", "we know", world.wall_s)
    again = World(tmp_path)
    assert [silence["id"] for silence in again.book.silences] == [number]
    again.book.end_silence(number)
    assert World(tmp_path).book.silences == []
    with pytest.raises(InvalidInput, match="no silence"):
        again.book.end_silence(number)


def test_an_acknowledged_alert_is_not_told_again(world: World) -> None:
    for _ in range(4):
        world.second(1500)
    world.book.acknowledge("memory/warning", "ada", "looking", world.wall_s)
    world.monotonic_s += 5 * 3600
    world.second(1500)
    assert len(world.told) == 1
    assert world.kept[-1][3] == "acknowledged"


def test_an_alert_that_nobody_has_seen_is_told_again(world: World) -> None:
    for _ in range(4):
        world.second(1500)
    world.monotonic_s += 5 * 3600
    world.second(1500)
    assert len(world.told) == 2


def test_only_what_fires_can_be_acknowledged(world: World) -> None:
    world.second()
    with pytest.raises(InvalidInput, match="does not fire"):
        world.book.acknowledge("memory/warning", "ada", "", 0)
    with pytest.raises(InvalidInput, match="no alert"):
        world.book.acknowledge("nothing/warning", "ada", "", 0)


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_set_clock_moves_no_alert(world: World, jump_s: float) -> None:
    for _ in range(2):
        world.second(1500)
    world.wall_s += jump_s
    world.second(1500)
    assert world.state("memory/warning") == "firing", "two seconds pending, whatever the clock says"
    world.second(900)
    world.wall_s -= jump_s
    assert world.state("memory/warning") == "recovering"
    for _ in range(3):
        world.second(900)
    assert world.state("memory/warning") == "resolved"


def test_new_rules_are_kept_and_wrong_ones_change_nothing(world: World, tmp_path: Path) -> None:
    changed = RULES.replace("critical = 2000", "critical = 3000")
    for _ in range(4):
        world.second(2500)
    world.book.replace_rules(changed)
    world.second(2500)
    assert world.state("memory/critical") == "inactive"
    assert (tmp_path / "alerts.toml").read_text() == changed
    with pytest.raises(InvalidInput):
        world.book.replace_rules(changed + "\n[[rule]]\nname = 'x'\n")
    assert world.book.text == changed


def test_a_broken_file_is_named_and_the_defaults_apply(tmp_path: Path) -> None:
    world = World(tmp_path, "[[rule]\n")
    assert world.book.problem is not None
    assert "alerts.toml" in world.book.problem
    assert world.book.text == DEFAULT_TOML
    assert (tmp_path / "alerts.toml").read_text() == "[[rule]\n"


def test_an_alert_says_what_was_measured_in_the_catalogues_words(world: World) -> None:
    def told(key: str) -> str:
        return next(a["text"] for a in world.book.as_list(world.monotonic_s) if a["key"] == key)

    assert told("memory/warning") == "Memory: no data; warning above 1,000 MB"
    world.second(memory_mb=12_345.6, requests=5, ms=0.5)
    assert told("memory/critical") == "Memory: 12,346 MB; critical above 2,000 MB"
    assert told("latency/critical") == "Latency p95: 0.4968 ms; critical above 500 ms"


def test_a_floor_is_said_to_be_one_and_a_metric_without_a_unit_has_none(tmp_path: Path) -> None:
    rules = (
        "[[rule]]\nname = 'hits'\nmetric = 'hit_percent'\nbelow = true\nwarning = 70\n"
        "[[rule]]\nname = 'down'\nmetric = 'threads_down'\ncritical = 0.5\n"
    )
    world = World(tmp_path, rules)
    assert {alert["text"] for alert in world.book.as_list(world.monotonic_s)} == {
        "Cache hits: no data; warning below 70 %",
        "Threads down: no data; critical above 0.5",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule]]\nname = 'a'\nmetric = 'p96_ms'\nwarning = 1", "the nearest is p9"),
        ("[[rule]]\nname = 'a'\nmetric = 'p95_ms'", "needs a limit"),
        ("[[rule]]\nname = 'a'\nmetric = 'p95_ms'\nwarning = 5\ncritical = 4", "not past"),
        ("[[rule]]\nname = 'a'\nmetric = 'p95_ms'\nwarning = 'x'", "warning is 'x'"),
        ("[[rule]]\nname = 'a'\nmetric = 'p95_ms'\nwarning = 1\nfor = '5 parsecs'", "for is"),
        (
            "[[rule]]\nname = 'a'\nmetric = 'p95_ms'\nwarning = 1\ncolour = 1",
            "unknown field 'colour'",
        ),
        ("[[rule]]\nname = 'a'\nmetric = 'p95_ms'\nwarning = 1\nwindow = '2h'", "window is 7200"),
        ("[[rule]]\nname = 'a'\nmetric = 'p95_ms'\nwarning = 9\nunless_below = 1", "below = true"),
        (FLOOR + "warning = 70\nunless_below = 70", "must be under warning, which is 70"),
        (FLOOR + "warning = 70\ncritical = 5\nunless_below = 6", "must be under critical"),
        ("[[rule]]\nname = 'A b'\nmetric = 'p95_ms'\nwarning = 1", "name is 'A b'"),
        ("[[rule]]\nname = 'a'\nwarning = 1", "metric is missing"),
        ("[[rule]]\nname = 'a'\nmetric = 'memory_mb'\nwarning = 1\naction = 'rm'", "action is"),
        ("[[slo]]\nname = 'a'\nkind = 'beauty'\nobjective_percent = 99", "kind is 'beauty'"),
        ("[[slo]]\nname = 'a'\nkind = 'latency'\nobjective_percent = 99", "needs threshold_ms"),
        (
            "[[slo]]\nname = 'a'\nkind = 'availability'\nobjective_percent = 100",
            "between 0 and 100",
        ),
        ("rule = 3", "must be written as"),
        ("[other]", "unknown table 'other'"),
        ("x = ", "no TOML"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_name_and_field(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_rules(text)
    assert said in str(raised.value)


def test_the_default_rules_are_those_promised() -> None:
    rules = {rule.name: rule for rule in parse_rules(DEFAULT_TOML).rules}
    assert (rules["response_time"].warning, rules["response_time"].critical) == (100, 500)
    assert rules["response_time"].window == 60
    assert (rules["memory"].warning, rules["memory"].critical) == (1000, 2000)
    assert rules["hit_rate"].below
    assert rules["hit_rate"].warning == 70
    assert {"error_rate", "queue_saturation", "engine_thread_down", "recorder_dropping"} <= set(
        rules
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("5m", 300), ("1.5h", 5400), ("3d", 259_200), ("250ms", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("x", text) == seconds


def frames_of(requests: Sequence[int], bad: Sequence[int], ms: float = 10.0) -> Any:
    frames = Frames(Grid(0.0, 10.0, len(requests)))
    frames.seconds += 10
    frames.totals[:, TOTAL_AT["requests"]] = requests
    frames.totals[:, TOTAL_AT["requests_server_error"]] = bad
    from engine.telemetry.histogram import buckets_of

    bucket = int(buckets_of(np.array([ms * 1e6]))[0])
    frames.histograms[:, bucket] = requests
    return frames


def test_a_preview_tells_when_rules_would_have_fired() -> None:
    text = "[[rule]]\nname='e'\nmetric='server_error_percent'\nwarning=5\nwindow='10s'\nfor='10s'"
    frames = frames_of([100] * 10, [0, 0, 0, 50, 50, 50, 0, 0, 0, 0])
    (found,) = preview(parse_rules(text), frames, 10.0)
    assert found["key"] == "e/warning"
    assert found["spans"] == [[50.0, 70.0]]
    assert found["measured_percent"] == 100


def test_a_preview_merges_windows_as_the_ticker_does() -> None:
    text = "[[rule]]\nname='e'\nmetric='server_error_percent'\nwarning=9\nwindow='30s'"
    frames = frames_of([100] * 6, [0, 0, 30, 0, 0, 0])
    (found,) = preview(parse_rules(text), frames, 10.0)
    assert found["spans"] == [[30.0, 60.0]], "10 % over each window of 30 s that holds it"


AVAILABILITY = Slo("availability", "availability", 99.9)


def test_the_callers_own_errors_use_no_budget() -> None:
    frames = frames_of([1000], [1])
    frames.totals[:, TOTAL_AT["requests_client_error"]] = 500
    assert judged(AVAILABILITY, frames) == Judged(499, 500)


def test_latency_counts_what_was_within_the_threshold() -> None:
    slo = Slo("latency", "latency", 99, threshold_ms=100)
    assert judged(slo, frames_of([10], [0], ms=99)) == Judged(10, 10)
    assert judged(slo, frames_of([10], [0], ms=102)) == Judged(0, 10)


def burns(bad_share: Callable[[float], float], requests: int = 100_000) -> dict[str, Any]:
    return slo_report(
        AVAILABILITY,
        lambda window_s: frames_of([requests], [round(requests * bad_share(window_s))]),
    )


@pytest.mark.parametrize(
    ("share", "critical", "warning"),
    [
        (lambda window_s: 0.0005, False, False),  # half the allowed rate
        (lambda window_s: 0.002, False, True),  # twice: a ticket
        (lambda window_s: 0.007, True, True),  # seven times: the 6 h page
        (lambda window_s: 0.02, True, True),  # twenty times: the 1 h page
        (lambda window_s: 0.0 if window_s <= 1800 else 0.02, False, True),  # over since a while
        (lambda window_s: 0.5 if window_s <= 300 else 0.0001, False, False),  # too short to tell
    ],
)
def test_fast_burns_page_and_slow_ones_make_a_ticket(
    share: Callable[[float], float], critical: bool, warning: bool
) -> None:
    report = burns(share)
    assert burning(AVAILABILITY, report, "critical")[0] is critical
    assert burning(AVAILABILITY, report, "warning")[0] is warning


def test_few_requests_burn_no_budget_aloud() -> None:
    assert burning(AVAILABILITY, burns(lambda _: 0.5, requests=10), "critical") == (None, None)


def test_the_budget_left_is_said() -> None:
    assert burns(lambda _: 0.0005)["budget_left_percent"] == pytest.approx(50)


class Flaky:
    """A destination that fails so many times before it takes anything."""

    label = "flaky"

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.got: list[Notification] = []

    def send(self, notification: Notification) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        self.got.append(notification)


@pytest.mark.parametrize(("failures", "sent", "failed_count"), [(0, 1, 0), (2, 1, 0), (3, 0, 1)])
def test_a_notification_is_tried_a_bounded_number_of_times(
    failures: int, sent: int, failed_count: int
) -> None:
    dispatcher, flaky = Dispatcher(retries_s=(0.001, 0.001)), Flaky(failures)
    dispatcher.notifiers.append(flaky)
    dispatcher.start()
    dispatcher.send(Notification("t", "warning", 0.0))
    until(lambda: dispatcher.sent + dispatcher.failed == 1, 10, "the notification to end")
    assert (dispatcher.sent, dispatcher.failed) == (sent, failed_count)
    dispatcher.close()


def test_notifications_that_wait_are_bounded() -> None:
    dispatcher = Dispatcher()
    dispatcher.notifiers.append(Flaky(0))
    for _ in range(150):
        dispatcher.send(Notification("t", "warning", 0.0))
    assert dispatcher.figures()["waiting"] == 100
    assert dispatcher.dropped == 50


def test_what_people_do_to_an_alert_that_is_not_there_or_is_quiet_is_refused(world: World) -> None:
    book = world.book
    with pytest.raises(InvalidInput, match="there is no alert 'memory/x'; it is named rule/sev"):
        book.acknowledge("memory/x", "ada", "", 0.0)
    world.second()
    with pytest.raises(InvalidInput, match="alert 'memory/warning' is inactive; it does not fire"):
        book.acknowledge("memory/warning", "ada", "", 0.0)
    with pytest.raises(InvalidInput, match=r"no rule has a name like 'mem\*x'"):
        book.silence("mem*x", 2e9, "ada", "", 0.0)
    with pytest.raises(InvalidInput, match="there is no silence 'abc'"):
        book.end_silence("abc")


def test_silences_are_bounded_in_number(world: World) -> None:
    numbers = [world.book.silence("memory", 2e9, "ada", "", 0.0) for _ in range(100)]
    with pytest.raises(InvalidInput, match="there are 100 silences, the limit"):
        world.book.silence("memory", 2e9, "ada", "", 0.0)
    world.book.end_silence(numbers[0])
    world.book.silence("memory", 2e9, "ada", "", 0.0)


def test_what_was_done_about_an_alert_is_in_its_history(world: World) -> None:
    world.book.note("memory/critical", 5.0, "cleaned up", "12 items")
    (event,) = world.kept
    assert event[:4] == (5.0, "memory", "critical", "cleaned up")
    assert event[5] == "12 items"


def test_files_that_cannot_be_kept_or_read_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "silences.json").write_text("{")
    world = World(tmp_path)
    assert world.book.silences == []
    assert "silences.json could not be read; nothing is silenced" in caplog.text
    (tmp_path / "silences.json").unlink()
    (tmp_path / "silences.json").mkdir()
    world.book.silence("memory", 2e9, "ada", "", 0.0)
    assert "silences could not be kept; they end with this process" in caplog.text
    assert len(world.book.silences) == 1
    before = world.book.text
    (tmp_path / "alerts.toml").unlink()
    (tmp_path / "alerts.toml").mkdir()
    with pytest.raises(InvalidInput, match="the rules could not be kept: "):
        world.book.replace_rules(RULES.replace("2000", "3000"))
    assert world.book.text == before


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.telemetry.alerts.values import Reader

    usual = Reader.value

    def broken(self: Reader, rule: Any) -> float | None:
        if rule.name == "latency":
            raise ZeroDivisionError("a bad rule")
        return usual(self, rule)

    monkeypatch.setattr(Reader, "value", broken)
    for _ in range(4):
        world.second(memory_mb=1500.0)
    assert world.state("latency/critical") == "error"
    assert world.state("memory/warning") == "firing"
    monkeypatch.undo()
    world.second(memory_mb=1500.0)
    assert world.state("latency/critical") == "no_data"


@pytest.mark.parametrize(
    ("how", "fired_at_s"), [("max", [30]), ("min", []), ("mean", [30]), ("last", [30])]
)
def test_a_preview_reduces_gauges_over_the_rules_window(how: str, fired_at_s: list[int]) -> None:
    """1 per 10 s but for one 10: over 20 s its mean is 5.5, its least is 1."""
    frames = Frames(Grid(0.0, 10.0, 6))
    gauges = np.full((6, len(GAUGES)), np.nan)
    gauges[:, GAUGES.index("queued")] = [1.0, 1.0, 10.0, 1.0, 1.0, 1.0]
    frames.add_gauges(np.arange(6), np.full(6, 10.0), gauges, gauges)
    text = f"[[rule]]\nname='q'\nmetric='queued'\nwarning=5\nwindow='20s'\nreduce='{how}'"
    (found,) = preview(parse_rules(text), frames, 10.0)
    assert [span[0] for span in found["spans"]] == fired_at_s
