"""A report as data, HTML and Markdown: every figure has its source, text stays text."""

from __future__ import annotations

import re
from typing import Any

from app.reports.document import document
from app.reports.lines import pruned
from app.reports.sources import figures_in
from components.report_html import PICTURES, report_html
from components.report_markdown import report_markdown
from tests.unit.reports.made import GOOD, RUN, facts_of, model_of, phases_of, run_of

HOSTILE = "<script>alert(1)</script>"
FLAME = {
    "measure": "cpu",
    "unit": "ns",
    "kind": "request",
    "sampled": {"cpu": 1000, "wall": 0, "samples": 10},
    "frames": [
        {"label": f"{name} (m.py)", "name": name, "module": "m"} for name in ("a", "b", "c")
    ],
    "nodes": {
        "frame": [0, 1, 2, 1],
        "parent": [-1, 0, 0, 2],
        "self": [100, 899, 0, 1],
        "total": [1000, 899, 1, 1],
    },
    "top": [
        {"frame": 0, "self": 100, "total": 1000},
        {"frame": 1, "self": 899, "total": 899},
    ],
}


def made(**changes: Any) -> dict[str, Any]:
    models = (model_of(cold_starts=5, load_ns=50_000_000), model_of(HOSTILE, requests=0))
    facts = facts_of(
        *models, phases=phases_of("forest", decode=9.0, inference=1.0), flame=FLAME, **changes
    )
    load = {"id": "20260301T130000Z-0a1b2c", "kind": "soak", "name": HOSTILE, "requests": 9}
    return document(facts, run_of(), {"soak": [load | {"valid": True}]}, None, "demand")


def test_the_first_line_says_what_it_was_and_is() -> None:
    text = made()["summary"]["text"]
    assert text.startswith("Cold 600 ms (was 2,400), warm p99 0.5 ms; 16 of 17 targets met")
    assert text.endswith("1 without data")


def test_without_anything_measured_it_says_so() -> None:
    report = document(facts_of(), None, {}, None, "demand")
    assert report["summary"]["text"].startswith("Nothing was measured on this machine yet")
    assert report["recommendations"][0]["id"] == "measure"
    assert "no data" in report_html(report)


def test_every_figure_has_a_source_that_is_listed() -> None:
    report = made()
    listed = {source["id"] for source in report["sources"]}
    found = [figure for figure in figures_in(report) if figure["value"] is not None]
    assert len(found) > 40
    assert {figure["run"] for figure in found} <= listed
    assert [source["number"] for source in report["sources"]] == list(range(1, len(listed) + 1))


def test_every_figure_of_a_run_is_the_runs_own() -> None:
    figures = run_of()["optimization"]["figures"]
    for figure in figures_in(made()):
        if figure["run"] == RUN:
            assert figures[figure["key"]]["value"] == figure["value"]


def test_gains_are_how_many_times_better() -> None:
    rows = made()["before_after"]
    row = next(r for r in rows if (r["model"], r["name"]) == ("forest", "warm_p50_ms"))
    assert row["gain"] == 1200.0
    assert row["gain_warm"] is None


def test_what_has_no_figure_says_why() -> None:
    run = run_of(plan__server__gzip_ms=None)
    report = document(facts_of(), run, {}, None, "demand")
    whys = {one["what"]: one["why"] for one in report["not_measured"]}
    assert whys["plan: gzip, time of the answer"] == "it failed"
    assert sum("targets" in what for what in whys) == 1  # their table says why of each
    assert "where the time goes" in whys


def test_a_model_without_figures_is_one_line() -> None:
    nothing = dict.fromkeys((key for key in GOOD if "/linear/" in key), None)
    report = document(facts_of(), run_of(**nothing), {}, None, "demand")
    html = report_html(report)
    assert html.count("No figures of linear") == 1
    assert "No figures of forest" not in html


def test_html_needs_nothing_and_keeps_text_as_text() -> None:
    html = report_html(made())
    assert HOSTILE not in html
    assert "<script" not in html
    assert "src=" not in html
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", html)
    assert html.count(PICTURES) == 1
    assert len(html) < 1_000_000


def test_every_citation_leads_to_a_source() -> None:
    html = report_html(made())
    cited = set(re.findall(r'href="#(source-\d+)"', html))
    assert cited
    assert cited <= set(re.findall(r'id="(source-\d+)"', html))


def test_the_appendix_names_command_machine_versions_and_commit() -> None:
    html = report_html(made())
    for words in (RUN, "python -m bench.optimization", "2 cores, a chip", "numpy 2.4", "abc123"):
        assert words in html


def test_markdown_has_the_same_figures_and_sources() -> None:
    text = report_markdown(made())
    assert "| Process start to first answer | under 1,000 ms | 600 ms [1] | met | linear |" in text
    assert f"1. optimization {RUN}" in text
    assert "<script>" not in text


def test_narrow_boxes_of_a_flame_graph_are_left_out() -> None:
    found = pruned(FLAME)
    assert found is not None
    assert [frame["name"] for frame in found["frames"]] == ["a", "b"]
    assert found["nodes"]["parent"] == [-1, 0]
    assert pruned(None) is None
