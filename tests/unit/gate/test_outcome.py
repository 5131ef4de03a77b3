"""From samples to exit status, words, Markdown and the stored run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.gate.baseline import checked, write_baseline
from bench.gate.cases import BY_NAME, Case
from bench.gate.machine import machine, versions
from bench.gate.outcome import CaseOutcome, Outcome, outcome_of
from bench.gate.plan import WEAKER, Opponent, Plan, notes_on, opponent_of
from bench.gate.report import form_notes, markdown, table
from bench.gate.samples import Samples
from bench.gate.stored import baseline_of, write_run
from bench.gate.trees import Revision
from engine.errors import InvalidInput
from tests.unit.gate.test_baseline import GOOD
from tests.unit.gate.test_samples import quad, window

FOREST = BY_NAME["forest"]


def samples_of(before: float, after: float, blocks: int = 10) -> Samples:
    samples = Samples(count=200, requests=8000, forms={"baseline": "a", "candidate": "a"})
    samples.begin_round()
    for _ in range(blocks):
        samples.add_block([quad(before, after, after, before)] * 3, 0)
    return samples


def judged(percent: float, case: Case = FOREST, threshold: float = 3.0) -> CaseOutcome:
    return outcome_of(case, samples_of(20, 20 * (1 + percent / 100)), None, threshold)


def outcome(cases: Sequence[CaseOutcome], **more: Any) -> Outcome:
    known: dict[str, Any] = {
        "name": "change",
        "baseline": "commit abcabcabcabc",
        "candidate": "defdefdefdef with changes",
        "interleaved": True,
        "notes": (),
        "machine": machine(),
        "versions": {"numpy": "2.0"},
        "started": 1_795_630_000.0,
        "ended": 1_795_630_090.0,
        "load": (1.25, 2.5),
        "command": "pyrometer bench gate --minutes 1",
    }
    return Outcome(cases=tuple(cases), **(known | more))


def test_slower_than_the_threshold_is_status_1() -> None:
    assert outcome([judged(0), judged(8)]).status == 1


def test_not_slower_is_status_0() -> None:
    assert outcome([judged(0), judged(2), judged(-5)]).status == 0


def test_too_little_measured_is_status_2_and_no_verdict() -> None:
    few = outcome([outcome_of(FOREST, samples_of(20, 30, blocks=2), None, 3.0)])
    assert few.status == 2
    assert "No verdict" in table(few)


def test_stored_figures_are_compared_where_there_is_nothing_to_run() -> None:
    samples = Samples(count=200)
    samples.begin_round()
    for _ in range(10):
        samples.add_block([([], [window(22), window(22)])], 0)
    stored = {
        name: [[value] * 9] for name, value in zip(window(20)._fields, window(20), strict=True)
    }
    found = outcome_of(FOREST, samples, stored, 3.0)
    assert found.changes["cpu_us"].percent == pytest.approx(10)
    assert (found.interleaved, found.blocks, found.verdict.fails) == (False, 9, True)


def test_the_markdown_says_all_that_a_reader_of_a_pull_request_needs() -> None:
    text = markdown(outcome([judged(0), judged(8)], notes=("mind this",)))
    lines = text.splitlines()
    assert lines[0] == "### Regression gate: fails"
    assert lines[2] == "Fails: forest slower than the threshold allows."
    assert (
        "| forest | 50 | 20.0 | 21.6 | +8.00 % (+8.00 to +8.00) | 3 % | slower "
        "| +0.00 % (+0.00 to +0.00) |" in lines
    )
    assert "- mind this" in lines
    here = machine()
    for words in (
        "baseline: commit abcabcabcabc; this: defdefdefdef with changes; interleaved",
        f"{here['cpus']} x {here['cpu']}",
        f"Python {here['python']}; load average 1.2 before, 2.5 after; 90 s",
        "libraries: numpy 2.0",
        "again: `pyrometer bench gate --minutes 1`",
    ):
        assert words in text


def test_a_passing_gate_says_so() -> None:
    assert markdown(outcome([judged(0)])).startswith("### Regression gate: passes\n")


def test_every_table_of_the_markdown_has_cells_for_its_headings() -> None:
    rows = [line for line in markdown(outcome([judged(0)])).splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {9, 7}


def test_the_cost_of_instruments_is_judged_by_a_threshold_of_its_own() -> None:
    found = judged(10, BY_NAME["instrumentation"], threshold=15.0)
    assert found.verdict.fails is False
    costly = outcome([judged(20, BY_NAME["instrumentation"], threshold=15.0)])
    assert costly.status == 1
    assert "costs too much" in table(costly)


def test_other_answers_and_other_forms_are_noted() -> None:
    found = judged(0)
    found.samples.forms["candidate"] = "b"
    found.samples.differing, found.samples.compared = 3, 50
    assert form_notes([found]) == [
        "forest: 3 of 50 answers differ from the baseline's",
        "forest: other forms of the model answered: baseline a, candidate b",
    ]


def test_a_stored_run_has_the_fields_of_all_runs(tmp_path: Path) -> None:
    path = write_run(tmp_path / "runs", outcome([judged(8)]), {"minutes": 1}, "ab" * 20)
    run = json.loads(path.read_text())
    assert path.stem == run["id"]
    assert run["id"].startswith("20261125T180640Z-")
    assert {"kind", "name", "started", "ended", "machine", "versions", "commit", "spec"} <= set(run)
    assert (run["kind"], run["valid"], run["cancelled"], run["errors"]) == ("gate", True, False, 0)
    (case,) = run["gate"]["cases"]
    assert run["gate"]["passes"] is False
    assert case["changes_percent"]["cpu_us"]["low"] == pytest.approx(8)


def test_the_runs_that_are_kept_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.gate.stored.MOST_RUNS", 3)
    for second in range(5):
        write_run(tmp_path, outcome([judged(0)], started=float(second)), {}, None)
    assert [path.name[:16] for path in sorted(tmp_path.iterdir())] == [
        f"19700101T00000{second}Z" for second in (2, 3, 4)
    ]


def test_a_figure_that_was_not_measured_is_null(tmp_path: Path) -> None:
    found = outcome([judged(0)])
    found.cases[0].before["p99_ms"] = float("nan")
    run = json.loads(write_run(tmp_path, found, {}, None).read_text())
    assert run["gate"]["cases"][0]["before"]["p99_ms"] is None


def test_what_was_measured_is_a_baseline() -> None:
    payload = {"models": {"m": "aa"}, "cases": {"forest": {"requests": 1, "digest": "b"}}}
    found = baseline_of(outcome([judged(8)]), "mine", Revision("ab" * 20, True), payload)
    assert checked(json.loads(json.dumps(found)))["name"] == "mine"
    assert found["cases"]["forest"]["blocks"]["cpu_us"] == [[pytest.approx(21.6)] * 10]


@pytest.mark.parametrize(
    ("field", "value"), [("threshold", -1), ("minutes", 0), ("minutes", 61), ("name", "x" * 81)]
)
def test_a_plan_out_of_range_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=field):
        Plan(**{field: value})


def stored(**more: Any) -> Opponent:
    here: dict[str, Any] = {"machine": machine(), "versions": versions()}
    return Opponent("", stored=GOOD | here | more)


def test_stored_figures_are_said_to_be_the_weaker_form() -> None:
    assert notes_on(stored(), [FOREST], GOOD["payload"], False) == (WEAKER,)


def test_stored_figures_of_another_machine_are_refused_unless_forced() -> None:
    other = stored(machine=machine() | {"cpus": 512})
    with pytest.raises(InvalidInput, match=r"machine\.cpus: 512 then.*--force"):
        notes_on(other, [FOREST], GOOD["payload"], False)
    assert len(notes_on(other, [FOREST], GOOD["payload"], True)) == 2


def test_a_case_that_the_baseline_lacks_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"baseline\.cases has no cached"):
        notes_on(stored(), [BY_NAME["cached"]], GOOD["payload"], True)


@pytest.mark.parametrize("more", [{"commit": "ab" * 20}, {"commit": None}, {"clean": False}])
def test_a_baseline_whose_code_is_not_in_git_stands_for_itself(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    write_baseline(tmp_path / "b.json", GOOD | more)
    found = opponent_of(Plan(tree=tmp_path, baseline=tmp_path / "b.json"))
    assert found.commit is None
    assert found.stored is not None


def test_a_commit_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="against is 'nowhere'"):
        opponent_of(Plan(tree=tmp_path, against="nowhere"))
